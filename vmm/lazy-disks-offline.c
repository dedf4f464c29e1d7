/* Lazy disks (lazy-disks.h) whose QEMU has ended. */
#include "config.h"

#include "vmm/lazy-disks-private.h"

#include "common/error.h"
#include "vmm/qemu-img.h"

static bool
rebase (const CsLazyDisk *disk, GError **error)
{
  const char *arguments[] = { "rebase", "-q", "-f", "qcow2", "-b", "", disk->filename, NULL };
  if (cs_qemu_img_run (arguments, error))
    return true;
  g_prefix_error (error, "disk '%s' ('%s') cannot be filled: ", disk->name, disk->filename);
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
