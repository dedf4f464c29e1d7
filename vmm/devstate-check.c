/* Theory of operation
 *
 * A body may hold any bytes, also ones that look like a footer and the next section's header,
 * and guests choose some of them.  So a single pass from footer to footer could be misled.
 * Instead every place is considered where a footer (0x7e, id) is followed by a header or by
 * the end of the stream: a boundary.  From left to right it is noted which section ids some cut of
 * the stream can have open at that point; a boundary whose footer names such an id makes
 * its header's id one too.  The stream is well formed when the end's footer names an open id.
 * This visits each byte once, whatever the bytes are. */
#include "config.h"

#include "vmm/devstate.h"

#include "common/error.h"

#include <string.h>

#define STREAM_VERSION 3
#define SECTION_FULL 0x04
#define FOOTER 0x7e
#define END 0x00
#define FOOTER_SIZE 5

static guint32
get_be32 (const guint8 *data)
{
  guint32 value;
  memcpy (&value, data, sizeof value);
  return GUINT32_FROM_BE (value);
}

/* The size of the section header at @data, or 0 when there is none.  A name is of QEMU's
 * making: printable ASCII. */
static gsize
header_size (const guint8 *data, gsize length, guint32 *id)
{
  if (length < 6 || data[0] != SECTION_FULL || data[5] == 0)
    return 0;
  gsize name_length = data[5];
  if (length < 6 + name_length + 8)
    return 0;
  for (gsize i = 0; i < name_length; i++)
    if (!g_ascii_isgraph (data[6 + i]) && data[6 + i] != ' ')
      return 0;
  *id = get_be32 (data + 1);
  return 6 + name_length + 8;
}

/* Notes that section @id may be open from position @at on. */
static void
open_section (GHashTable *open, guint32 id, gsize at)
{
  if (!g_hash_table_contains (open, GUINT_TO_POINTER (id)))
    g_hash_table_insert (open, GUINT_TO_POINTER (id), GSIZE_TO_POINTER (at));
}

static bool
is_open (GHashTable *open, guint32 id, gsize at)
{
  gpointer begin;
  return g_hash_table_lookup_extended (open, GUINT_TO_POINTER (id), NULL, &begin)
         && GPOINTER_TO_SIZE (begin) <= at;
}

/* @data: from the first section to the final byte, which is apart. */
static bool
check_sections (const guint8 *data, gsize length)
{
  g_autoptr (GHashTable) open = g_hash_table_new (NULL, NULL);
  guint32 id;
  gsize size = header_size (data, length, &id);
  if (size == 0)
    return false;
  open_section (open, id, size);
  for (gsize at = size; at + FOOTER_SIZE <= length; at++)
    {
      const guint8 *next = memchr (data + at, FOOTER, length - FOOTER_SIZE - at + 1);
      if (next == NULL)
        return false;
      at = (gsize)(next - data);
      if (!is_open (open, get_be32 (next + 1), at))
        continue;
      gsize after = at + FOOTER_SIZE;
      if (after == length)
        return true;
      size = header_size (data + after, length - after, &id);
      if (size > 0)
        open_section (open, id, after + size);
    }
  return false;
}

bool
cs_device_state_check (const void *data, gsize length, GError **error)
{
  const guint8 *bytes = data;
  const char *reason = NULL;
  if (length < 9 || memcmp (bytes, "QEVM", 4) != 0)
    reason = "it does not begin with QEVM";
  else if (get_be32 (bytes + 4) != STREAM_VERSION)
    reason = "it is of another version than 3";
  else if (bytes[length - 1] != END)
    reason = "it does not end with a zero byte";
  else if (!check_sections (bytes + 8, length - 9))
    reason = "it does not consist of sections with footers";
  if (reason == NULL)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "this is no device state: %s", reason);
  return false;
}

static char *
describe_section (const guint8 *header, gsize size)
{
  gsize name_length = header[5];
  return g_strdup_printf ("%.*s instance %u version %u", (int)name_length, (const char *)header + 6,
                          get_be32 (header + size - 8), get_be32 (header + size - 4));
}

/* Where the section @id that is open at @at ends: behind the first footer of it that is followed by
 * a header or the end.  0: nowhere. */
static gsize
find_end (const guint8 *data, gsize length, gsize at, guint32 id)
{
  guint32 next_id;
  for (; at + FOOTER_SIZE <= length; at++)
    {
      const guint8 *next = memchr (data + at, FOOTER, length - FOOTER_SIZE - at + 1);
      if (next == NULL)
        return 0;
      at = (gsize)(next - data);
      gsize after = at + FOOTER_SIZE;
      if (get_be32 (next + 1) == id
          && (after == length || header_size (data + after, length - after, &next_id) > 0))
        return after;
    }
  return 0;
}

GPtrArray *
cs_device_state_sections (const void *data, gsize length, GError **error)
{
  if (!cs_device_state_check (data, length, error))
    return NULL;
  g_autoptr (GPtrArray) sections = g_ptr_array_new_with_free_func (g_free);
  const guint8 *bytes = (const guint8 *)data + 8;
  gsize end = length - 9;
  for (gsize at = 0; at < end;)
    {
      guint32 id = 0;
      gsize size = header_size (bytes + at, end - at, &id);
      gsize next = size > 0 ? find_end (bytes, end, at + size, id) : 0;
      if (next == 0)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                       "this device state cannot be cut into its sections");
          return NULL;
        }
      g_ptr_array_add (sections, describe_section (bytes + at, size));
      at = next;
    }
  return g_steal_pointer (&sections);
}
