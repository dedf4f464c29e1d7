#include "config.h"

#include "common/error.h"
#include "vmm/ramblock.h"

#include <string.h>

/* One line of the text, from QEMU's system/physmem.c ram_block_format:
 *
 *     Block Name    PSize   Offset   Used   Total   HVA   RO
 *         pc.ram    4 KiB  0x...0  0x...8000000  0x...8000000  0x00007f12...  rw
 *
 * The name is padded on the left and may itself hold anything, so a line is read from its
 * right end.  QEMU before 8.0 prints neither HVA nor RO.  A block without a name was never given
 * to the migration (vmstate_register_ram): no snapshot of QEMU's own holds it, nor does ours. */

#define PAGE 4096
#define MAX_BLOCKS 4096
#define MAX_NAME 255                                 /* RAMBlock.idstr */
#define ADDRESS_LIMIT (G_GUINT64_CONSTANT (1) << 56) /* user addresses with 5-level page tables */

static void
ram_block_free (gpointer data)
{
  CsRamBlock *block = data;
  g_free (block->name);
  g_free (block);
}

static bool
refuse (GError **error, const char *line, const char *why)
{
  g_autofree char *shown = g_strescape (line, NULL);
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "line '%.200s' of QEMU's list of RAM blocks: %s",
               shown, why);
  return false;
}

/* Cuts the last word off @line, which may end in blanks; NULL when there is none. */
static const char *
cut_word (char *line)
{
  g_strchomp (line);
  char *blank = strrchr (line, ' ');
  if (blank == NULL)
    return NULL;
  *blank = '\0';
  return blank[1] != '\0' ? blank + 1 : NULL;
}

static bool
parse_hex (const char *word, guint64 *value)
{
  return word != NULL && g_str_has_prefix (word, "0x")
         && g_ascii_string_to_unsigned (word + 2, 16, 0, G_MAXUINT64, value, NULL);
}

/* QEMU's size_to_str: "4 KiB", "2 MiB", "1 GiB". */
static bool
parse_page_size (const char *number, const char *unit, guint64 *size)
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
  guint64 count;
  if (number == NULL || unit == NULL
      || !g_ascii_string_to_unsigned (number, 10, 1, 1 << 20, &count, NULL))
    return false;
  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    if (strcmp (unit, units[i]) == 0)
      {
        *size = count << (10 * i);
        return (*size & (*size - 1)) == 0 && *size >= PAGE && *size <= G_GUINT64_CONSTANT (1) << 30;
      }
  return false;
}

/* What must hold of numbers before anybody computes with them. */
static const char *
flaw_of (const CsRamBlock *block)
{
  if (block->host == 0 || block->host % block->page_size != 0)
    return "the address is zero or not aligned to the page size";
  if (block->used_length % PAGE != 0 || block->max_length < block->used_length)
    return "the used length is not a multiple of 4096 or exceeds the total";
  if (block->max_length >= ADDRESS_LIMIT || block->host >= ADDRESS_LIMIT - block->max_length)
    return "the block exceeds the address space";
  return NULL;
}

/* Parses @line, which it takes apart.  *@block stays NULL for one that is to be left out. */
static bool
parse_line (const char *line, CsRamBlock **block, GError **error)
{
  g_autofree char *rest = g_strdup (line);
  CsRamBlock found = { 0 };
  guint64 offset;

  const char *access = cut_word (rest);
  if (g_strcmp0 (access, "ro") != 0 && g_strcmp0 (access, "rw") != 0)
    return refuse (error, line, "it does not end in 'ro' or 'rw'");
  found.read_only = strcmp (access, "ro") == 0;
  if (!parse_hex (cut_word (rest), &found.host) || !parse_hex (cut_word (rest), &found.max_length)
      || !parse_hex (cut_word (rest), &found.used_length) || !parse_hex (cut_word (rest), &offset))
    return refuse (error, line, "offset, used, total and address are not four numbers");
  const char *unit = cut_word (rest);
  const char *number = cut_word (rest);
  if (!parse_page_size (number, unit, &found.page_size))
    return refuse (error, line, "the page size is not one of x86-64");

  const char *name = g_strstrip (rest);
  if (*name == '\0' || found.used_length == 0)
    return true;
  if (strlen (name) > MAX_NAME || !g_utf8_validate (name, -1, NULL))
    return refuse (error, line, "the name is too long or not UTF-8");
  const char *flaw = flaw_of (&found);
  if (flaw != NULL)
    return refuse (error, line, flaw);
  found.name = g_strdup (name);
  *block = g_memdup2 (&found, sizeof found);
  return true;
}

/* Names identify blocks, and memory belongs to one block: the tracker relies on both. */
static bool
add_block (GPtrArray *blocks, CsRamBlock *block, const char *line, GError **error)
{
  if (blocks->len >= MAX_BLOCKS)
    return refuse (error, line, "there are more than 4096 blocks");
  for (guint i = 0; i < blocks->len; i++)
    {
      const CsRamBlock *other = g_ptr_array_index (blocks, i);
      if (strcmp (other->name, block->name) == 0)
        return refuse (error, line, "a second block of this name");
      if (block->host < other->host + other->max_length
          && other->host < block->host + block->max_length)
        return refuse (error, line, "the block overlaps another one");
    }
  g_ptr_array_add (blocks, block);
  return true;
}

static bool
check_heading (const char *line, GError **error)
{
  if (strstr (line, "Block Name") == NULL)
    return refuse (error, line, "it is not the expected heading");
  if (strstr (line, "HVA") != NULL)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
               "this QEMU does not print the addresses of its RAM blocks: QEMU 8.0 or newer is "
               "needed");
  return false;
}

GPtrArray *
cs_ram_blocks_parse (const char *text, GError **error)
{
  g_autoptr (GPtrArray) blocks = g_ptr_array_new_with_free_func (ram_block_free);
  g_auto (GStrv) lines = g_strsplit (text, "\n", MAX_BLOCKS + 16);

  if (!check_heading (lines[0] != NULL ? lines[0] : "", error))
    return NULL;
  for (char **line = lines + 1; *line != NULL; line++)
    {
      CsRamBlock *block = NULL;
      if (strspn (*line, " \r") == strlen (*line))
        continue;
      if (!parse_line (*line, &block, error))
        return NULL;
      if (block != NULL && !add_block (blocks, block, *line, error))
        {
          ram_block_free (block);
          return NULL;
        }
    }
  return g_steal_pointer (&blocks);
}

GPtrArray *
cs_ram_blocks_query (CsMonitor *monitor, GError **error)
{
  json_object *result = NULL, *text = NULL;
  GPtrArray *blocks = NULL;

  if (!cs_monitor_execute (monitor, "x-query-ramblock", NULL, &result, error))
    return NULL;
  if (!json_object_object_get_ex (result, "human-readable-text", &text)
      || !json_object_is_type (text, json_type_string))
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "x-query-ramblock returned no text");
  else
    blocks = cs_ram_blocks_parse (json_object_get_string (text), error);
  if (blocks == NULL)
    g_prefix_error (error, "%s: ", cs_monitor_name (monitor));
  json_object_put (result);
  return blocks;
}
