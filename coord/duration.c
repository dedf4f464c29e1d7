#include "config.h"

#include "coord/duration.h"

#include "common/error.h"

#include <string.h>

static const struct
{
  const char *suffix;
  guint64 us;
} units[] = { { "us", 1 }, { "ms", G_USEC_PER_SEC / 1000 }, { "s", G_USEC_PER_SEC } };

#define MAX_US (3600 * (guint64)G_USEC_PER_SEC)

bool
cs_duration_parse (const char *text, guint64 *us, GError **error)
{
  gsize digits = strspn (text, "0123456789");
  g_autofree char *number = g_strndup (text, digits);
  guint64 value = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (strcmp (text + digits, units[i].suffix) == 0
        && g_ascii_string_to_unsigned (number, 10, 1, MAX_US / units[i].us, &value, NULL))
      {
        *us = value * units[i].us;
        return true;
      }
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "'%.64s' is no time: write it like '2s', '500ms' or '1500us' (at most an hour)",
               text);
  return false;
}
