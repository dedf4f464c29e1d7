#include "config.h"

#include "coord/format.h"

char *
cs_format_size (guint64 bytes)
{
  static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  if (bytes < 1024)
    return g_strdup_printf ("%" G_GUINT64_FORMAT " B", bytes);
  double value = (double)bytes / 1024;
  gsize unit = 0;
  /* 1023.95 would be shown as 1024.0. */
  while (value >= 1023.95 && unit + 1 < G_N_ELEMENTS (units))
    {
      value /= 1024;
      unit++;
    }
  return g_strdup_printf ("%.1f %s", value, units[unit]);
}

char *
cs_format_time (guint64 us)
{
  if (us < 999950)
    return g_strdup_printf ("%.1f ms", (double)us / 1000);
  return g_strdup_printf ("%.2f s", (double)us / G_USEC_PER_SEC);
}

char *
cs_format_ratio (double ratio)
{
  return g_strdup_printf ("%.1fx", ratio);
}

char *
cs_format_text (const char *text)
{
  GString *clean = g_string_new (NULL);
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  for (const char *at = valid; *at != '\0'; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);
      if (g_unichar_iscntrl (c))
        g_string_append_c (clean, '?');
      else
        g_string_append_unichar (clean, c);
    }
  return g_string_free (clean, FALSE);
}
