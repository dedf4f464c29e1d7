/* Reading an image's pages. */
#include "config.h"

#include "images/image-private.h"

#include "common/error.h"
#include "images/digest.h"

#include <string.h>

const guint8 *
cs_frame_page (const CsFrame *frame, CsLocation location, GError **error)
{
  guint32 slot = cs_location_slot (location);
  if (slot < frame->pages && !cs_hash_is_zero (frame->hashes[slot]))
    return frame->data + (gsize)slot * CS_PAGE_LENGTH;
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "segment %u has no page in slot %u of frame %u",
               cs_location_segment (location), slot, cs_location_frame (location));
  return NULL;
}

static bool
check_range (const CsImage *image, guint volume, guint64 page, guint64 count, GError **error)
{
  guint64 pages = cs_page_map_size (cs_image_volume (image, volume)->map);
  if (page <= pages && count <= pages - page)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "pages %" G_GUINT64_FORMAT " + %" G_GUINT64_FORMAT
               " are not all in volume '%s' of image '%s', which has %" G_GUINT64_FORMAT,
               page, count, cs_image_volume (image, volume)->name, image->id, pages);
  return false;
}

static bool
same_frame (CsLocation a, CsLocation b)
{
  return a / CS_FRAME_PAGES == b / CS_FRAME_PAGES;
}

bool
cs_image_read (CsImage *image, guint volume, guint64 page, guint64 count, void *data,
               GError **error)
{
  const CsPageMap *map = cs_image_volume (image, volume)->map;
  const CsFrame *frame = NULL;
  CsLocation frame_location = CS_LOCATION_ZERO;
  bool ok = check_range (image, volume, page, count, error);
  for (guint64 i = 0; ok && i < count; i++)
    {
      guint8 *place = (guint8 *)data + i * CS_PAGE_LENGTH;
      CsLocation location = cs_page_map_get (map, page + i);
      if (location == CS_LOCATION_ZERO)
        {
          memset (place, 0, CS_PAGE_LENGTH);
          continue;
        }
      if (frame == NULL || !same_frame (location, frame_location))
        {
          cs_cached_frame_unref (frame);
          frame = cs_frame_cache_get (image->store->cache, location, error);
          frame_location = location;
        }
      const guint8 *content = frame != NULL ? cs_frame_page (frame, location, error) : NULL;
      ok = content != NULL;
      if (ok)
        memcpy (place, content, CS_PAGE_LENGTH);
      else
        cs_image_prefix_error (image, volume, error);
    }
  cs_cached_frame_unref (frame);
  return ok;
}

/* Whether page @other comes with page @page: both zero, or in the same frame. */
static bool
comes_with (const CsPageMap *map, guint64 page, guint64 other)
{
  CsLocation a = cs_page_map_get (map, page), b = cs_page_map_get (map, other);
  return a == CS_LOCATION_ZERO || b == CS_LOCATION_ZERO ? a == b : same_frame (a, b);
}

void
cs_image_neighbours (const CsImage *image, guint volume, guint64 page, guint64 window,
                     guint64 *first, guint64 *count)
{
  const CsPageMap *map = cs_image_volume (image, volume)->map;
  guint64 from = page / window * window;
  guint64 end = MIN (from + window, cs_page_map_size (map));
  *first = page;
  while (*first > from && comes_with (map, page, *first - 1))
    --*first;
  *count = page + 1 - *first;
  while (*first + *count < end && comes_with (map, page, *first + *count))
    ++*count;
}

/* The numbers of the frames, over all segments, that hold a page of @pages.  Free with
 * g_hash_table_unref. */
static GHashTable *
frames_of (const CsPageMap *map, const CsBitmap *pages)
{
  GHashTable *frames = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  guint64 last = 0;
  for (guint64 first = 0, count; cs_bitmap_next_run (pages, first, &first, &count); first += count)
    for (guint64 page = first; page < first + count; page++)
      {
        guint64 frame = cs_page_map_get (map, page) / CS_FRAME_PAGES;
        if (frame != last && frame != 0)
          g_hash_table_add (frames, g_memdup2 (&frame, sizeof frame));
        last = frame;
      }
  return frames;
}

void
cs_image_add_frame_mates (const CsImage *image, guint volume, CsBitmap *pages)
{
  const CsPageMap *map = cs_image_volume (image, volume)->map;
  g_autoptr (GHashTable) frames = frames_of (map, pages);
  guint64 last = 0;
  bool wanted = false;
  /* Neighbours are mostly in one frame. */
  for (guint64 page = 0; g_hash_table_size (frames) > 0 && cs_page_map_next (map, page, &page);
       page++)
    {
      guint64 frame = cs_page_map_get (map, page) / CS_FRAME_PAGES;
      if (frame != last)
        wanted = g_hash_table_contains (frames, &frame);
      last = frame;
      if (wanted)
        cs_bitmap_set_range (pages, page, 1);
    }
}

GBytes *
cs_image_read_bytes (CsImage *image, guint volume, GError **error)
{
  const CsImageVolume *found = cs_image_volume (image, volume);
  guint64 pages = cs_page_map_size (found->map);
  g_autofree guint8 *data = g_try_malloc (pages * CS_PAGE_LENGTH + 1);
  if (data == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
                   "there is no memory for volume '%s' of image '%s'", found->name, image->id);
      return NULL;
    }
  if (!cs_image_read (image, volume, 0, pages, data, error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&data), found->length);
}

void
cs_image_volume_list (const CsImageVolume *volume, GArray *pages)
{
  CsPlacedPage placed;
  for (guint64 from = 0; cs_page_map_next (volume->map, from, &placed.page); from = placed.page + 1)
    {
      placed.location = cs_page_map_get (volume->map, placed.page);
      g_array_append_val (pages, placed);
    }
}

static gint
by_location (gconstpointer a, gconstpointer b)
{
  CsLocation left = ((const CsPlacedPage *)a)->location;
  CsLocation right = ((const CsPlacedPage *)b)->location;
  return (left > right) - (left < right);
}

void
cs_placed_pages_sort (GArray *pages)
{
  g_array_sort (pages, by_location);
}

bool
cs_image_read_frame (CsStore *store, CsLocation location, CsFrameCodec *codec, CsFrame *frame,
                     GError **error)
{
  g_autoptr (CsSegment) segment =
      cs_segment_table_open (store->segments, cs_location_segment (location), error);
  if (segment == NULL)
    return false;
  if (cs_segment_read_frame (segment, cs_location_frame (location), codec, frame, error))
    return true;
  cs_segment_table_note_damage (store->segments, cs_location_segment (location));
  return false;
}

/* Through the cache: rolling back again and again wants the same pages every time. */
static bool
visit_placed (CsImage *image, guint volume, const GArray *pages, CsImagePageFunc func,
              void *user_data, GError **error)
{
  const CsFrame *frame = NULL;
  CsLocation loaded = CS_LOCATION_ZERO;
  bool ok = true;
  for (guint i = 0; ok && i < pages->len; i++)
    {
      const CsPlacedPage *placed = &g_array_index (pages, CsPlacedPage, i);
      if (frame == NULL || !same_frame (loaded, placed->location))
        {
          cs_cached_frame_unref (frame);
          frame = cs_frame_cache_get (image->store->cache, placed->location, error);
          loaded = placed->location;
        }
      const guint8 *content = frame != NULL ? cs_frame_page (frame, placed->location, error) : NULL;
      if (content == NULL)
        cs_image_prefix_error (image, volume, error);
      ok = content != NULL && func (placed->page, content, user_data, error);
    }
  cs_cached_frame_unref (frame);
  return ok;
}

bool
cs_image_read_pages (CsImage *image, guint volume, const guint64 *pages, gsize n,
                     CsImagePageFunc func, void *user_data, GError **error)
{
  const CsPageMap *map = cs_image_volume (image, volume)->map;
  g_autoptr (GArray) placed = g_array_sized_new (FALSE, FALSE, sizeof (CsPlacedPage), (guint)n);
  for (gsize i = 0; i < n; i++)
    {
      if (!check_range (image, volume, pages[i], 1, error))
        return false;
      CsPlacedPage page = { .location = cs_page_map_get (map, pages[i]), .page = pages[i] };
      if (page.location != CS_LOCATION_ZERO)
        g_array_append_val (placed, page);
    }
  cs_placed_pages_sort (placed);
  return visit_placed (image, volume, placed, func, user_data, error);
}

bool
cs_image_foreach (CsImage *image, guint volume, CsImagePageFunc func, void *user_data,
                  GError **error)
{
  g_autoptr (GArray) pages = g_array_new (FALSE, FALSE, sizeof (CsPlacedPage));
  cs_image_volume_list (cs_image_volume (image, volume), pages);
  cs_placed_pages_sort (pages);
  g_autofree CsFrame *frame = g_new (CsFrame, 1);
  CsFrameCodec *codec = cs_frame_cache_take_codec (image->store->cache);
  CsLocation loaded = CS_LOCATION_ZERO;
  bool ok = true;
  for (guint i = 0; ok && i < pages->len; i++)
    {
      const CsPlacedPage *placed = &g_array_index (pages, CsPlacedPage, i);
      const guint8 *content = NULL;
      if ((loaded != CS_LOCATION_ZERO && same_frame (loaded, placed->location))
          || cs_image_read_frame (image->store, placed->location, codec, frame, error))
        content = cs_frame_page (frame, placed->location, error);
      loaded = placed->location;
      if (content == NULL)
        cs_image_prefix_error (image, volume, error);
      ok = content != NULL && func (placed->page, content, user_data, error);
    }
  cs_frame_cache_return_codec (image->store->cache, codec);
  return ok;
}
