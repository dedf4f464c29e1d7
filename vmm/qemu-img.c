#include "config.h"

#include "vmm/qemu-img.h"

#include "common/error.h"

bool
cs_qemu_img_run (const char *const *arguments, GError **error)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;
  g_ptr_array_add (argv, (char *)"qemu-img");
  for (; *arguments != NULL; arguments++)
    g_ptr_array_add (argv, (char *)*arguments);
  g_ptr_array_add (argv, NULL);
  g_autoptr (GSubprocess) process =
      g_subprocess_newv ((const char *const *)argv->pdata, CS_QEMU_IMG_FLAGS, &local);
  if (process != NULL && g_subprocess_communicate_utf8 (process, NULL, NULL, NULL, &text, &local)
      && g_subprocess_get_successful (process))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "qemu-img: %s",
               local ? local->message : g_strchomp (text));
  return false;
}
