#include "config.h"

#include "vmm/qemu-img.h"

#include "common/error.h"
#include "common/json.h"

#include <string.h>

/* Its standard output in *@output (g_free), which may be NULL. */
static bool
run (const char *const *arguments, char **output, GError **error)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;
  g_ptr_array_add (argv, (char *)"qemu-img");
  for (; *arguments != NULL; arguments++)
    g_ptr_array_add (argv, (char *)*arguments);
  g_ptr_array_add (argv, NULL);
  GSubprocessFlags out =
      output != NULL ? G_SUBPROCESS_FLAGS_STDOUT_PIPE : G_SUBPROCESS_FLAGS_STDOUT_SILENCE;
  g_autoptr (GSubprocess) process =
      g_subprocess_newv ((const char *const *)argv->pdata, CS_QEMU_IMG_FLAGS | out, &local);
  if (process != NULL && g_subprocess_communicate_utf8 (process, NULL, NULL, output, &text, &local)
      && g_subprocess_get_successful (process))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "qemu-img: %s",
               local ? local->message : g_strchomp (text));
  return false;
}

bool
cs_qemu_img_run (const char *const *arguments, GError **error)
{
  return run (arguments, NULL, error);
}

json_object *
cs_qemu_img_info (const char *path, GError **error)
{
  const char *arguments[] = { "info", "-U", "-f", "qcow2", "--output=json", "--", path, NULL };
  g_autofree char *text = NULL;
  return run (arguments, &text, error) ? cs_json_parse_object (text, strlen (text), error) : NULL;
}
