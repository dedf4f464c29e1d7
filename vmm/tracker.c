/* Theory of operation
 *
 * Goal: know which pages of a VM's memory changed since the last look, whoever in QEMU's
 * process wrote them (vCPUs under TCG or KVM, device models, read(2) into guest memory), without
 * a change in QEMU and without a cost that the guest notices.
 *
 * Each RAM block is registered on a userfaultfd of QEMU's address space in asynchronous
 * write-protect mode and protected once.  The first write to a page faults; the kernel
 * itself lifts the page's protection and the writer goes on (no event, nobody to
 * answer it: if we die, nothing hangs).  A page that is not protected is thus a written
 * one; PAGEMAP_SCAN lists these and protects them again in one step (pagemap.c).  Under KVM
 * a write-protected host page is mapped read-only into the guest (MMU notifier), so the guest's
 * first write comes here as well.
 *
 * Limits, and why they do not hurt:
 *
 * - A write by DMA into pages pinned before they were protected takes no fault and is not seen:
 *   an O_DIRECT read in flight (tests/system/tracker.sh shows the miss).  Hence protect and
 *   scan only with the VM stopped: stop drains block I/O.  What pins for good (VFIO, RDMA) is
 *   refused elsewhere.
 * - Writers outside QEMU's address space (vhost-user, another mapping of the memfd): refused
 * elsewhere.
 * - vhost-net in the kernel writes through QEMU's page tables: seen.
 * - A page given back by the balloon (MADV_DONTNEED, MADV_REMOVE) counts as written in
 *   anonymous memory and may count as clean in shared memory, though it now reads as zero.  The
 *   guest may not rely on the content of such a page.
 * - Transparent huge pages: protection covers a huge page whole, the first write into it splits
 *   its mapping, so dirt is counted in 4 KiB.  Memory first touched while tracked is mapped in
 *   4 KiB pages, and khugepaged leaves protected memory alone: the price is the TLB's.
 * - A hugetlbfs page is one unit: one write makes 512 (or 262144) pages dirty.
 * - Protecting untouched memory costs its page tables: 4 KiB per 2 MiB.
 *
 * The first protection is a scan as well, its report thrown away: where memory is populated,
 * UFFDIO_WRITEPROTECT takes eight times as long (21 against 2.8 ms for 256 MiB).
 *
 * Nothing is lost between two scans: protecting and reporting a page are one step under
 * its page table lock, and each report is in the caller's bitmap before the next is asked for, also
 * when the walk fails in its middle. */
#include "config.h"

#include "vmm/tracker.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/inject.h"
#include "vmm/linux-uapi.h"
#include "vmm/tracker-private.h"

#include <errno.h>
#include <string.h>

static void
tracked_block_free (gpointer data)
{
  CsTrackedBlock *tracked = data;
  g_free (tracked->block.name);
  g_free (tracked);
}

static CsTrackedBlock *
tracked_block_new (const CsRamBlock *block)
{
  CsTrackedBlock *tracked = g_new0 (CsTrackedBlock, 1);
  tracked->block = *block;
  tracked->block.name = g_strdup (block->name);
  return tracked;
}

bool
cs_tracker_prefix (const CsTracker *tracker, const CsRamBlock *block, GError **error)
{
  g_prefix_error (error, "RAM block '%s' of process %d: ", block->name, tracker->pid);
  return false;
}

CsTracker *
cs_tracker_new_from_fd (pid_t pid, int uffd, GError **error)
{
  cs_autofd int taken = uffd;
  CsPagemap *pagemap = cs_pagemap_open (pid, error);
  if (pagemap == NULL)
    return NULL;
  CsTracker *tracker = g_new0 (CsTracker, 1);
  tracker->pid = pid;
  tracker->uffd = cs_fd_steal (&taken);
  tracker->pagemap = pagemap;
  tracker->blocks = g_ptr_array_new_with_free_func (tracked_block_free);
  return tracker;
}

CsTracker *
cs_tracker_new (CsMonitor *monitor, GError **error)
{
  if (!cs_tracker_probe (error))
    return NULL;
  pid_t pid = cs_monitor_pid (monitor);
  int uffd = cs_inject_userfaultfd (pid, monitor, CS_TRACKER_FEATURES, NULL, error);
  CsTracker *tracker = uffd < 0 ? NULL : cs_tracker_new_from_fd (pid, uffd, error);
  if (tracker == NULL)
    g_prefix_error (error, "cannot track the memory of %s: ", cs_monitor_name (monitor));
  return tracker;
}

void
cs_tracker_free (CsTracker *tracker)
{
  if (tracker == NULL)
    return;
  close (tracker->uffd);
  cs_pagemap_close (tracker->pagemap);
  g_ptr_array_unref (tracker->blocks);
  g_free (tracker);
}

int
cs_tracker_uffd (const CsTracker *tracker)
{
  return tracker->uffd;
}

guint
cs_tracker_n_blocks (const CsTracker *tracker)
{
  return tracker->blocks->len;
}

const CsRamBlock *
cs_tracker_block (const CsTracker *tracker, guint i)
{
  return &cs_tracker_get (tracker, i)->block;
}

bool
cs_tracker_find_block (const CsTracker *tracker, const char *name, guint *i)
{
  for (guint at = 0; at < tracker->blocks->len; at++)
    if (strcmp (cs_tracker_get (tracker, at)->block.name, name) == 0)
      {
        *i = at;
        return true;
      }
  return false;
}

static bool
register_range (const CsTracker *tracker, CsRange range, GError **error)
{
  struct uffdio_register registration = { .range = { range.start, range.length },
                                          .mode = UFFDIO_REGISTER_MODE_WP };
  if (ioctl (tracker->uffd, UFFDIO_REGISTER, &registration) == 0)
    return true;
  int errnum = errno;
  if (!cs_pagemap_check_alive (tracker->pagemap, error))
    return false;
  if (errnum == EBUSY)
    g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                 "another userfaultfd serves this memory (a migration under way?): end that first");
  else if (errnum == EPERM)
    g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
                 "it is a shared mapping of a file opened read-only, which cannot be tracked");
  else if (errnum == EINVAL || errnum == ENOMEM)
    g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                 "there is no such memory (any more), or of a kind that cannot be tracked");
  else
    cs_error_set_errno (error, errnum, "UFFDIO_REGISTER");
  return false;
}

static void
unregister_range (int uffd, CsRange range)
{
  /* Fails where the memory is gone, which is as good. */
  struct uffdio_range argument = { range.start, range.length };
  (void)!ioctl (uffd, UFFDIO_UNREGISTER, &argument);
}

static bool
track (CsTracker *tracker, const CsRamBlock *block, GError **error)
{
  CsRange range = cs_tracked_range (block);
  if (!register_range (tracker, range, error))
    return cs_tracker_prefix (tracker, block, error);
  if (cs_pagemap_protect (tracker->pagemap, range, error))
    return true;
  unregister_range (tracker->uffd, range);
  return cs_tracker_prefix (tracker, block, error);
}

/* Takes out of the old array (leaving NULL) the entry that @block still is: same place, same size,
 * and its memory was not replaced since. */
static CsTrackedBlock *
take_known (CsTracker *tracker, GPtrArray *old, const CsRamBlock *block)
{
  for (guint i = 0; i < old->len; i++)
    {
      CsTrackedBlock *tracked = g_ptr_array_index (old, i);
      if (tracked == NULL || strcmp (tracked->block.name, block->name) != 0)
        continue;
      if (tracked->lost || tracked->block.host != block->host
          || tracked->block.used_length != block->used_length
          || tracked->block.page_size != block->page_size
          || !cs_pagemap_is_registered (tracker->pagemap, block->host))
        return NULL;
      old->pdata[i] = NULL;
      return tracked;
    }
  return NULL;
}

/* Registers and protects the blocks of @fresh.  On failure none of them is tracked, so that the
 * next call finds them fresh again; memory that we did not register is left alone. */
static bool
track_fresh (CsTracker *tracker, GPtrArray *fresh, GError **error)
{
  guint done = 0;
  while (done < fresh->len
         && track (tracker, &((CsTrackedBlock *)g_ptr_array_index (fresh, done))->block, error))
    done++;
  if (done == fresh->len)
    return true;
  for (guint i = 0; i < fresh->len; i++)
    {
      CsTrackedBlock *tracked = g_ptr_array_index (fresh, i);
      if (i < done)
        unregister_range (tracker->uffd, cs_tracked_range (&tracked->block));
      g_ptr_array_remove (tracker->blocks, tracked);
    }
  return false;
}

static void
forget_old (CsTracker *tracker, GPtrArray *old)
{
  for (guint i = 0; i < old->len; i++)
    {
      CsTrackedBlock *tracked = g_ptr_array_index (old, i);
      if (tracked == NULL)
        continue;
      unregister_range (tracker->uffd, cs_tracked_range (&tracked->block));
      tracked_block_free (tracked);
    }
  g_ptr_array_set_free_func (old, NULL);
  g_ptr_array_unref (old);
}

bool
cs_tracker_set_blocks (CsTracker *tracker, GPtrArray *blocks, GPtrArray **fresh, GError **error)
{
  GPtrArray *old = tracker->blocks;
  g_autoptr (GPtrArray) added = g_ptr_array_new ();

  tracker->blocks = g_ptr_array_new_with_free_func (tracked_block_free);
  for (guint i = 0; i < blocks->len; i++)
    {
      const CsRamBlock *block = g_ptr_array_index (blocks, i);
      CsTrackedBlock *tracked = take_known (tracker, old, block);
      if (tracked == NULL)
        {
          tracked = tracked_block_new (block);
          g_ptr_array_add (added, tracked);
        }
      g_ptr_array_add (tracker->blocks, tracked);
    }
  forget_old (tracker, old);
  if (!track_fresh (tracker, added, error))
    return false;
  if (fresh != NULL)
    {
      *fresh = g_ptr_array_new ();
      for (guint i = 0; i < added->len; i++)
        g_ptr_array_add (*fresh, ((CsTrackedBlock *)g_ptr_array_index (added, i))->block.name);
    }
  return true;
}

void
cs_tracker_adopt_block (CsTracker *tracker, const CsRamBlock *block)
{
  g_ptr_array_add (tracker->blocks, tracked_block_new (block));
}

static bool
look (CsTracker *tracker, guint i, bool protect, CsBitmap *dirty, GError **error)
{
  CsTrackedBlock *tracked = cs_tracker_get (tracker, i);
  GError *why = NULL;

  g_assert (cs_bitmap_size (dirty) == cs_tracked_pages (&tracked->block));
  if (cs_pagemap_written (tracker->pagemap, cs_tracked_range (&tracked->block), protect, dirty,
                          &why))
    return true;
  if (g_error_matches (why, CS_ERROR, CS_ERROR_STATE))
    tracked->lost = true;
  g_propagate_error (error, why);
  return cs_tracker_prefix (tracker, &tracked->block, error);
}

bool
cs_tracker_scan (CsTracker *tracker, guint i, CsBitmap *dirty, GError **error)
{
  return look (tracker, i, true, dirty, error);
}

bool
cs_tracker_peek (CsTracker *tracker, guint i, CsBitmap *dirty, GError **error)
{
  return look (tracker, i, false, dirty, error);
}
