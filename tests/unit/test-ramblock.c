#include "config.h"

#include "common/error.h"
#include "tests/unit/unit.h"
#include "vmm/ramblock.h"

#include <string.h>

/* Text as QEMU printed it. */
#define HEADING_10                                                                                 \
  "              Block Name    PSize              Offset               Used              Total   " \
  "             HVA  RO\n"
#define HEADING_7_2                                                                                \
  "              Block Name    PSize              Offset               Used              Total\n"

static const char qemu_10_0[] = HEADING_10
    "                    mem0    4 KiB  0x0000000000000000 0x0000000010000000 0x0000000010000000 "
    "0x00007fe287fff000  rw\n"
    "   0000:00:02.0/vga.vram    4 KiB  0x0000000010080000 0x0000000001000000 0x0000000001000000 "
    "0x00007fe286a00000  rw\n"
    "    /rom@etc/acpi/tables    4 KiB  0x0000000011140000 0x0000000000020000 0x0000000000200000 "
    "0x00007fe286000000  ro\n"
    "0000:00:04.0/virtio-net-pci.rom    4 KiB  0x0000000011100000 0x0000000000040000 "
    "0x0000000000040000 0x00007fe286400000  ro\n";

/* QEMU 8.2 with huge pages, a block of used length 0 and one without a name. */
static const char qemu_8_2[] = HEADING_10
    "                    huge    2 MiB  0x0000000000000000 0x0000000008000000 0x0000000008000000 "
    "0x00007f0a40000000  rw\n"
    "                  dimm 1    1 GiB  0x0000000008000000 0x0000000040000000 0x0000000040000000 "
    "0x00007f0a80000000  rw\n"
    "               resizable    4 KiB  0x0000000048000000 0x0000000000000000 0x0000000000200000 "
    "0x00007f0a30000000  rw\n"
    "                            4 KiB  0x0000000048200000 0x0000000000010000 0x0000000000010000 "
    "0x00007f0a20000000  rw\n";

static const char qemu_7_2[] =
    HEADING_7_2 "                  pc.ram    4 KiB  0x0000000000000000 0x0000000008000000 "
                "0x0000000008000000\n";

START_TEST (parses_qemu_10)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) blocks = cs_ram_blocks_parse (qemu_10_0, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (blocks->len, 4);
  const CsRamBlock *ram = g_ptr_array_index (blocks, 0);
  ck_assert_str_eq (ram->name, "mem0");
  ck_assert_uint_eq (ram->host, 0x7fe287fff000);
  ck_assert_uint_eq (ram->used_length, 0x10000000);
  ck_assert_uint_eq (ram->page_size, 4096);
  ck_assert (!ram->read_only);
  const CsRamBlock *tables = g_ptr_array_index (blocks, 2);
  ck_assert_uint_eq (tables->used_length, 0x20000);
  ck_assert_uint_eq (tables->max_length, 0x200000);
  ck_assert (tables->read_only);
  const CsRamBlock *rom = g_ptr_array_index (blocks, 3);
  ck_assert_str_eq (rom->name, "0000:00:04.0/virtio-net-pci.rom");
}
END_TEST

START_TEST (parses_huge_pages_and_leaves_out)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) blocks = cs_ram_blocks_parse (qemu_8_2, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (blocks->len, 2);
  ck_assert_uint_eq (((CsRamBlock *)g_ptr_array_index (blocks, 0))->page_size, 2 << 20);
  const CsRamBlock *dimm = g_ptr_array_index (blocks, 1);
  ck_assert_str_eq (dimm->name, "dimm 1");
  ck_assert_uint_eq (dimm->page_size, 1 << 30);
}
END_TEST

START_TEST (refuses_old_qemu)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_ram_blocks_parse (qemu_7_2, &error));
  unit_assert_error (error, CS_ERROR_UNSUPPORTED);
}
END_TEST

#define LINE(name, psize, used, total, host, access)                                               \
  name " " psize " 0x0000000000000000 " used " " total " " host " " access "\n"

static const char *const hostile[] = {
  "",
  "\n\n",
  "Block\n",
  HEADING_10 "x\n",
  HEADING_10 "rw\n",
  HEADING_10 "        rw\n",
  HEADING_10 LINE ("a", "4 KiB", "0x1000", "0x1000", "0x7f0000000000", "rx"),
  HEADING_10 LINE ("a", "4 KiB", "0x1000", "0x1000", "7f0000000000", "rw"),
  HEADING_10 LINE ("a", "4 KiB", "0x1000", "0x1000", "0x-7f0000000000", "rw"),
  HEADING_10 LINE ("a", "4 KiB", "0x1000", "0x1000", "0x17f00000000000000", "rw"),
  HEADING_10 LINE ("a", "4 KiB", "0x1000", "0x1000", "0x0", "rw"),
  HEADING_10 LINE ("a", "4 KiB", "0x1000", "0x1000", "0x7f0000000800", "rw"),
  HEADING_10 LINE ("a", "4 KiB", "0x1001", "0x2000", "0x7f0000000000", "rw"),
  HEADING_10 LINE ("a", "4 KiB", "0x2000", "0x1000", "0x7f0000000000", "rw"),
  HEADING_10 LINE ("a", "4 KiB", "0xfffffffffffff000", "0xfffffffffffff000", "0x1000", "rw"),
  HEADING_10 LINE ("a", "4 KiB", "0x2000", "0x2000", "0xfffffffffffff000", "rw"),
  HEADING_10 LINE ("a", "4 KB", "0x1000", "0x1000", "0x7f0000000000", "rw"),
  HEADING_10 LINE ("a", "3 KiB", "0x1000", "0x1000", "0x7f0000000000", "rw"),
  HEADING_10 LINE ("a", "0 KiB", "0x1000", "0x1000", "0x7f0000000000", "rw"),
  HEADING_10 LINE ("a", "4 B", "0x1000", "0x1000", "0x7f0000000000", "rw"),
  HEADING_10 LINE ("a", "1024 GiB", "0x1000", "0x1000", "0x7f0000000000", "rw"),
  HEADING_10 LINE ("a", "99999999999999999999 KiB", "0x1000", "0x1000", "0x7f0000000000", "rw"),
  HEADING_10 LINE ("a", "2 MiB", "0x200000", "0x200000", "0x7f0000001000", "rw"),
  HEADING_10 LINE ("\xff", "4 KiB", "0x1000", "0x1000", "0x7f0000000000", "rw"),
  HEADING_10 LINE ("a", "4 KiB", "0x1000", "0x1000", "0x7f0000000000", "rw")
      LINE ("a", "4 KiB", "0x1000", "0x1000", "0x7f0000010000", "rw"),
  HEADING_10 LINE ("a", "4 KiB", "0x1000", "0x8000", "0x7f0000000000", "rw")
      LINE ("b", "4 KiB", "0x1000", "0x1000", "0x7f0000007000", "rw"),
};

START_TEST (refuses_hostile_text)
{
  g_autoptr (GError) error = NULL;
  ck_assert_msg (cs_ram_blocks_parse (hostile[_i], &error) == NULL, "accepted: %s", hostile[_i]);
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

START_TEST (refuses_too_many_and_too_long)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text = g_string_new (HEADING_10);
  for (guint i = 0; i < 5000; i++)
    g_string_append_printf (
        text, "b%u 4 KiB 0x0000000000000000 0x1000 0x1000 0x%" G_GINT64_MODIFIER "x rw\n", i,
        G_GUINT64_CONSTANT (0x7f0000000000) + i * 0x1000);
  ck_assert_ptr_null (cs_ram_blocks_parse (text->str, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);

  g_autofree char *name = g_strnfill (300, 'n');
  g_string_printf (text, HEADING_10 "%s 4 KiB 0x0 0x1000 0x1000 0x7f0000000000 rw\n", name);
  ck_assert_ptr_null (cs_ram_blocks_parse (text->str, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

/* What the fuzzer has found worth keeping goes through the same parser here. */
START_TEST (corpus_does_no_harm)
{
  const char *source = g_getenv ("srcdir");
  if (source == NULL) /* not run by make check */
    return;
  g_autofree char *path = g_build_filename (source, "tests/fuzz/ramblock", NULL);
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  guint files = 0;
  for (const char *name; directory && (name = g_dir_read_name (directory)); files++)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);
      g_autofree char *text = NULL;
      ck_assert (g_file_get_contents (file, &text, NULL, NULL));
      g_autoptr (GPtrArray) blocks = cs_ram_blocks_parse (text, NULL);
      ck_assert (blocks == NULL || blocks->len <= 4096);
    }
  ck_assert_uint_gt (files, 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("ramblock");
  TCase *tests = tcase_create ("ramblock");
  tcase_add_test (tests, parses_qemu_10);
  tcase_add_test (tests, parses_huge_pages_and_leaves_out);
  tcase_add_test (tests, refuses_old_qemu);
  tcase_add_loop_test (tests, refuses_hostile_text, 0, G_N_ELEMENTS (hostile));
  tcase_add_test (tests, refuses_too_many_and_too_long);
  tcase_add_test (tests, corpus_does_no_harm);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
