/* Theory of operation
 *
 * Leaving MISSING mode: a range is scanned a last time (into the caller's set, so that nothing is
 * lost), unregistered, registered for write protection alone and protected again.  In between the
 * kernel would not notice a write, so the VM is stopped: neither vCPUs nor block I/O write then.
 *
 * Unregistering and protecting touch every page table entry, some 50 to 100 ms per GiB of resident
 * memory.  So it is done in slices, as many as fit into a short pause each, and the VM runs between
 * the pauses.  Faults in slices yet to come are served all the while.
 *
 * Killed between two slices, the block is partly in MISSING mode; lazy-json.c takes that into
 * account.
 */
#include "config.h"

#include "common/error.h"
#include "vmm/inject.h"
#include "vmm/lazy-mapping.h"
#include "vmm/lazy-private.h"
#include "vmm/lazy-uffd.h"

#define SLICE (4 * 1024 * 1024)

/* Memory that was unplugged after it was filled. */
static bool
is_unmapped (CsLazy *lazy, const CsRamBlock *info)
{
  CsMappingKind kind;
  return cs_mapping_kind (lazy->pid, info->host, info->used_length, &kind, NULL)
         && kind == CS_MAPPING_OTHER;
}

/* Of the slice at the block's end so far.  @dirty NULL: the tracker does not know the block. */
static bool
scan_slice (CsLazy *lazy, CsLazyBlock *block, guint64 length, CsBitmap *dirty, GError **error)
{
  if (dirty == NULL)
    return true;
  g_autoptr (CsBitmap) slice = cs_bitmap_new (length / CS_PAGE_SIZE);
  CsRange range = { block->info.host + block->ended, length };
  bool ok = cs_pagemap_written (lazy->pagemap, range, false, slice, error);
  for (guint64 at = 0, n; cs_bitmap_next_run (slice, at, &at, &n); at += n)
    cs_bitmap_set_range (dirty, block->ended / CS_PAGE_SIZE + at, n);
  return ok;
}

static bool
end_slice (CsLazy *lazy, CsLazyBlock *block, CsBitmap *dirty, GError **error)
{
  const CsRamBlock *info = &block->info;
  guint64 start = info->host + block->ended;
  guint64 length = MIN (info->used_length - block->ended, SLICE);
  if (!scan_slice (lazy, block, length, dirty, error)
      || !cs_uffd_unregister (lazy->uffd, start, length, info->name, error)
      || !cs_uffd_register (lazy->uffd, start, length, false, info->name, error)
      || !cs_uffd_protect (lazy->uffd, start, length, info->name, error))
    return false;
  block->ended += length;
  return true;
}

/* One slice, and more until the block or the time is at its end. */
static bool
end_block (CsLazy *lazy, CsLazyBlock *block, CsBitmap **dirty, gint64 until, GError **error)
{
  guint i;
  bool tracked = cs_tracker_find_block (lazy->tracker, block->info.name, &i);
  if (block->ended == 0 && is_unmapped (lazy, &block->info))
    block->ended = block->info.used_length;
  while (block->ended < block->info.used_length)
    {
      if (!end_slice (lazy, block, tracked ? dirty[i] : NULL, error))
        return false;
      if (g_get_monotonic_time () >= until)
        break;
    }
  return true;
}

static bool
end_blocks (CsLazy *lazy, CsBitmap **dirty, gint64 until, bool *finished, GError **error)
{
  *finished = true;
  for (guint k = 0; k < lazy->blocks->len; k++)
    {
      CsLazyBlock *block = g_ptr_array_index (lazy->blocks, k);
      if (!block->lazy)
        continue;
      if (!end_block (lazy, block, dirty, until, error))
        return false;
      *finished = *finished && block->ended >= block->info.used_length;
    }
  return true;
}

static bool
check_filled (CsLazy *lazy, GError **error)
{
  g_mutex_lock (&lazy->lock);
  bool filled = lazy->filling == 0 && lazy->error == NULL && lazy->done == lazy->total;
  g_mutex_unlock (&lazy->lock);
  if (!filled)
    g_set_error (error, CS_ERROR, CS_ERROR_STATE, "%s: its memory is not complete yet", lazy->name);
  return filled;
}

bool
cs_lazy_end (CsLazy *lazy, CsBitmap **dirty, gint64 budget, bool *finished, GError **error)
{
  gint64 until = g_get_monotonic_time () + budget;
  if (!check_filled (lazy, error))
    return false;
  if (lazy->pagemap == NULL && (lazy->pagemap = cs_pagemap_open (lazy->pid, error)) == NULL)
    return false;
  if (!end_blocks (lazy, dirty, until, finished, error))
    {
      g_prefix_error (error, "%s: ", lazy->name);
      return false;
    }
  return true;
}

void
cs_lazy_end_serving (CsLazy *lazy)
{
  cs_lazy_stop_fill (lazy);
  cs_lazy_stop_server (lazy);
  /* Should this fail, QEMU keeps a descriptor that does nothing. */
  if (lazy->keep >= 0)
    cs_inject_close (lazy->pid, lazy->keep, NULL);
  lazy->keep = -1;
}
