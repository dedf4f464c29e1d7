/* An image set aside (lazy-aside.h) whose QEMU has ended. */
#include "config.h"

#include "vmm/lazy-aside-private.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/qemu-img.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool
run (const CsLazyAside *aside, const char *const *arguments, GError **error)
{
  if (cs_qemu_img_run (arguments, error))
    return true;
  g_prefix_error (error, "disk '%s' ('%s') cannot be filled: ", aside->disk.form->name,
                  aside->path);
  return false;
}

/* The overlay's header names the image in place of the server before the commit, which writes to
 * what it names: the image is filled then.  Interrupted, all of it is done again. */
static bool
commit (CsLazyAside *aside, GError **error)
{
  const char *rebase[] = { "rebase",
                           "-q",
                           "-u",
                           "-f",
                           "qcow2",
                           "-b",
                           aside->fill_path,
                           "-F",
                           aside->disk.form->format,
                           aside->overlay,
                           NULL };
  const char *write[] = { "commit", "-q", "-d", "-f", "qcow2", aside->overlay, NULL };
  if (!run (aside, rebase, error) || !run (aside, write, error))
    return false;
  cs_autofd int fd = open (aside->fill_path, O_RDONLY | O_CLOEXEC);
  return (fd >= 0 && fsync (fd) == 0)
         || cs_error_set_errno (error, errno, "cannot flush '%s'", aside->fill_path);
}

bool
cs_lazy_aside_finish_offline (CsLazyAside *aside, GError **error)
{
  /* Refused while a QEMU has it open for writing. */
  const char *probe[] = { "info", "-f", "qcow2", aside->overlay, NULL };
  cs_lazy_aside_stop_fill (aside);
  g_clear_pointer (&aside->server, cs_disk_server_free);
  if (!cs_lazy_aside_is_named (aside) && !cs_lazy_aside_has_changed_over (aside)
      && !(run (aside, probe, error)
           && (g_atomic_int_get (&aside->state) == ASIDE_FILLED
               || cs_lazy_aside_write (aside, aside->fill_path, error))
           && commit (aside, error)))
    return false;
  cs_lazy_aside_forget_libvirt (aside);
  if (!cs_lazy_aside_take_name (aside, error))
    return false;
  unlink (aside->overlay);
  return true;
}
