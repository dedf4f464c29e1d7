/* Lazy disks (lazy-disks.h) whose QEMU has ended. */
#include "config.h"

#include "vmm/lazy-disks-private.h"

#include "common/error.h"

#include <gio/gio.h>

static bool
rebase (const CsLazyDisk *disk, GError **error)
{
  const char *argv[] = {
    "qemu-img", "rebase", "-q", "-f", "qcow2", "-b", "", disk->filename, NULL
  };
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;
  g_autoptr (GSubprocess) process = g_subprocess_newv (
      argv, G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &local);
  if (process != NULL && g_subprocess_communicate_utf8 (process, NULL, NULL, NULL, &text, &local)
      && g_subprocess_get_successful (process))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_BUSY, "disk '%s' ('%s') cannot be filled: %s", disk->name,
               disk->filename, local ? local->message : g_strchomp (text));
  return false;
}

bool
cs_lazy_disks_finish_offline (CsLazyDisks *lazy, GError **error)
{
  if (g_atomic_int_get (&lazy->complete))
    return true;
  if (!cs_lazy_disks_serve (lazy, error))
    return false;
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      CsLazyDisk *disk = lazy->disks->pdata[i];
      if (!disk->complete
          && !(disk->aside != NULL ? cs_lazy_aside_finish_offline (disk->aside, error)
                                   : rebase (disk, error)))
        return false;
      disk->complete = true;
    }
  cs_lazy_disks_check_complete (lazy);
  return true;
}
