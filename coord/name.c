#include "config.h"

#include "coord/name.h"

#include "common/error.h"

#include <string.h>

static bool
is_name (const char *name)
{
  gsize length = strlen (name);
  if (length == 0 || length > CS_NAME_MAX || !g_ascii_isalnum (name[0]))
    return false;
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (name[i]) && strchr ("._-", name[i]) == NULL)
      return false;
  return true;
}

bool
cs_name_check (const char *what, const char *name, GError **error)
{
  if (is_name (name))
    return true;
  g_autofree char *printable = g_strescape (name, NULL);
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "'%.160s' is no name for a %s: it needs 1 to %d letters, digits, '.', '_' or '-', "
               "the first one a letter or digit",
               printable, what, CS_NAME_MAX);
  return false;
}
