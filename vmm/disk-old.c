/* Theory of operation.  What is written is the union of the pages that differ between two images
 * and of the disk's dirty bitmap, which grows until the VM stands.  The content read ahead is that
 * of the first pages of the set (zero ones have none), in rising order and without gaps.  The
 * pieces are handed out in rising order too, so that where a page's content lies is
 * known by counting: nothing is looked up in the pause. */
#include "config.h"

#include "vmm/disk-old.h"

#include "common/error.h"
#include "vmm/disk-read.h"

#include <string.h>

struct CsDiskOld
{
  /* immutable */
  CsImage *image;
  guint volume;
  CsBitmap *data; /* not zero in the image */

  CsBitmap *wanted;
  CsBitmap *ahead; /* read ahead: of wanted and data */
  char *content;   /* of those, in rising order */
  gsize handed;    /* how many of them cs_disk_old_next has passed */
};

CsDiskOld *
cs_disk_old_new (CsImage *target, guint volume)
{
  CsVolumeInfo info;
  cs_image_volume_info (target, volume, &info);
  guint64 pages = (info.length + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE;
  CsDiskOld *old = g_new0 (CsDiskOld, 1);
  old->image = target;
  old->volume = volume;
  old->data = cs_bitmap_new (pages);
  old->wanted = cs_bitmap_new (pages);
  old->ahead = cs_bitmap_new (pages);
  for (guint64 page = 0; page < pages; page++)
    if (!cs_image_page_is_zero (target, volume, page))
      cs_bitmap_set_range (old->data, page, 1);
  return old;
}

void
cs_disk_old_free (CsDiskOld *old)
{
  if (old == NULL)
    return;
  cs_bitmap_free (old->data);
  cs_bitmap_free (old->wanted);
  cs_bitmap_free (old->ahead);
  g_free (old->content);
  g_free (old);
}

CsBitmap *
cs_disk_old_wanted (CsDiskOld *old)
{
  return old->wanted;
}

void
cs_disk_old_want_all (CsDiskOld *old)
{
  cs_bitmap_set_range (old->wanted, 0, cs_bitmap_size (old->wanted));
}

void
cs_disk_old_want_difference (CsDiskOld *old, const CsImage *base, guint base_volume)
{
  for (guint64 page = 0; page < cs_bitmap_size (old->wanted); page++)
    if (!cs_image_page_same (old->image, old->volume, base, base_volume, page))
      cs_bitmap_set_range (old->wanted, page, 1);
}

void
cs_disk_old_drop_zero (CsDiskOld *old, const CsBitmap *nonzero)
{
  guint64 page = 0, count;
  bool zero;
  for (; cs_disk_next_piece (old->wanted, old->data, G_MAXUINT64, &page, &count, &zero);
       page += count)
    for (guint64 at = page, end = page + count, next, length; zero && at < end; at = next + length)
      {
        if (!cs_bitmap_next_run (nonzero, at, &next, &length) || next > end)
          next = end, length = 0;
        cs_bitmap_clear_range (old->wanted, at, next - at);
      }
}

/* The first @max pages that are wanted and have content. */
static guint64
choose (CsDiskOld *old, guint64 max)
{
  guint64 page = 0, count, chosen = 0;
  bool zero;
  for (; chosen < max
         && cs_disk_next_piece (old->wanted, old->data, max - chosen, &page, &count, &zero);
       page += count)
    if (!zero)
      {
        cs_bitmap_set_range (old->ahead, page, count);
        chosen += count;
      }
  return chosen;
}

/* Few pages: in the disk's order, which is nearly the store's where they were stored together. */
static bool
read_runs (CsDiskOld *old, GError **error)
{
  char *place = old->content;
  for (guint64 page = 0, count; cs_bitmap_next_run (old->ahead, page, &page, &count); page += count)
    {
      if (!cs_image_read (old->image, old->volume, page, count, place, error))
        return false;
      place += count * CS_PAGE_SIZE;
    }
  return true;
}

typedef struct
{
  CsDiskOld *old;
  GArray *pages; /* of guint64: those read ahead, rising */
} Ahead;

static bool
take_page (guint64 page, const void *data, void *user_data, GError **error)
{
  Ahead *ahead = user_data;
  (void)error;
  if (!cs_bitmap_test (ahead->old->ahead, page))
    return true;
  guint low = 0, high = ahead->pages->len;
  while (high - low > 1)
    {
      guint middle = low + (high - low) / 2;
      if (g_array_index (ahead->pages, guint64, middle) <= page)
        low = middle;
      else
        high = middle;
    }
  memcpy (ahead->old->content + (gsize)low * CS_PAGE_SIZE, data, CS_PAGE_SIZE);
  return true;
}

/* Most of the volume: in the store's order, each frame once. */
static bool
read_volume (CsDiskOld *old, GError **error)
{
  g_autoptr (GArray) pages = g_array_new (FALSE, FALSE, sizeof (guint64));
  for (guint64 page = 0, count; cs_bitmap_next_run (old->ahead, page, &page, &count); page += count)
    for (guint64 at = page; at < page + count; at++)
      g_array_append_val (pages, at);
  Ahead ahead = { old, pages };
  return cs_image_foreach (old->image, old->volume, take_page, &ahead, error);
}

bool
cs_disk_old_read_ahead (CsDiskOld *old, guint64 *budget, GError **error)
{
  CsVolumeInfo info;
  g_assert (old->content == NULL);
  cs_image_volume_info (old->image, old->volume, &info);
  guint64 chosen = choose (old, *budget / CS_PAGE_SIZE);
  old->content = g_try_malloc (chosen * CS_PAGE_SIZE + 1);
  if (old->content == NULL)
    {
      /* Slower, but right. */
      cs_bitmap_clear (old->ahead);
      return true;
    }
  *budget -= chosen * CS_PAGE_SIZE;
  return chosen > info.pages_present / 2 ? read_volume (old, error) : read_runs (old, error);
}

bool
cs_disk_old_next (CsDiskOld *old, guint64 max, CsDiskPiece *piece)
{
  guint64 first, count;
  piece->page += piece->count;
  piece->data = NULL;
  if (!cs_disk_next_piece (old->wanted, old->data, max, &piece->page, &piece->count, &piece->zero))
    return false;
  if (piece->zero || !cs_bitmap_next_run (old->ahead, piece->page, &first, &count))
    return true;
  if (first > piece->page)
    {
      piece->count = MIN (piece->count, first - piece->page);
      return true;
    }
  piece->count = MIN (piece->count, count);
  piece->data = old->content + old->handed * CS_PAGE_SIZE;
  old->handed += piece->count;
  return true;
}

bool
cs_disk_old_read (CsDiskOld *old, const CsDiskPiece *piece, void *buffer, GError **error)
{
  return cs_image_read (old->image, old->volume, piece->page, piece->count, buffer, error);
}
