/* Theory of operation
 *
 * A block has two sets: `pending`, consumed by a scan but not copied, and `taken`, all
 * that must go into the image: every page consumed since the base snapshot.  A round is scan (VM
 * stopped) and copy; a page that is written after its copy shows up in the next scan and is copied
 * again.  The last copy, made in the pause, is right by construction; a torn copy made while the VM
 * ran is always followed by a later one, since the write that tore it marked the page.
 *
 * Each copy makes a layer: the runs of pages and one buffer with their bytes.  Storing goes through
 * the layers from the last to the first and skips what a later layer had, so that a page which is
 * written all the time is stored once.  Where the pending set exceeds the memory budget (a first,
 * complete snapshot) it goes through the writer at once; layers come later and win, as the writer's
 * last put does.
 *
 * Nothing here allocates in bulk inside the pause: the layer for the pause is mapped and populated
 * before (cs_pages_reserve).  Should more be dirty than was expected, the layer grows: slower, not
 * wrong.
 */
#include "config.h"

#include "vmm/pages.h"

#include "common/error.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum
{
  MEMORY_BUDGET_PAGES = 64 * 1024, /* 256 MiB per VM in one layer */
  CHUNK_PAGES = 256,               /* copied to the writer at a time */
};

typedef struct
{
  char *name;
  guint index; /* in the tracker */
  guint volume;
  CsBitmap *pending;
  CsBitmap *taken;
} Block;

typedef struct
{
  guint block;
  CsPageRun run;
  gsize offset; /* of its bytes in the buffer, in pages */
} LayerRun;

typedef struct
{
  GArray *runs; /* of LayerRun, by block */
  char *buffer;
  gsize capacity; /* pages */
  gsize length;   /* pages */
} Layer;

struct CsPages
{
  CsTracker *tracker;
  CsImageWriter *writer;
  GArray *blocks;    /* of Block */
  GPtrArray *layers; /* of Layer, oldest first */
  Layer *reserved;   /* for the pause */
  GArray *scratch;   /* of CsPageRun */
};

static void
layer_free (gpointer data)
{
  Layer *layer = data;
  if (layer == NULL)
    return;
  if (layer->capacity > 0)
    munmap (layer->buffer, layer->capacity * CS_PAGE_SIZE);
  g_array_unref (layer->runs);
  g_free (layer);
}

static char *
map_pages (gsize count, bool populate)
{
  void *mapped = mmap (NULL, count * CS_PAGE_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | (populate ? MAP_POPULATE : 0), -1, 0);
  return mapped == MAP_FAILED ? NULL : mapped;
}

static Layer *
layer_new (gsize capacity, bool populate)
{
  Layer *layer = g_new0 (Layer, 1);
  layer->runs = g_array_sized_new (FALSE, FALSE, sizeof (LayerRun), 4096);
  if (capacity > 0 && (layer->buffer = map_pages (capacity, populate)) != NULL)
    layer->capacity = capacity;
  return layer;
}

static bool
layer_ensure (Layer *layer, gsize count, GError **error)
{
  if (count <= layer->capacity)
    return true;
  char *buffer = map_pages (count, false);
  if (buffer == NULL)
    return cs_error_set_errno (error, errno, "cannot map %zu pages to copy memory into", count);
  if (layer->capacity > 0)
    munmap (layer->buffer, layer->capacity * CS_PAGE_SIZE);
  layer->buffer = buffer;
  layer->capacity = count;
  return true;
}

static void
block_clear (gpointer data)
{
  Block *block = data;
  g_free (block->name);
  cs_bitmap_free (block->pending);
  cs_bitmap_free (block->taken);
}

static Block *
pages_block (const CsPages *pages, guint i)
{
  return &g_array_index (pages->blocks, Block, i);
}

static bool
add_block (CsPages *pages, guint index, GHashTable *carried, GError **error)
{
  const CsRamBlock *ram = cs_tracker_block (pages->tracker, index);
  Block block = { .name = g_strdup (ram->name), .index = index };
  guint64 size = ram->used_length / CS_PAGE_SIZE;
  block.pending = cs_bitmap_new (size);
  block.taken = cs_bitmap_new (size);
  g_array_append_val (pages->blocks, block);

  const CsBitmap *earlier = carried ? g_hash_table_lookup (carried, ram->name) : NULL;
  bool inherit = earlier != NULL && cs_bitmap_size (earlier) == size;
  if (inherit)
    cs_bitmap_or (block.pending, earlier);
  if (!cs_image_writer_add_volume (pages->writer, CS_VOLUME_RAM, ram->name, ram->used_length,
                                   inherit, &pages_block (pages, pages->blocks->len - 1)->volume,
                                   error))
    return false;
  return inherit || cs_tracker_resident (pages->tracker, index, block.pending, error);
}

CsPages *
cs_pages_new (CsTracker *tracker, CsImageWriter *writer, GHashTable *carried, GError **error)
{
  g_autoptr (CsPages) pages = g_new0 (CsPages, 1);
  pages->tracker = tracker;
  pages->writer = writer;
  pages->blocks = g_array_new (FALSE, TRUE, sizeof (Block));
  g_array_set_clear_func (pages->blocks, block_clear);
  pages->layers = g_ptr_array_new_with_free_func (layer_free);
  pages->scratch = g_array_sized_new (FALSE, FALSE, sizeof (CsPageRun), 65536);
  for (guint i = 0; i < cs_tracker_n_blocks (tracker); i++)
    if (!add_block (pages, i, carried, error))
      return NULL;
  return g_steal_pointer (&pages);
}

void
cs_pages_free (CsPages *pages)
{
  if (pages == NULL)
    return;
  g_array_unref (pages->blocks);
  g_ptr_array_unref (pages->layers);
  g_array_unref (pages->scratch);
  layer_free (pages->reserved);
  g_free (pages);
}

bool
cs_pages_scan (CsPages *pages, GError **error)
{
  for (guint i = 0; i < pages->blocks->len; i++)
    if (!cs_tracker_scan (pages->tracker, pages_block (pages, i)->index,
                          pages_block (pages, i)->pending, error))
      return false;
  return true;
}

guint64
cs_pages_pending (const CsPages *pages)
{
  guint64 count = 0;
  for (guint i = 0; i < pages->blocks->len; i++)
    count += cs_bitmap_count (pages_block (pages, i)->pending);
  return count;
}

bool
cs_pages_peek (CsPages *pages, guint64 *count, GError **error)
{
  *count = 0;
  for (guint i = 0; i < pages->blocks->len; i++)
    {
      const Block *block = pages_block (pages, i);
      g_autoptr (CsBitmap) dirty = cs_bitmap_new (cs_bitmap_size (block->pending));
      if (!cs_tracker_peek (pages->tracker, block->index, dirty, error))
        return false;
      *count += cs_bitmap_count (dirty);
    }
  return true;
}

/* Copies the pending pages of @block into @layer at its end. */
static bool
copy_block (CsPages *pages, guint number, Layer *layer, GError **error)
{
  Block *block = pages_block (pages, number);
  gsize start = layer->length;
  g_array_set_size (pages->scratch, 0);
  guint64 first, count;
  for (guint64 at = 0; cs_bitmap_next_run (block->pending, at, &first, &count); at = first + count)
    {
      CsPageRun run = { first, count };
      LayerRun layer_run = { number, run, layer->length };
      g_array_append_val (pages->scratch, run);
      g_array_append_val (layer->runs, layer_run);
      layer->length += count;
    }
  if (pages->scratch->len == 0)
    return true;
  if (!cs_tracker_read (pages->tracker, block->index, (CsPageRun *)(void *)pages->scratch->data,
                        pages->scratch->len, layer->buffer + start * CS_PAGE_SIZE, error))
    return false;
  cs_bitmap_or (block->taken, block->pending);
  cs_bitmap_clear (block->pending);
  return true;
}

static bool
copy_into (CsPages *pages, Layer *layer, GError **error)
{
  if (!layer_ensure (layer, cs_pages_pending (pages), error))
    return false;
  for (guint i = 0; i < pages->blocks->len; i++)
    if (!copy_block (pages, i, layer, error))
      return false;
  return true;
}

/* Copies the pending pages of @block straight to the writer. */
static bool
stream_block (CsPages *pages, Block *block, char *chunk, GError **error)
{
  guint64 first, count;
  for (guint64 at = 0; cs_bitmap_next_run (block->pending, at, &first, &count); at = first + count)
    {
      count = MIN (count, CHUNK_PAGES);
      CsPageRun run = { first, count };
      if (!cs_tracker_read (pages->tracker, block->index, &run, 1, chunk, error)
          || !cs_image_writer_put (pages->writer, block->volume, first, count, chunk, error))
        return false;
    }
  cs_bitmap_or (block->taken, block->pending);
  cs_bitmap_clear (block->pending);
  return true;
}

bool
cs_pages_copy (CsPages *pages, GError **error)
{
  guint64 pending = cs_pages_pending (pages);
  /* Once layers exist nothing may overtake them: the writer's last put wins. */
  if (pending > MEMORY_BUDGET_PAGES && pages->layers->len == 0)
    {
      g_autofree char *chunk = g_malloc (CHUNK_PAGES * CS_PAGE_SIZE);
      for (guint i = 0; i < pages->blocks->len; i++)
        if (!stream_block (pages, pages_block (pages, i), chunk, error))
          return false;
      return true;
    }
  if (pending == 0)
    return true;
  Layer *layer = layer_new (pending, false);
  g_ptr_array_add (pages->layers, layer);
  return copy_into (pages, layer, error);
}

void
cs_pages_reserve (CsPages *pages, guint64 count)
{
  if (pages->reserved != NULL && pages->reserved->capacity >= count)
    return;
  layer_free (pages->reserved);
  pages->reserved = layer_new (count, true);
}

bool
cs_pages_copy_reserved (CsPages *pages, GError **error)
{
  if (pages->reserved == NULL)
    pages->reserved = layer_new (0, false);
  Layer *layer = g_steal_pointer (&pages->reserved);
  g_ptr_array_add (pages->layers, layer);
  return copy_into (pages, layer, error);
}

/* Puts the part of @run that is not in @done yet. */
static bool
store_run (CsPages *pages, const Layer *layer, const LayerRun *run, CsBitmap *done, GError **error)
{
  guint64 end = run->run.first + run->run.count;
  for (guint64 page = run->run.first; page < end;)
    {
      guint64 stop = page;
      while (stop < end && !cs_bitmap_test (done, stop))
        stop++;
      const char *data = layer->buffer + (run->offset + (page - run->run.first)) * CS_PAGE_SIZE;
      if (stop > page
          && !cs_image_writer_put (pages->writer, pages_block (pages, run->block)->volume, page,
                                   stop - page, data, error))
        return false;
      page = stop + (stop == page ? 1 : 0);
    }
  cs_bitmap_set_range (done, run->run.first, run->run.count);
  return true;
}

bool
cs_pages_store (CsPages *pages, GError **error)
{
  g_autoptr (GPtrArray) done = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_bitmap_free);
  for (guint i = 0; i < pages->blocks->len; i++)
    g_ptr_array_add (done, cs_bitmap_new (cs_bitmap_size (pages_block (pages, i)->taken)));
  for (guint i = pages->layers->len; i-- > 0;)
    {
      const Layer *layer = g_ptr_array_index (pages->layers, i);
      for (guint r = 0; r < layer->runs->len; r++)
        {
          const LayerRun *run = &g_array_index (layer->runs, LayerRun, r);
          if (!store_run (pages, layer, run, g_ptr_array_index (done, run->block), error))
            return false;
        }
      /* Its memory is not needed any more: give it back while the next one is stored. */
      g_ptr_array_remove_index (pages->layers, i);
    }
  return true;
}

guint64
cs_pages_taken (const CsPages *pages)
{
  guint64 count = 0;
  for (guint i = 0; i < pages->blocks->len; i++)
    count += cs_bitmap_count (pages_block (pages, i)->taken);
  return count;
}

void
cs_pages_give_back (CsPages *pages, GHashTable *carried)
{
  for (guint i = 0; i < pages->blocks->len; i++)
    {
      Block *block = pages_block (pages, i);
      CsBitmap *earlier = g_hash_table_lookup (carried, block->name);
      /* A block that is not there, or has changed, is read as a whole. */
      if (earlier == NULL || cs_bitmap_size (earlier) != cs_bitmap_size (block->taken))
        continue;
      cs_bitmap_or (earlier, block->taken);
      cs_bitmap_or (earlier, block->pending);
    }
}
