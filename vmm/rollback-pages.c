/* Theory of operation
 *
 * A page of a block must be written when it may now hold something else than the target image says.
 * With B the image that the memory was equal to when the dirty set began, and T the target, that is
 *
 *   dirty      written since B: what earlier scans consumed (carried) and the tracker's scan
 *   differs    B and T are not known to be the same there: from their maps, not from RAM
 *   discarded  given back to the host since by the balloon or free page reporting: reads as zero,
 *              though T (equal to B there) is not zero.  In anonymous memory these count as written
 *              (of those whose page table went as a whole Linux 6.18 says so, but nothing documents
 *              it: they are looked at).  Memory in a file keeps its markers and need not report
 *              them: what T has and QEMU's page tables do not counts as discarded.  A page may be
 *              there without being mapped: it is then written for nothing.  To walk all of the
 *              tables takes four times as long as to look what was written.
 *
 * One kind is left: a page of memory in a file that was discarded and then only read is mapped,
 * clean and zero.  Reading the first word of all clean mapped pages of a file finds those; this
 * is done while the VM runs, since a guest may not rely on such pages at all and the window is
 * small.
 *
 * Pages that are zero in T need not be written where QEMU has nothing: they read as zero.
 *
 * While a restore is still filling (rule 9), a page that was not placed yet reads as B says: either
 * a rollback's target since is B itself, then the pages that differed have been placed with B's
 * content; or B is the restore's image.  So what is not placed is not discarded, and where B and T
 * differ it is placed with T's content (cs_lazy_put), which waits for nobody, before it is
 * written as any other.  A fault of ours would wait for the store in the middle of the pause.
 *
 * Where nothing is known (no tracker, no base, another block than before) the block is written as a
 * whole.
 *
 * What will be written is read ahead while the VM runs, in the store's order, into memory from
 * which the pause writes; with it comes what the store holds in the same frames, so that of what
 * becomes dirty in the meantime little has to be read, and decompressed, in the pause.  It is kept
 * for the next rollback (kept-pages.h).
 *
 * In the pause the tracker is only looked at (cs_tracker_peek): dirty pages stay unprotected, and
 * are written without a fault each; and nothing was consumed when the VM runs on after all (rule
 * 3). What was written is consumed and protected in one scan afterwards.
 */
#include "config.h"

#include "vmm/rollback-pages-private.h"

#include "common/error.h"
#include "vmm/lazy-mapping.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum
{
  TABLES_BLOCK = 512 * 1024, /* blocks up to this length are ROMs and tables */
  TABLES_TOTAL = 4 * 1024 * 1024,
};

static void
block_clear (gpointer data)
{
  CsRollbackBlock *block = data;
  cs_bitmap_free (block->differs);
  cs_bitmap_free (block->nonzero);
  cs_bitmap_free (block->written);
  cs_bitmap_free (block->todo);
  cs_bitmap_free (block->scratch);
  cs_bitmap_free (block->other);
}

void
cs_rollback_pages_free (CsRollbackPages *pages)
{
  if (pages == NULL)
    return;
  if (pages->staging != NULL)
    munmap (pages->staging, CS_ROLLBACK_STAGING * CS_PAGE_SIZE);
  g_array_unref (pages->blocks);
  g_array_unref (pages->runs);
  g_array_unref (pages->offsets);
  g_free (pages->data);
  g_free (pages->late);
  g_free (pages);
}

/* ---- what is known before the pause ---- */

/* Whether the tracker has the block as it is now; sets its number there. */
static bool
find_tracked (const CsTracker *tracker, CsRollbackBlock *block)
{
  if (!cs_tracker_find_block (tracker, block->info->name, &block->index))
    return false;
  const CsRamBlock *known = cs_tracker_block (tracker, block->index);
  return known->host == block->info->host && known->used_length == block->info->used_length
         && known->page_size == block->info->page_size;
}

static void
find_differences (CsRollbackPages *pages, CsRollbackBlock *block)
{
  const CsRollbackPagesOptions *options = &pages->options;
  guint64 count = cs_bitmap_size (block->todo);
  guint base_volume;
  const CsBitmap *carried = options->carried != NULL && options->base != NULL
                                ? g_hash_table_lookup (options->carried, block->info->name)
                                : NULL;
  for (guint64 page = 0; page < count; page++)
    if (!cs_image_page_is_zero (options->target, block->volume, page))
      cs_bitmap_set_range (block->nonzero, page, 1);
  block->whole =
      !block->tracked || carried == NULL || cs_bitmap_size (carried) != count
      || !cs_image_find_volume (options->base, CS_VOLUME_RAM, block->info->name, &base_volume);
  if (block->whole)
    return;
  cs_bitmap_or (block->differs, carried);
  if (options->base == options->target)
    return;
  for (guint64 page = 0; page < count; page++)
    if (!cs_image_page_same (options->target, block->volume, options->base, base_volume, page))
      cs_bitmap_set_range (block->differs, page, 1);
}

static bool
add_block (CsRollbackPages *pages, const CsRamBlock *info, const CsMappings *mappings,
           GError **error)
{
  guint64 count = info->used_length / CS_PAGE_SIZE;
  CsRollbackBlock block = { .info = info };
  CsVolumeInfo volume = { 0 };
  if (cs_image_find_volume (pages->options.target, CS_VOLUME_RAM, info->name, &block.volume))
    cs_image_volume_info (pages->options.target, block.volume, &volume);
  if (volume.length != info->used_length)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                   "the image has no RAM block '%s' of %" G_GUINT64_FORMAT " bytes", info->name,
                   info->used_length);
      return false;
    }
  block.differs = cs_bitmap_new (count);
  block.nonzero = cs_bitmap_new (count);
  block.held = cs_held_pages_volume (pages->options.held, info->name, count);
  block.written = cs_bitmap_new (count);
  block.todo = cs_bitmap_new (count);
  block.scratch = cs_bitmap_new (count);
  block.other = cs_bitmap_new (count);
  block.tracked = find_tracked (pages->options.tracker, &block);
  block.anonymous =
      cs_mappings_kind (mappings, info->host, info->used_length) == CS_MAPPING_ANONYMOUS;
  find_differences (pages, &block);
  g_array_append_val (pages->blocks, block);
  return true;
}

/* What a system reset rewrites: read in any case, so that the second pass finds it. */
static bool
read_tables (CsRollbackPages *pages, GError **error)
{
  CsHeldPages *held = pages->options.held;
  guint64 room = MIN (TABLES_TOTAL / CS_PAGE_SIZE, cs_held_pages_room (held) / 4);
  for (guint i = 0; i < pages->blocks->len; i++)
    {
      CsRollbackBlock *block = cs_rollback_block (pages, i);
      cs_bitmap_copy (block->scratch, block->nonzero);
      cs_bitmap_and_not (block->scratch, cs_held_volume_set (block->held));
      guint64 count = cs_bitmap_count (block->scratch);
      if (block->info->used_length > TABLES_BLOCK || count > room)
        continue;
      if (!cs_held_volume_read (block->held, pages->options.target, block->volume, block->scratch,
                                error))
        return false;
      room -= count;
    }
  return true;
}

CsRollbackPages *
cs_rollback_pages_new (const CsRollbackPagesOptions *options, GError **error)
{
  g_autoptr (CsMappings) mappings = cs_mappings_read (options->pid, error);
  if (mappings == NULL)
    return NULL;
  g_autoptr (CsRollbackPages) pages = g_new0 (CsRollbackPages, 1);
  pages->options = *options;
  pages->blocks = g_array_new (FALSE, FALSE, sizeof (CsRollbackBlock));
  g_array_set_clear_func (pages->blocks, block_clear);
  pages->runs = g_array_sized_new (FALSE, FALSE, sizeof (CsPageRun), CS_ROLLBACK_STAGING);
  pages->offsets = g_array_sized_new (FALSE, FALSE, sizeof (guint64), CS_ROLLBACK_STAGING);
  pages->data = g_new0 (const void *, CS_ROLLBACK_STAGING);
  pages->late = g_new0 (guint64, CS_ROLLBACK_STAGING);
  void *staging = mmap (NULL, CS_ROLLBACK_STAGING * CS_PAGE_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (staging == MAP_FAILED)
    {
      cs_error_set_errno (error, errno, "cannot map memory to copy pages into");
      return NULL;
    }
  pages->staging = staging;
  for (guint i = 0; i < options->blocks->len; i++)
    if (!add_block (pages, g_ptr_array_index (options->blocks, i), mappings, error))
      return NULL;
  return read_tables (pages, error) ? g_steal_pointer (&pages) : NULL;
}

/* ---- the set ---- */

/* From what was written. */
static bool
compute (CsRollbackPages *pages, CsRollbackBlock *block, bool tracked, GError **error)
{
  cs_bitmap_clear (block->todo);
  if (block->whole)
    cs_bitmap_set_range (block->todo, 0, cs_bitmap_size (block->todo));
  else
    {
      cs_bitmap_or (block->todo, block->differs);
      cs_bitmap_or (block->todo, block->written);
    }
  return !tracked
         || (cs_rollback_add_discarded (pages, block, error)
             && cs_rollback_leave_zero (pages, block, error));
}

/* Once is enough: see the top. */
static bool
look_for_read (CsRollbackPages *pages, CsRollbackBlock *block, GError **error)
{
  if (block->looked || !block->tracked || block->whole || block->anonymous)
    return true;
  block->looked = true;
  cs_bitmap_clear (block->other);
  if (!cs_tracker_mapped (pages->options.tracker, block->index, block->other, error))
    return false;
  cs_bitmap_copy (block->scratch, block->nonzero);
  cs_bitmap_and_not (block->scratch, block->todo);
  cs_bitmap_copy (block->todo, block->scratch);
  cs_bitmap_and_not (block->todo, block->other);
  cs_bitmap_and_not (block->scratch, block->todo); /* those that are mapped */
  return cs_rollback_find_read (pages->options.pid, block->info, block->scratch, block->differs,
                                error)
         && compute (pages, block, true, error);
}

/* Sets block->todo to what would have to be written now. */
static bool
look_ahead (CsRollbackPages *pages, CsRollbackBlock *block, GError **error)
{
  cs_bitmap_clear (block->written);
  if (!block->whole
      && !cs_tracker_peek (pages->options.tracker, block->index, block->written, error))
    return false;
  return compute (pages, block, block->tracked, error) && look_for_read (pages, block, error);
}

/* With the pages of @wanted those that the store holds in the same frames, when there is room: the
 * guest writes where it has written, and what it writes until the pause is there then. */
static bool
read_wanted (CsRollbackPages *pages, CsRollbackBlock *block, CsBitmap *wanted, GError **error)
{
  CsBitmap *wide = block->other;
  CsImage *target = pages->options.target;
  cs_bitmap_copy (wide, wanted);
  cs_image_add_frame_mates (target, block->volume, wide);
  cs_bitmap_and_not (wide, cs_held_volume_set (block->held));
  if (cs_bitmap_count (wide) > cs_held_pages_room (pages->options.held))
    cs_bitmap_copy (wide, wanted);
  return cs_held_volume_read (block->held, target, block->volume, wide, error);
}

/* Takes what is held out of block->todo.  What an earlier rollback has left, and this one does not
 * need, makes room. */
static void
take_held (CsRollbackPages *pages, CsRollbackBlock *block)
{
  cs_bitmap_copy (block->scratch, block->todo);
  cs_bitmap_and_not (block->todo, cs_held_volume_set (block->held));
  if (cs_bitmap_count (block->todo) > cs_held_pages_room (pages->options.held))
    cs_held_volume_retain (block->held, block->scratch);
}

bool
cs_rollback_pages_read_ahead (CsRollbackPages *pages, guint64 *count, GError **error)
{
  *count = 0;
  for (guint i = 0; i < pages->blocks->len; i++)
    {
      CsRollbackBlock *block = cs_rollback_block (pages, i);
      if (!look_ahead (pages, block, error))
        return false;
      cs_bitmap_copy (block->scratch, block->todo);
      cs_bitmap_and_not (block->scratch, block->nonzero);
      cs_bitmap_and_not (block->todo, block->scratch); /* the zero ones */
      take_held (pages, block);
      *count += cs_bitmap_count (block->todo);
      if (!read_wanted (pages, block, block->todo, error))
        return false;
    }
  return true;
}

/* Begins to track the blocks that are not as they are now. */
static bool
track_new_blocks (CsRollbackPages *pages, GError **error)
{
  CsTracker *tracker = pages->options.tracker;
  bool all = cs_tracker_n_blocks (tracker) == pages->blocks->len;
  for (guint i = 0; i < pages->blocks->len; i++)
    all = all && cs_rollback_block (pages, i)->tracked;
  if (all)
    return true;
  if (!cs_tracker_set_blocks (tracker, pages->options.blocks, NULL, error))
    return false;
  for (guint i = 0; i < pages->blocks->len; i++)
    if (!find_tracked (tracker, cs_rollback_block (pages, i)))
      g_assert_not_reached ();
  return true;
}

bool
cs_rollback_pages_scan (CsRollbackPages *pages, GError **error)
{
  if (!track_new_blocks (pages, error))
    return false;
  for (guint i = 0; i < pages->blocks->len; i++)
    {
      CsRollbackBlock *block = cs_rollback_block (pages, i);
      cs_bitmap_clear (block->written);
      if (!cs_tracker_peek (pages->options.tracker, block->index, block->written, error)
          || !compute (pages, block, true, error))
        return false;
    }
  return true;
}

void
cs_rollback_pages_count (const CsRollbackPages *pages, guint64 *pages_to_write, guint64 *late)
{
  *pages_to_write = *late = 0;
  for (guint i = 0; i < pages->blocks->len; i++)
    {
      CsRollbackBlock *block = cs_rollback_block (pages, i);
      *pages_to_write += cs_bitmap_count (block->todo);
      cs_bitmap_copy (block->scratch, block->nonzero);
      cs_bitmap_and_not (block->scratch, cs_held_volume_set (block->held));
      cs_bitmap_copy (block->other, block->scratch);
      cs_bitmap_and_not (block->other, block->todo);
      *late += cs_bitmap_count (block->scratch) - cs_bitmap_count (block->other);
    }
}

bool
cs_rollback_pages_is_whole (const CsRollbackPages *pages)
{
  for (guint i = 0; i < pages->blocks->len; i++)
    if (cs_rollback_block (pages, i)->whole)
      return true;
  return false;
}

void
cs_rollback_pages_undo (CsRollbackPages *pages, GHashTable *carried)
{
  for (guint i = 0; i < pages->blocks->len; i++)
    if (!cs_rollback_block (pages, i)->tracked)
      g_hash_table_remove (carried, cs_rollback_block (pages, i)->info->name);
}
