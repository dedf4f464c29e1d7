/* Theory of operation
 *
 * A restored VM runs before its memory is there.  One userfaultfd of QEMU's address space does two
 * jobs at once for every lazy block:
 *
 *   MISSING   a page that is not there makes its toucher wait and sends us a message; we answer
 * with the image's page (lazy-serve.c), and put all others by and by (lazy-fill.c); WP async  the
 * kernel notes for PAGEMAP_SCAN which pages were written, from the first instruction on.
 *
 * The order per block, while QEMU waits with nothing loaded:
 *
 *   1. register MISSING|WP;
 *   2. what is there already (QEMU's start put firmware there, or memory was preallocated) gets the
 *      image's content, also where that is zero.  In shared memory the file may hold pages, of a
 * run long past even, that QEMU has not mapped: they would be mapped without a message, so the file
 * is emptied instead;
 *   3. write-protect everything: pages that are not there get a marker;
 *   4. from now on each page is put by UFFDIO_COPY in WP mode, which keeps it clean for the scan
 *      until the guest writes it.  Zero pages too: UFFDIO_ZEROPAGE fails with EEXIST on a marker
 * and the guest would hang.
 *
 * So at every moment: not there = content of the image; there and clean = content of the image;
 * there and written = the guest's.  That is why a VM that is still filling can be snapshotted as a
 * delta to its image (rule 9).
 *
 * Zero pages are put on a fault only, so that memory stays sparse; therefore faults must be served
 * until cs_lazy_end.  There, with the VM stopped, each block is scanned a last time (into the
 * caller's set, nothing is lost), unregistered, registered for WP alone and protected again; then
 * the kernel itself answers with zero pages.  Nothing can be written in between since QEMU does not
 * run vCPUs or block I/O.
 *
 * A page that was placed and is missing again has been discarded by QEMU (a balloon, free page
 * reporting): it reads as zero, as without us.  The bitmap of placed pages tells; how it keeps two
 * answers to one fault from bringing the old content back: lazy-place.c.
 *
 * When clusnapd dies: a copy of the descriptor stays open in QEMU.  Without it the kernel would
 * drop the registration and answer zero for what is missing: silent corruption.  With it, faults
 * wait.  A restarted clusnapd takes the descriptor again (lazy-json.c), wakes all waiters, whose
 * faults come anew, and goes on.  What it cannot know is which pages were discarded: those get the
 * image's content, as if the discard had not happened, which a balloon permits.
 *
 * When the store fails: the fault stays unanswered, for the guest must not read something else, and
 * the error is what cs_lazy_wait_filled returns.  Other faults are served on.  The VM is not
 * stopped: a vCPU that waits in a fault cannot be (`stop` would wait for it, and the monitor with
 * it).  Once the store is well again, cs_lazy_start_fill wakes the waiters and tries again; else
 * end QEMU and restore another snapshot.
 *
 * Not done: huge pages and private file mappings (cs_lazy_suits says no: load them eagerly).
 */
#include "config.h"

#include "vmm/lazy.h"

#include <errno.h>

#include "common/error.h"
#include "vmm/inject.h"
#include "vmm/lazy-mapping.h"
#include "vmm/lazy-private.h"
#include "vmm/lazy-uffd.h"
#include "vmm/process.h"

/* Smaller blocks are loaded faster than they are registered. */
#define LAZY_MINIMUM (32 * 1024 * 1024)
#define BATCH_PAGES 64

CsLazyBlock *
cs_lazy_block_new (const CsRamBlock *info)
{
  CsLazyBlock *block = g_new0 (CsLazyBlock, 1);
  block->info = *info;
  block->info.name = g_strdup (info->name);
  return block;
}

void
cs_lazy_block_free (CsLazyBlock *block)
{
  if (block == NULL)
    return;
  cs_bitmap_free (block->placed);
  cs_read_plan_free (block->plan);
  g_free (block->info.name);
  g_free (block);
}

CsLazy *
cs_lazy_new (CsMonitor *monitor, CsImage *image, GError **error)
{
  int keep = -1;
  pid_t pid = cs_monitor_pid (monitor);
  int uffd = cs_inject_userfaultfd (pid, monitor, cs_uffd_lazy_features (), &keep, error);
  if (uffd < 0)
    {
      g_prefix_error (error, "%s: ", cs_monitor_name (monitor));
      return NULL;
    }
  return cs_lazy_new_from_fd (pid, uffd, keep, cs_monitor_name (monitor), image, error);
}

CsLazy *
cs_lazy_new_from_fd (pid_t pid, int uffd, int keep, const char *name, CsImage *image,
                     GError **error)
{
  CsTracker *tracker = cs_tracker_new_from_fd (pid, uffd, error);
  if (tracker == NULL)
    return NULL;
  CsLazy *lazy = g_new0 (CsLazy, 1);
  lazy->pid = pid;
  lazy->start_time = cs_process_start_time (pid);
  lazy->tracker = tracker;
  lazy->uffd = uffd;
  lazy->keep = keep;
  lazy->name = g_strdup (name);
  lazy->image = image;
  lazy->stop_server = -1;
  lazy->rate = CS_LAZY_RATE_ADAPTIVE;
  lazy->servers = g_ptr_array_new ();
  lazy->fillers = g_ptr_array_new ();
  lazy->touches = g_array_new (FALSE, FALSE, sizeof (CsTouch));
  g_queue_init (&lazy->flights);
  lazy->blocks = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_lazy_block_free);
  g_mutex_init (&lazy->lock);
  g_cond_init (&lazy->changed);
  return lazy;
}

void
cs_lazy_free (CsLazy *lazy)
{
  if (lazy == NULL)
    return;
  cs_lazy_stop_fill (lazy);
  cs_lazy_stop_server (lazy);
  cs_tracker_free (lazy->tracker);
  cs_pagemap_close (lazy->pagemap);
  g_ptr_array_unref (lazy->servers);
  g_ptr_array_unref (lazy->fillers);
  g_clear_pointer (&lazy->work, g_array_unref);
  g_clear_pointer (&lazy->hint, g_array_unref);
  g_array_unref (lazy->touches);
  g_ptr_array_unref (lazy->blocks);
  g_clear_error (&lazy->error);
  g_cond_clear (&lazy->changed);
  g_mutex_clear (&lazy->lock);
  g_free (lazy->name);
  g_free (lazy);
}

bool
cs_lazy_suits (const CsRamBlock *block, CsMappingKind kind)
{
  return block->used_length >= LAZY_MINIMUM && block->page_size == CS_PAGE_SIZE
         && kind != CS_MAPPING_OTHER;
}

void
cs_lazy_append (CsLazy *lazy, CsLazyBlock *block, bool tracked)
{
  if (tracked)
    cs_tracker_adopt_block (lazy->tracker, &block->info);
  g_mutex_lock (&lazy->lock);
  g_ptr_array_add (lazy->blocks, block);
  g_mutex_unlock (&lazy->lock);
}

bool
cs_lazy_add_eager_block (CsLazy *lazy, const CsRamBlock *info, GError **error)
{
  /* Huge pages: whole ones. */
  guint64 length = (info->used_length + info->page_size - 1) / info->page_size * info->page_size;
  if (!cs_uffd_register (lazy->uffd, info->host, length, false, info->name, error)
      || !cs_uffd_protect (lazy->uffd, info->host, length, info->name, error))
    {
      g_prefix_error (error, "%s: ", lazy->name);
      return false;
    }
  cs_lazy_append (lazy, cs_lazy_block_new (info), true);
  return true;
}

/* --- a lazy block --- */

/* Writes the image's content of a run of pages that are there. */
static bool
overwrite_run (CsLazy *lazy, CsLazyBlock *block, guint64 page, guint64 count, guint8 *buffer,
               GError **error)
{
  for (guint64 end = page + count; page < end; page += count)
    {
      count = MIN (end - page, BATCH_PAGES);
      if (!cs_image_read (lazy->image, block->volume, page, count, buffer, error)
          || !cs_mapping_write (lazy->pid, block->info.host + page * CS_PAGE_SIZE, buffer,
                                count * CS_PAGE_SIZE, error))
        return false;
      cs_bitmap_set_range (block->placed, page, count);
      lazy->done += cs_lazy_count_content (lazy, block, page, count);
    }
  return true;
}

static bool
overwrite_present (CsLazy *lazy, CsLazyBlock *block, GError **error)
{
  const CsRamBlock *info = &block->info;
  g_autoptr (CsBitmap) present = cs_bitmap_new (info->used_length / CS_PAGE_SIZE);
  if (!cs_mapping_present (lazy->pid, info->host, info->used_length, true, present, error))
    return false;
  g_autofree guint8 *buffer = g_malloc (BATCH_PAGES * CS_PAGE_SIZE);
  for (guint64 at = 0, n; cs_bitmap_next_run (present, at, &at, &n); at += n)
    if (!overwrite_run (lazy, block, at, n, buffer, error))
      return false;
  return true;
}

static bool
prepare_block (CsLazy *lazy, CsLazyBlock *block, CsMappingKind kind, GError **error)
{
  const CsRamBlock *info = &block->info;
  if (!cs_uffd_register (lazy->uffd, info->host, info->used_length, true, info->name, error))
    return false;
  if (kind == CS_MAPPING_SHARED_MEMORY
      && !cs_mapping_punch (lazy->pid, info->host, info->used_length, error))
    return false;
  return overwrite_present (lazy, block, error)
         && cs_uffd_protect (lazy->uffd, info->host, info->used_length, info->name, error);
}

bool
cs_lazy_add_block (CsLazy *lazy, const CsRamBlock *info, CsMappingKind kind, guint volume,
                   GError **error)
{
  CsVolumeInfo of;
  cs_image_volume_info (lazy->image, volume, &of);
  g_return_val_if_fail (of.length == info->used_length && lazy->fillers->len == 0, false);

  CsLazyBlock *block = cs_lazy_block_new (info);
  block->volume = volume;
  block->lazy = true;
  block->placed = cs_bitmap_new (info->used_length / CS_PAGE_SIZE);
  if (!prepare_block (lazy, block, kind, error))
    {
      g_prefix_error (error, "%s: RAM block '%s': ", lazy->name, info->name);
      cs_lazy_block_free (block);
      return false;
    }
  g_mutex_lock (&lazy->lock);
  lazy->total += of.pages_present;
  g_mutex_unlock (&lazy->lock);
  cs_lazy_append (lazy, block, true);
  cs_lazy_start_server (lazy);
  return true;
}

/* --- ends of it --- */

void
cs_lazy_fail (CsLazy *lazy, GError *error)
{
  g_prefix_error (&error, "%s: restoring its memory: ", lazy->name);
  if (lazy->error == NULL)
    lazy->error = error;
  else
    g_error_free (error);
  g_cond_broadcast (&lazy->changed);
}

/* Lock held. */
static CsLazyBlock *
find_lazy (CsLazy *lazy, const char *name)
{
  for (guint i = 0; i < lazy->blocks->len; i++)
    {
      CsLazyBlock *block = g_ptr_array_index (lazy->blocks, i);
      if (block->lazy && g_str_equal (block->info.name, name))
        return block;
    }
  return NULL;
}

bool
cs_lazy_get_placed (CsLazy *lazy, const char *name, CsBitmap *placed)
{
  g_mutex_lock (&lazy->lock);
  const CsLazyBlock *block = find_lazy (lazy, name);
  bool known = block != NULL && cs_bitmap_size (block->placed) == cs_bitmap_size (placed);
  if (known)
    cs_bitmap_or (placed, block->placed);
  g_mutex_unlock (&lazy->lock);
  return known;
}

bool
cs_lazy_put (CsLazy *lazy, const char *name, guint64 page, guint64 count, const void *data,
             GError **error)
{
  g_mutex_lock (&lazy->lock);
  CsLazyBlock *block = find_lazy (lazy, name);
  g_mutex_unlock (&lazy->lock);
  return block == NULL || cs_lazy_place (lazy, block, page, count, data, error);
}

CsTracker *
cs_lazy_tracker (CsLazy *lazy)
{
  return lazy->tracker;
}

CsTracker *
cs_lazy_steal_tracker (CsLazy *lazy)
{
  return g_steal_pointer (&lazy->tracker);
}
