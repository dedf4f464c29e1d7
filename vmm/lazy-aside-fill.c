/* What we write to an image set aside (lazy-aside.h). */
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

static bool
write_from (CsLazyAside *aside, CsImage *image, guint volume, const char *path, guint64 rate,
            GError **error)
{
  CsVolumeInfo info;
  CsDiskFillControl control = { .cancellable = aside->cancellable,
                                .written = &aside->written,
                                .pace = { .rate = rate } };
  bool above = aside->disk.form->backing_file != NULL;
  cs_image_volume_info (image, volume, &info);
  __atomic_store_n (&aside->content,
                    above ? aside->disk.form->size : info.pages_present * CS_PAGE_SIZE,
                    __ATOMIC_RELAXED);
  if (aside->nbd != NULL)
    return cs_disk_fill_above (aside->disk.form, path, aside->nbd, image, volume, &control, error);
  __atomic_store_n (&aside->written, 0, __ATOMIC_RELAXED);
  cs_autofd int fd = open (path, O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return cs_error_set_errno (error, errno, "cannot open '%s'", path);
  if (!cs_disk_fill (aside->disk.form, path, fd, false, image, volume, &control, error))
    return false;
  /* So that the end of QEMU's job, for which the guest waits, has little to flush. */
  return fdatasync (fd) == 0 || cs_error_set_errno (error, errno, "cannot flush '%s'", path);
}

static bool
write_at (CsLazyAside *aside, const char *path, guint64 rate, GError **error)
{
  guint volume;
  const char *name = aside->disk.form->name;
  CsImage *image = cs_image_open (aside->disk.store, aside->disk.image, error);
  bool ok = image != NULL;
  if (ok && !(ok = cs_image_find_volume (image, CS_VOLUME_DISK, name, &volume)))
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "image '%s' has no such volume",
                 aside->disk.image);
  ok = ok && write_from (aside, image, volume, path, rate, error);
  cs_image_free (image);
  if (!ok)
    g_prefix_error (error, "disk '%s' ('%s') could not be filled to its end: ", name, aside->path);
  return ok;
}

bool
cs_lazy_aside_write (CsLazyAside *aside, const char *path, GError **error)
{
  return write_at (aside, path, 0, error);
}

static gpointer
filler_main (gpointer data)
{
  CsLazyAside *aside = data;
  cs_lazy_set_nice (CS_LAZY_FILL_NICE);
  bool ok = cs_fault_point ("disk-write", &aside->error)
            && write_at (aside, aside->fill_path, aside->disk.rate, &aside->error);
  g_clear_pointer (&aside->nbd, cs_nbd_free);
  g_atomic_int_set (&aside->state, ok ? ASIDE_FILLED : ASIDE_FAILED);
  return NULL;
}

void
cs_lazy_aside_start_fill (CsLazyAside *aside, CsNbd *nbd)
{
  aside->nbd = nbd;
  g_atomic_int_set (&aside->state, ASIDE_FILLING);
  aside->filler = g_thread_new ("disk-filler", filler_main, aside);
}

CsLazyAsideState
cs_lazy_aside_end_fill (CsLazyAside *aside, GError **error)
{
  CsLazyAsideState state = (CsLazyAsideState)g_atomic_int_get (&aside->state);
  if (state != ASIDE_FILLING)
    g_clear_pointer (&aside->filler, g_thread_join);
  if (state == ASIDE_FAILED)
    {
      g_atomic_int_set (&aside->state, ASIDE_EMPTY);
      g_propagate_error (error, g_steal_pointer (&aside->error));
    }
  return state;
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
