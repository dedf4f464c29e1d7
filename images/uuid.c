#include "config.h"

#include "images/uuid.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define LENGTH 36u

static bool
is_hyphen_place (gsize i)
{
  return i == 8 || i == 13 || i == 18 || i == 23;
}

bool
cs_uuid_parse (const char *text, guint8 bytes[16])
{
  if (strlen (text) != LENGTH)
    return false;
  gsize digits = 0;
  for (gsize i = 0; i < LENGTH; i++)
    {
      if (is_hyphen_place (i) != (text[i] == '-'))
        return false;
      if (text[i] == '-')
        continue;
      int value = g_ascii_isupper (text[i]) ? -1 : g_ascii_xdigit_value (text[i]);
      if (value < 0)
        return false;
      if (digits % 2 == 0)
        bytes[digits / 2] = (guint8)(value << 4);
      else
        bytes[digits / 2] |= (guint8)value;
      digits++;
    }
  return true;
}

char *
cs_uuid_format (const guint8 bytes[16])
{
  g_autoptr (GString) text = g_string_sized_new (LENGTH);
  for (gsize i = 0; i < 16; i++)
    {
      if (is_hyphen_place (text->len))
        g_string_append_c (text, '-');
      g_string_append_printf (text, "%02x", bytes[i]);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

void
cs_random_bytes (void *bytes, gsize length)
{
  guint8 *next = bytes;
  while (length > 0)
    {
      ssize_t n = getrandom (next, length, 0);
      /* Without flags it waits until there is entropy and has no other error. */
      g_assert (n > 0 || errno == EINTR);
      if (n < 0)
        continue;
      next += n;
      length -= (gsize)n;
    }
}

/* RFC 9562, version 4. */
char *
cs_uuid_random (void)
{
  guint8 bytes[16];
  cs_random_bytes (bytes, sizeof bytes);
  bytes[6] = (guint8)((bytes[6] & 0x0f) | 0x40);
  bytes[8] = (guint8)((bytes[8] & 0x3f) | 0x80);
  return cs_uuid_format (bytes);
}
