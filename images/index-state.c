#include "config.h"

#include "images/index-state.h"

#include "common/fd.h"

#include <string.h>

/* "open 8a1f…\n", or NULL where the host does not tell its boot id. */
static char *
open_text (void)
{
  g_autofree char *boot = NULL;
  if (!g_file_get_contents ("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL))
    return NULL;
  return g_strdup_printf ("open %s\n", g_strstrip (boot));
}

bool
cs_index_state_is_sound (const char *directory)
{
  g_autofree char *path = g_build_filename (directory, "state", NULL);
  g_autofree char *text = NULL;
  g_autofree char *current = open_text ();
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return false;
  return strcmp (text, "clean\n") == 0 || g_strcmp0 (text, current) == 0;
}

static bool
set (const char *directory, const char *text, GError **error)
{
  g_autofree char *path = g_build_filename (directory, "state", NULL);
  return cs_file_commit (path, text, strlen (text), true, error);
}

bool
cs_index_state_set_open (const char *directory, GError **error)
{
  g_autofree char *text = open_text ();
  return set (directory, text != NULL ? text : "open\n", error);
}

bool
cs_index_state_set_clean (const char *directory, GError **error)
{
  return set (directory, "clean\n", error);
}
