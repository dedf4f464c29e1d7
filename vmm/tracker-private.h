/* What tracker.c, tracker-copy.c and tracker-resident.c share. */
#ifndef CS_VMM_TRACKER_PRIVATE_H
#define CS_VMM_TRACKER_PRIVATE_H

#include "vmm/linux-uapi.h"
#include "vmm/pagemap.h"
#include "vmm/tracker.h"

#include <sys/uio.h>

/* What a userfaultfd must be able to do for the tracker. */
#define CS_TRACKER_FEATURES                                                                        \
  (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED            \
   | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)
#define CS_TRACKER_BATCH 1024 /* IOV_MAX of Linux */

typedef struct
{
  CsRamBlock block; /* name is owned */
  bool lost;        /* a scan found memory that is not ours: to be registered anew */
} CsTrackedBlock;

struct CsTracker
{
  /* Immutable: */
  pid_t pid;
  int uffd;
  CsPagemap *pagemap;

  /* Owner only: */
  GPtrArray *blocks; /* of CsTrackedBlock */
  struct iovec remote[CS_TRACKER_BATCH], local[CS_TRACKER_BATCH];
};

static inline CsTrackedBlock *
cs_tracker_get (const CsTracker *tracker, guint i)
{
  g_assert (i < tracker->blocks->len);
  return g_ptr_array_index (tracker->blocks, i);
}

/* Its memory: whole pages of its backend. */
static inline CsRange
cs_tracked_range (const CsRamBlock *block)
{
  guint64 length = (block->used_length + block->page_size - 1) / block->page_size;
  return (CsRange){ block->host, length * block->page_size };
}

static inline guint64
cs_tracked_pages (const CsRamBlock *block)
{
  return block->used_length / CS_PAGE_SIZE_HOST;
}

/* Prefixes @error with the block's name; returns false. */
bool cs_tracker_prefix (const CsTracker *tracker, const CsRamBlock *block, GError **error);

#endif
