/* Writing a rollback's pages into the stopped VM. */
#include "config.h"

#include "vmm/rollback-pages-private.h"

#include "common/error.h"

#include <string.h>

/* Where memory is still arriving, what is not there yet is placed first: see rollback-pages.c. */
static bool
place (CsRollbackPages *pages, const CsRollbackBlock *block, const CsPageRun *run,
       const guint8 *data, GError **error)
{
  return pages->options.lazy == NULL
         || cs_lazy_put (pages->options.lazy, block->info->name, run->first, run->count, data,
                         error);
}

/* ---- by way of the staging buffer ---- */

/* Where @page lies in the staging buffer: it is in one of pages->runs. */
static guint8 *
staged_page (const CsRollbackPages *pages, guint64 page)
{
  guint low = 0, high = pages->runs->len;
  while (high - low > 1)
    {
      guint middle = low + (high - low) / 2;
      if (page < g_array_index (pages->runs, CsPageRun, middle).first)
        high = middle;
      else
        low = middle;
    }
  guint64 before = g_array_index (pages->offsets, guint64, low);
  guint64 within = page - g_array_index (pages->runs, CsPageRun, low).first;
  return pages->staging + (before + within) * CS_PAGE_SIZE;
}

static bool
stage_page (guint64 page, const void *data, void *user_data, GError **error)
{
  memcpy (staged_page (user_data, page), data, CS_PAGE_SIZE);
  return true;
}

static bool
place_staged (CsRollbackPages *pages, const CsRollbackBlock *block, GError **error)
{
  const guint8 *data = pages->staging;
  for (guint i = 0; i < pages->runs->len; i++)
    {
      const CsPageRun *run = &g_array_index (pages->runs, CsPageRun, i);
      if (!place (pages, block, run, data, error))
        return false;
      data += run->count * CS_PAGE_SIZE;
    }
  return true;
}

/* Fills the staging buffer for the pages of pages->runs and writes them. */
static bool
write_staged (CsRollbackPages *pages, const CsRollbackBlock *block, GError **error)
{
  guint8 *to = pages->staging;
  gsize late = 0;
  for (guint i = 0; i < pages->runs->len; i++)
    {
      const CsPageRun *run = &g_array_index (pages->runs, CsPageRun, i);
      for (guint64 page = run->first; page < run->first + run->count; page++, to += CS_PAGE_SIZE)
        {
          if (!cs_bitmap_test (block->nonzero, page))
            memset (to, 0, CS_PAGE_SIZE);
          else if (cs_bitmap_test (cs_held_volume_set (block->held), page))
            memcpy (to, cs_held_volume_page (block->held, page), CS_PAGE_SIZE);
          else
            pages->late[late++] = page;
        }
    }
  return cs_image_read_pages (pages->options.target, block->volume, pages->late, late, stage_page,
                              pages, error)
         && place_staged (pages, block, error)
         && cs_tracker_write (pages->options.tracker, block->index,
                              (const CsPageRun *)(const void *)pages->runs->data, pages->runs->len,
                              pages->staging, error);
}

static bool
write_set (CsRollbackPages *pages, const CsRollbackBlock *block, const CsBitmap *set,
           GError **error)
{
  guint64 at = 0, first, count;
  bool more = cs_bitmap_next_run (set, at, &first, &count);
  while (more)
    {
      guint64 staged = 0;
      g_array_set_size (pages->runs, 0);
      g_array_set_size (pages->offsets, 0);
      for (; more && staged < CS_ROLLBACK_STAGING;
           more = cs_bitmap_next_run (set, at, &first, &count))
        {
          CsPageRun run = { first, MIN (count, CS_ROLLBACK_STAGING - staged) };
          g_array_append_val (pages->runs, run);
          g_array_append_val (pages->offsets, staged);
          staged += run.count;
          at = first + run.count;
        }
      if (!write_staged (pages, block, error))
        return false;
    }
  return true;
}

/* ---- what is held ---- */

static bool
write_gathered (CsRollbackPages *pages, const CsRollbackBlock *block, GError **error)
{
  const CsPageRun *runs = (const CsPageRun *)(const void *)pages->runs->data;
  for (guint i = 0; i < pages->runs->len; i++)
    if (!place (pages, block, &runs[i], pages->data[i], error))
      return false;
  bool written = cs_tracker_write_from (pages->options.tracker, block->index, runs,
                                        pages->runs->len, pages->data, error);
  g_array_set_size (pages->runs, 0);
  return written;
}

/* Adds a page to what is written next. */
static void
gather (CsRollbackPages *pages, guint64 page, const guint8 *data)
{
  CsPageRun *last =
      pages->runs->len > 0 ? &g_array_index (pages->runs, CsPageRun, pages->runs->len - 1) : NULL;
  if (last != NULL && last->first + last->count == page
      && (const guint8 *)pages->data[pages->runs->len - 1] + last->count * CS_PAGE_SIZE == data)
    {
      last->count++;
      return;
    }
  CsPageRun run = { page, 1 };
  pages->data[pages->runs->len] = data;
  g_array_append_val (pages->runs, run);
}

/* Writes the pages of @set, all of them held. */
static bool
write_held (CsRollbackPages *pages, const CsRollbackBlock *block, const CsBitmap *set,
            GError **error)
{
  guint64 first, count;
  g_array_set_size (pages->runs, 0);
  for (guint64 at = 0; cs_bitmap_next_run (set, at, &first, &count); at = first + count)
    for (guint64 page = first; page < first + count; page++)
      {
        if (pages->runs->len == CS_ROLLBACK_STAGING && !write_gathered (pages, block, error))
          return false;
        gather (pages, page, cs_held_volume_page (block->held, page));
      }
  return pages->runs->len == 0 || write_gathered (pages, block, error);
}

/* ---- all ---- */

/* What was written by us is not to be found by the second pass; what QEMU has written meanwhile to
 * other pages (input from the host that a device takes while the VM stands) is left for it.  What
 * was reported before the pages were written and is not among them has no content. */
static bool
forget_own_writes (CsRollbackPages *pages, GError **error)
{
  for (guint i = 0; i < pages->blocks->len; i++)
    {
      CsRollbackBlock *block = cs_rollback_block (pages, i);
      cs_bitmap_copy (block->scratch, block->written);
      cs_bitmap_or (block->scratch, block->todo);
      cs_bitmap_clear (block->written);
      if (!cs_tracker_scan (pages->options.tracker, block->index, block->written, error))
        return false;
      cs_bitmap_and_not (block->written, block->scratch);
    }
  return true;
}

bool
cs_rollback_pages_write (CsRollbackPages *pages, bool *touched, bool (*written) (GError **error),
                         GError **error)
{
  for (guint i = 0; i < pages->blocks->len; i++)
    {
      CsRollbackBlock *block = cs_rollback_block (pages, i);
      const CsBitmap *held = cs_held_volume_set (block->held);
      if (cs_bitmap_count (block->todo) == 0)
        continue;
      bool first = !*touched;
      *touched = true;
      cs_bitmap_copy (block->scratch, block->todo);
      cs_bitmap_and_not (block->scratch, held);
      cs_bitmap_copy (block->other, block->todo);
      cs_bitmap_and_not (block->other, block->scratch);
      if (!write_held (pages, block, block->other, error)
          || !write_set (pages, block, block->scratch, error))
        return false;
      if (first && written != NULL && !written (error))
        return false;
    }
  return forget_own_writes (pages, error);
}

/* No scan comes after it: it would also consume what a device writes meanwhile (rule 3).  So the
 * few pages of this pass are dirty afterwards. */
bool
cs_rollback_pages_fix_up (CsRollbackPages *pages, guint64 *count, GError **error)
{
  *count = 0;
  for (guint i = 0; i < pages->blocks->len; i++)
    {
      CsRollbackBlock *block = cs_rollback_block (pages, i);
      if (!cs_tracker_scan (pages->options.tracker, block->index, block->written, error))
        return false;
      *count += cs_bitmap_count (block->written);
      if (!write_set (pages, block, block->written, error))
        return false;
    }
  return true;
}
