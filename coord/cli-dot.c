#include "config.h"

#include "coord/cli-dot.h"

#include "common/error.h"

#include <stdio.h>

void
cs_dot_append_text (GString *dot, const char *text)
{
  g_string_append_c (dot, '"');
  for (; text != NULL && *text != '\0'; text++)
    if (*text == '\n')
      g_string_append (dot, "\\n");
    else
      g_string_append_printf (dot, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
  g_string_append_c (dot, '"');
}

bool
cs_dot_print (const GString *dot, GError **error)
{
  if (fputs (dot->str, stdout) >= 0 && fflush (stdout) == 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_IO, "cannot write to the standard output");
  return false;
}
