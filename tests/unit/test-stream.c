/* The stream that QEMU loads, byte for byte. */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/error.h"
#include "common/fd.h"
#include "unit.h"
#include "vmm/stream.h"

#define PAGE 4096

/* A text with \xNN inside and its length. */
#define BYTES(text) (text), sizeof (text) - 1

static const guint8 device_state[] = { 'Q', 'E', 'V', 'M',  0,    0,    0, 3, 0x04, 0, 0,
                                       0,   9,   3,   'd',  'e',  'v',  0, 0, 0,    0, 0,
                                       0,   0,   1,   0xaa, 0xbb, 0x7e, 0, 0, 0,    9, 0 };

static int
memory_file (void)
{
  int fd = memfd_create ("stream", MFD_CLOEXEC);
  ck_assert_int_ge (fd, 0);
  return fd;
}

/* Takes the next bytes of @fd and compares them. */
static void
expect (int fd, const void *bytes, gsize length)
{
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *found = g_malloc (length);
  off_t at = lseek (fd, 0, SEEK_CUR);
  ck_assert (cs_fd_read_all (fd, found, length, at, "stream", &error));
  for (gsize i = 0; i < length; i++)
    ck_assert_msg (found[i] == ((const guint8 *)bytes)[i], "byte %ld is %02x, not %02x",
                   (long)(at + (off_t)i), found[i], ((const guint8 *)bytes)[i]);
  lseek (fd, (off_t)length, SEEK_CUR);
}

static void
expect_page (int fd, guint8 fill)
{
  guint8 page[PAGE];
  memset (page, fill, PAGE);
  expect (fd, page, PAGE);
}

static void
write_example (CsStream *stream)
{
  g_autoptr (GError) error = NULL;
  guint8 page[PAGE];
  cs_stream_add_block (stream, "pc.ram", 3 * PAGE);
  cs_stream_add_block (stream, "rom", PAGE);
  cs_stream_add_block (stream, "lazy", 0x10000000);
  ck_assert (cs_stream_begin (stream, &error));
  memset (page, 0x11, PAGE);
  ck_assert (cs_stream_page (stream, 0, 1, page, &error));
  ck_assert (cs_stream_zero_page (stream, 0, 2, &error));
  memset (page, 0x22, PAGE);
  ck_assert (cs_stream_page (stream, 1, 0, page, &error));
  ck_assert (cs_stream_zero_page (stream, 0, 0, &error));
  ck_assert (cs_stream_end (stream, device_state, sizeof device_state, &error));
  unit_assert_no_error (error);
}

START_TEST (test_layout)
{
  cs_autofd int fd = memory_file ();
  g_autoptr (CsStream) stream = cs_stream_new (fd, "pc-q35-10.0");
  write_example (stream);
  lseek (fd, 0, SEEK_SET);

  expect (fd, BYTES ("QEVM\0\0\0\3"));
  expect (fd, BYTES ("\x07\0\0\0\x0bpc-q35-10.0"));
  expect (fd, BYTES ("\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04"));
  expect (fd, BYTES ("\0\0\0\0\x10\0\x40\x04")); /* total: 0x10004000, MEM_SIZE */
  expect (fd, BYTES ("\x06pc.ram\0\0\0\0\0\0\x30\0"));
  expect (fd, BYTES ("\x03rom\0\0\0\0\0\0\x10\0"));
  expect (fd, BYTES ("\x04lazy\0\0\0\0\x10\0\0\0"));
  expect (fd, BYTES ("\0\0\0\0\0\0\0\x10\x7e\0\0\0\x02"));

  expect (fd, BYTES ("\x03\0\0\0\x02"));
  expect (fd, BYTES ("\0\0\0\0\0\0\x10\x08\x06pc.ram"));
  expect_page (fd, 0x11);
  expect (fd, BYTES ("\0\0\0\0\0\0\x20\x22\0")); /* ZERO, CONTINUE */
  expect (fd, BYTES ("\0\0\0\0\0\0\0\x08\x03rom"));
  expect_page (fd, 0x22);
  expect (fd, BYTES ("\0\0\0\0\0\0\0\x02\x06pc.ram\0"));
  expect (fd, BYTES ("\0\0\0\0\0\0\0\x10\x7e\0\0\0\x02"));

  expect (fd, device_state + 8, sizeof device_state - 8);
  expect (fd, BYTES ("\x06\0\0\0\x02{}"));
  struct stat status;
  ck_assert_int_eq (fstat (fd, &status), 0);
  ck_assert_int_eq (status.st_size, lseek (fd, 0, SEEK_CUR));
}
END_TEST

static gpointer
drain (gpointer data)
{
  int fd = GPOINTER_TO_INT (data);
  guint64 total = 0;
  guint8 buffer[PAGE];
  for (gssize n; (n = read (fd, buffer, sizeof buffer)) > 0;)
    total += (guint64)n;
  return g_memdup2 (&total, sizeof total);
}

/* More than any buffer holds, to a reader that comes late. */
START_TEST (test_large)
{
  int ends[2];
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  cs_autofd int reader = ends[1];
  fcntl (reader, F_SETFL, 0);
  GThread *thread = g_thread_new ("drain", drain, GINT_TO_POINTER (reader));

  const guint64 pages = 4096;
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStream) stream = cs_stream_new (ends[0], "m");
  guint8 page[PAGE] = { 1 };
  cs_stream_add_block (stream, "b", pages * PAGE);
  ck_assert (cs_stream_begin (stream, &error));
  for (guint64 i = 0; i < pages; i++)
    ck_assert (cs_stream_page (stream, 0, i, page, &error));
  ck_assert (cs_stream_end (stream, device_state, sizeof device_state, &error));
  close (ends[0]);

  g_autofree guint64 *total = g_thread_join (thread);
  const guint64 head = 8 + 6 + 17 + 8 + 10 + 13, part = 5, name = 2, tail = 13 + 25 + 7;
  ck_assert_uint_eq (*total, head + part + name + pages * (8 + PAGE) + tail);
}
END_TEST

START_TEST (test_reader_gone)
{
  int ends[2];
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  cs_autofd int fd = ends[0];
  close (ends[1]);
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStream) stream = cs_stream_new (fd, "m");
  ck_assert (!cs_stream_begin (stream, &error));
  unit_assert_error (error, CS_ERROR_GONE);
}
END_TEST

/* What is no device state must not reach QEMU. */
START_TEST (test_bad_state)
{
  static const gsize spoilt[] = { 0, 7, 8, sizeof device_state - 6, sizeof device_state - 1 };
  for (gsize i = 0; i <= G_N_ELEMENTS (spoilt); i++)
    {
      cs_autofd int fd = memory_file ();
      g_autoptr (GError) error = NULL;
      g_autoptr (CsStream) stream = cs_stream_new (fd, "m");
      guint8 bytes[sizeof device_state];
      memcpy (bytes, device_state, sizeof bytes);
      gsize length = sizeof bytes;
      if (i < G_N_ELEMENTS (spoilt))
        bytes[spoilt[i]] ^= 0x55;
      else
        length = 10;
      ck_assert (cs_stream_begin (stream, &error));
      off_t before = lseek (fd, 0, SEEK_CUR);
      ck_assert (!cs_stream_end (stream, bytes, length, &error));
      unit_assert_error (error, CS_ERROR_CORRUPT);
      ck_assert_int_eq (lseek (fd, 0, SEEK_CUR), before);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("stream");
  TCase *tcase = tcase_create ("stream");
  tcase_add_test (tcase, test_layout);
  tcase_add_test (tcase, test_large);
  tcase_add_test (tcase, test_reader_gone);
  tcase_add_test (tcase, test_bad_state);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
