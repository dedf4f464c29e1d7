/* What is written to an image set aside (lazy-aside.h) without QEMU. */
#include "config.h"

#include "vmm/lazy-aside-private.h"

#include "common/error.h"
#include "common/fault.h"
#include "common/fd.h"
#include "vmm/disk-fill.h"
#include "vmm/lazy-private.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FILL_NICE 10

static bool
write_from (CsLazyAside *aside, CsImage *image, guint volume, const char *path, GError **error)
{
  const CsDisk form = { .name = (char *)aside->disk.name,
                        .format = (char *)"raw",
                        .size = aside->disk.size };
  CsVolumeInfo info;
  cs_image_volume_info (image, volume, &info);
  __atomic_store_n (&aside->written, 0, __ATOMIC_RELAXED);
  __atomic_store_n (&aside->content, info.pages_present * CS_PAGE_SIZE, __ATOMIC_RELAXED);
  cs_autofd int fd = open (path, O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return cs_error_set_errno (error, errno, "cannot open '%s'", path);
  if (!cs_disk_fill (&form, path, fd, false, image, volume, aside->cancellable, &aside->written,
                     error))
    return false;
  /* So that the end of QEMU's job, for which the guest waits, has little to flush. */
  return fdatasync (fd) == 0 || cs_error_set_errno (error, errno, "cannot flush '%s'", path);
}

bool
cs_lazy_aside_write (CsLazyAside *aside, const char *path, GError **error)
{
  guint volume;
  CsImage *image = cs_image_open (aside->disk.store, aside->disk.image, error);
  bool ok = image != NULL;
  if (ok && !(ok = cs_image_find_volume (image, CS_VOLUME_DISK, aside->disk.name, &volume)))
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "image '%s' has no such volume",
                 aside->disk.image);
  ok = ok && write_from (aside, image, volume, path, error);
  cs_image_free (image);
  if (!ok)
    g_prefix_error (error, "disk '%s' ('%s') could not be filled to its end: ", aside->disk.name,
                    aside->path);
  return ok;
}

static gpointer
filler_main (gpointer data)
{
  CsLazyAside *aside = data;
  cs_lazy_set_nice (FILL_NICE);
  bool ok = cs_fault_point ("disk-write", &aside->error)
            && cs_lazy_aside_write (aside, aside->fill_path, &aside->error);
  g_atomic_int_set (&aside->state, ok ? ASIDE_FILLED : ASIDE_FAILED);
  return NULL;
}

bool
cs_lazy_aside_fill (CsLazyAside *aside, bool *filled, GError **error)
{
  gint state = g_atomic_int_get (&aside->state);
  *filled = state == ASIDE_FILLED;
  if (state == ASIDE_FILLING)
    return true;
  g_clear_pointer (&aside->filler, g_thread_join);
  if (state == ASIDE_FILLED)
    return true;
  if (state == ASIDE_FAILED)
    {
      g_atomic_int_set (&aside->state, ASIDE_EMPTY);
      g_propagate_error (error, g_steal_pointer (&aside->error));
      return false;
    }
  g_atomic_int_set (&aside->state, ASIDE_FILLING);
  aside->filler = g_thread_new ("disk-filler", filler_main, aside);
  return true;
}

void
cs_lazy_aside_stop_fill (CsLazyAside *aside)
{
  if (aside->filler == NULL)
    return;
  g_cancellable_cancel (aside->cancellable);
  g_clear_pointer (&aside->filler, g_thread_join);
  g_cancellable_reset (aside->cancellable);
  g_clear_error (&aside->error);
  if (g_atomic_int_get (&aside->state) == ASIDE_FAILED)
    g_atomic_int_set (&aside->state, ASIDE_EMPTY);
}

/* ---- QEMU has ended ---- */

static bool
run (const CsLazyAside *aside, const char *const *argv, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;
  g_autoptr (GSubprocess) process = g_subprocess_newv (
      argv, G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &local);
  if (process != NULL && g_subprocess_communicate_utf8 (process, NULL, NULL, NULL, &text, &local)
      && g_subprocess_get_successful (process))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_BUSY, "disk '%s' ('%s') cannot be filled: %s",
               aside->disk.name, aside->path, local ? local->message : g_strchomp (text));
  return false;
}

/* The overlay's header names the image in place of the server before the commit, which writes to
 * what it names: the image is filled then.  Interrupted, all of it is done again. */
static bool
commit (CsLazyAside *aside, GError **error)
{
  const char *rebase[] = { "qemu-img", "rebase",         "-q", "-u",  "-f",           "qcow2",
                           "-b",       aside->fill_path, "-F", "raw", aside->overlay, NULL };
  const char *write[] = { "qemu-img", "commit", "-q", "-d", "-f", "qcow2", aside->overlay, NULL };
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
  const char *probe[] = { "qemu-img", "info", "-f", "qcow2", aside->overlay, NULL };
  cs_lazy_aside_stop_fill (aside);
  if (!cs_lazy_aside_is_named (aside)
      && !(run (aside, probe, error)
           && (g_atomic_int_get (&aside->state) == ASIDE_FILLED
               || cs_lazy_aside_write (aside, aside->fill_path, error))
           && commit (aside, error)))
    return false;
  if (!cs_lazy_aside_take_name (aside, error))
    return false;
  unlink (aside->overlay);
  return true;
}
