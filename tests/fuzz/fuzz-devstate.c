/* cs_device_state_check on any bytes, against the grammar in devstate.h taken literally: all ways
 * to cut the stream are tried. */
#include "config.h"

#include "vmm/devstate.h"

#include <string.h>

/* The reference is quadratic. */
#define SIZE_MAX_BYTES 1024

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static guint32
be32 (const guint8 *data)
{
  return (guint32)data[0] << 24 | (guint32)data[1] << 16 | (guint32)data[2] << 8 | data[3];
}

/* Where the body of the section at @at begins, or 0. */
static gsize
body_of (const guint8 *data, gsize size, gsize at)
{
  if (at + 6 > size || data[at] != 4 || data[at + 5] == 0 || at + 14 + data[at + 5] > size)
    return 0;
  for (gsize i = 0; i < data[at + 5]; i++)
    if (data[at + 6 + i] < 0x20 || data[at + 6 + i] > 0x7e)
      return 0;
  return at + 14 + data[at + 5];
}

/* Whether sections fill @data from @at to its end; @memo: 0 unknown, 1 no. */
static bool
sections (const guint8 *data, gsize size, gsize at, guint8 *memo)
{
  if (memo[at] == 1)
    return false;
  gsize body = body_of (data, size, at);
  for (gsize end = body; body > 0 && end + 5 <= size; end++)
    if (data[end] == 0x7e && be32 (data + end + 1) == be32 (data + at + 1)
        && (end + 5 == size || sections (data, size, end + 5, memo)))
      return true;
  memo[at] = 1;
  return false;
}

static bool
reference (const guint8 *data, gsize size)
{
  guint8 memo[SIZE_MAX_BYTES] = { 0 };
  return size >= 9 && memcmp (data, "QEVM\0\0\0\3", 8) == 0 && data[size - 1] == 0
         && sections (data, size - 1, 8, memo);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  bool good = cs_device_state_check (data, size, &error);
  g_assert (good == (error == NULL));
  if (size <= SIZE_MAX_BYTES)
    g_assert (good == reference (data, size));
  return 0;
}
