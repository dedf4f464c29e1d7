#include "config.h"

#include "common/fault.h"

#include "common/error.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* What is armed, or NULL.  Freed by the caller where it comes from a file. */
static const char *
armed (char **from_file)
{
  static const char *variable;
  static gsize once;
  if (g_once_init_enter (&once))
    {
      variable = g_getenv ("CLUSNAP_FAULT");
      g_once_init_leave (&once, 1);
    }
  if (variable == NULL || *variable != '@')
    return variable;
  g_file_get_contents (variable + 1, from_file, NULL, NULL);
  return *from_file;
}

/* The kind in which @point is armed in @list, up to the list's end, or NULL. */
static const char *
find_kind (const char *list, const char *point)
{
  gsize length = strlen (point);
  for (const char *at = list; at != NULL; at = strchr (at, ','))
    {
      at += *at == ',';
      if (strncmp (at, point, length) == 0 && at[length] == ':')
        return at + length + 1;
    }
  return NULL;
}

/* Waits until @point is armed as "hold" no more. */
static void
hold (const char *point)
{
  for (bool held = true; held; g_usleep (20000))
    {
      g_autofree char *from_file = NULL;
      const char *kind = find_kind (armed (&from_file), point);
      held = kind != NULL && g_str_has_prefix (kind, "hold");
    }
}

bool
cs_fault_point (const char *point, GError **error)
{
  g_autofree char *from_file = NULL;
  const char *kind = find_kind (armed (&from_file), point);
  if (kind == NULL)
    return true;
  if (g_str_has_prefix (kind, "slow"))
    {
      g_usleep (100000);
      return true;
    }
  if (g_str_has_prefix (kind, "hold"))
    {
      hold (point);
      return true;
    }
  if (g_str_has_prefix (kind, "crash"))
    kill (getpid (), SIGKILL);
  while (g_str_has_prefix (kind, "hang"))
    pause ();
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "injected fault at '%s'", point);
  return false;
}
