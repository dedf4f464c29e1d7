/* Pages that were discarded: see rollback-pages.c. */
#include "config.h"

#include "vmm/rollback-pages-private.h"

#include "common/error.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define BATCH 1024 /* IOV_MAX of Linux */

/* ---- in what is written ---- */

/* Takes out of @set what a restore that is still filling has not put yet. */
static void
keep_placed (CsRollbackPages *pages, const CsRollbackBlock *block, CsBitmap *set)
{
  CsLazy *lazy = pages->options.lazy;
  if (lazy == NULL)
    return;
  g_autoptr (CsBitmap) placed = cs_bitmap_new (cs_bitmap_size (set));
  g_autoptr (CsBitmap) missing = cs_bitmap_new (cs_bitmap_size (set));
  if (!cs_lazy_get_placed (lazy, block->info->name, placed))
    return;
  cs_bitmap_or (missing, set);
  cs_bitmap_and_not (missing, placed);
  cs_bitmap_and_not (set, missing);
}

/* Which of @candidates are mapped; of a file's memory, all that are. */
static bool
find_mapped (CsRollbackPages *pages, const CsRollbackBlock *block, const CsBitmap *candidates,
             CsBitmap *mapped, GError **error)
{
  CsTracker *tracker = pages->options.tracker;
  cs_bitmap_clear (mapped);
  return block->anonymous
             ? cs_tracker_mapped_among (tracker, block->index, candidates, mapped, error)
             : cs_tracker_mapped (tracker, block->index, mapped, error);
}

bool
cs_rollback_add_discarded (CsRollbackPages *pages, CsRollbackBlock *block, GError **error)
{
  CsBitmap *set = block->scratch, *mapped = block->other;
  cs_bitmap_copy (set, block->nonzero);
  cs_bitmap_and_not (set, block->todo);
  if (block->anonymous)
    {
      CsBitmap *reported = block->other;
      cs_bitmap_clear (reported);
      if (!cs_tracker_with_table (pages->options.tracker, block->index, reported, error))
        return false;
      cs_bitmap_and_not (set, reported);
    }
  if (!find_mapped (pages, block, set, mapped, error))
    return false;
  cs_bitmap_and_not (set, mapped);
  keep_placed (pages, block, set);
  cs_bitmap_or (block->todo, set);
  return true;
}

/* What find_mapped found of a file's memory will do. */
bool
cs_rollback_leave_zero (CsRollbackPages *pages, CsRollbackBlock *block, GError **error)
{
  CsBitmap *set = block->scratch, *mapped = block->other;
  cs_bitmap_copy (set, block->todo);
  cs_bitmap_and_not (set, block->nonzero);
  if (pages->options.lazy != NULL || cs_bitmap_count (set) == 0)
    return true;
  if (block->anonymous && !find_mapped (pages, block, set, mapped, error))
    return false;
  cs_bitmap_and_not (set, mapped);
  /* Of a file there may be more than is mapped. */
  if (!block->anonymous && cs_bitmap_count (set) > 0)
    {
      if (!cs_tracker_resident (pages->options.tracker, block->index, mapped, error))
        return false;
      cs_bitmap_and_not (set, mapped);
    }
  cs_bitmap_and_not (block->todo, set);
  return true;
}

/* ---- those of memory in a file (shared or private) that were then only read ---- */

typedef struct
{
  pid_t pid;
  const CsRamBlock *block;
  CsBitmap *found;
  guint64 pages[BATCH];
  gsize n;
} Look;

/* Anything that cannot be read is looked at again by those who must read it. */
static bool
is_zero (const Look *look, guint64 page)
{
  guint64 words[CS_PAGE_SIZE / sizeof (guint64)];
  struct iovec here = { words, sizeof words };
  struct iovec there = { (void *)(guintptr)(look->block->host + page * CS_PAGE_SIZE),
                         sizeof words };
  if (process_vm_readv (look->pid, &here, 1, &there, 1, 0) != sizeof words)
    return false;
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (words[i] != 0)
      return false;
  return true;
}

/* The first word of each page of the batch. */
static bool
look_at_batch (Look *look, GError **error)
{
  guint64 words[BATCH];
  struct iovec here = { words, look->n * sizeof *words };
  struct iovec there[BATCH];
  for (gsize i = 0; i < look->n; i++)
    there[i] =
        (struct iovec){ (void *)(guintptr)(look->block->host + look->pages[i] * CS_PAGE_SIZE),
                        sizeof *words };
  if (look->n > 0
      && process_vm_readv (look->pid, &here, 1, there, look->n, 0) != (ssize_t)here.iov_len)
    return cs_error_set_errno (error, errno, "cannot look at RAM block '%s'", look->block->name);
  for (gsize i = 0; i < look->n; i++)
    if (words[i] == 0 && is_zero (look, look->pages[i]))
      cs_bitmap_set_range (look->found, look->pages[i], 1);
  look->n = 0;
  return true;
}

bool
cs_rollback_find_read (pid_t pid, const CsRamBlock *block, const CsBitmap *candidates,
                       CsBitmap *found, GError **error)
{
  Look look = { .pid = pid, .block = block, .found = found };
  guint64 first, count;
  for (guint64 at = 0; cs_bitmap_next_run (candidates, at, &first, &count); at = first + count)
    for (guint64 page = first; page < first + count; page++)
      {
        look.pages[look.n++] = page;
        if (look.n == BATCH && !look_at_batch (&look, error))
          return false;
      }
  return look_at_batch (&look, error);
}
