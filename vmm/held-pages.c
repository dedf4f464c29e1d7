#include "config.h"

#include "vmm/held-pages.h"

#include "common/error.h"
#include "vmm/tracker.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum
{
  LEAF = 512, /* pages */
};

struct CsHeldVolume
{
  CsHeldPages *held;
  CsBitmap *set;
  guint32 **leaves; /* of LEAF slots each; NULL: none of them was ever held */
};

struct CsHeldPages
{
  guint8 *data;
  guint32 slots;       /* that the budget allows */
  guint32 used;        /* of them, from the first: are populated, and held or free */
  GArray *free;        /* of guint32 */
  GHashTable *volumes; /* name -> CsHeldVolume */
};

/* ---- slots ---- */

static void
volume_free (gpointer data)
{
  CsHeldVolume *volume = data;
  for (guint64 i = 0; i < (cs_bitmap_size (volume->set) + LEAF - 1) / LEAF; i++)
    g_free (volume->leaves[i]);
  g_free (volume->leaves);
  cs_bitmap_free (volume->set);
  g_free (volume);
}

static guint32 *
slot_of (const CsHeldVolume *volume, guint64 page)
{
  return &volume->leaves[page / LEAF][page % LEAF];
}

static void
drop (CsHeldVolume *volume, guint64 page)
{
  g_array_append_val (volume->held->free, *slot_of (volume, page));
  cs_bitmap_clear_range (volume->set, page, 1);
}

/* There is one: the caller has looked. */
static guint32
take_slot (CsHeldPages *held)
{
  if (held->free->len == 0)
    return held->used++;
  guint32 slot = g_array_index (held->free, guint32, held->free->len - 1);
  g_array_set_size (held->free, held->free->len - 1);
  return slot;
}

guint64
cs_held_pages_room (const CsHeldPages *held)
{
  return held->slots - held->used + held->free->len;
}

guint64
cs_held_pages_size (const CsHeldPages *held)
{
  return (guint64)held->used * CS_PAGE_SIZE;
}

CsHeldPages *
cs_held_pages_new (guint64 budget, GError **error)
{
  guint32 slots = (guint32)MIN (budget / CS_PAGE_SIZE, G_MAXUINT32);
  void *data = mmap (NULL, MAX (slots, 1) * (gsize)CS_PAGE_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    {
      cs_error_set_errno (error, errno, "cannot map %u pages to read memory ahead", slots);
      return NULL;
    }
  CsHeldPages *held = g_new0 (CsHeldPages, 1);
  held->data = data;
  held->slots = slots;
  held->free = g_array_new (FALSE, FALSE, sizeof (guint32));
  held->volumes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, volume_free);
  return held;
}

void
cs_held_pages_free (CsHeldPages *held)
{
  if (held == NULL)
    return;
  munmap (held->data, MAX (held->slots, 1) * (gsize)CS_PAGE_SIZE);
  g_hash_table_unref (held->volumes);
  g_array_unref (held->free);
  g_free (held);
}

/* ---- volumes ---- */

void
cs_held_volume_retain (CsHeldVolume *volume, const CsBitmap *wanted)
{
  guint64 first, count;
  for (guint64 at = 0; cs_bitmap_next_run (volume->set, at, &first, &count); at = first + count)
    for (guint64 page = first; page < first + count; page++)
      if (wanted == NULL || !cs_bitmap_test (wanted, page))
        drop (volume, page);
}

static bool
find_volume (const CsImage *image, const char *name, guint64 pages, guint *number)
{
  CsVolumeInfo info;
  if (!cs_image_find_volume (image, CS_VOLUME_RAM, name, number))
    return false;
  cs_image_volume_info (image, *number, &info);
  return info.length == pages * CS_PAGE_SIZE;
}

void
cs_held_pages_retarget (CsHeldPages *held, const CsImage *from, const CsImage *to)
{
  GHashTableIter each;
  gpointer name, data;
  g_hash_table_iter_init (&each, held->volumes);
  while (g_hash_table_iter_next (&each, &name, &data))
    {
      CsHeldVolume *volume = data;
      guint a, b;
      guint64 pages = cs_bitmap_size (volume->set), first, count;
      bool both = find_volume (from, name, pages, &a) && find_volume (to, name, pages, &b);
      if (!both)
        cs_held_volume_retain (volume, NULL);
      for (guint64 at = 0; both && cs_bitmap_next_run (volume->set, at, &first, &count);
           at = first + count)
        for (guint64 page = first; page < first + count; page++)
          if (!cs_image_page_same (to, b, from, a, page))
            drop (volume, page);
    }
}

CsHeldVolume *
cs_held_pages_volume (CsHeldPages *held, const char *name, guint64 pages)
{
  CsHeldVolume *volume = g_hash_table_lookup (held->volumes, name);
  if (volume != NULL && cs_bitmap_size (volume->set) == pages)
    return volume;
  if (volume != NULL)
    cs_held_volume_retain (volume, NULL);
  volume = g_new0 (CsHeldVolume, 1);
  volume->held = held;
  volume->set = cs_bitmap_new (pages);
  volume->leaves = g_new0 (guint32 *, (pages + LEAF - 1) / LEAF);
  g_hash_table_replace (held->volumes, g_strdup (name), volume);
  return volume;
}

const CsBitmap *
cs_held_volume_set (const CsHeldVolume *volume)
{
  return volume->set;
}

const void *
cs_held_volume_page (const CsHeldVolume *volume, guint64 page)
{
  return volume->held->data + (gsize)*slot_of (volume, page) * CS_PAGE_SIZE;
}

/* ---- reading ---- */

static bool
take_page (guint64 page, const void *data, void *user_data, GError **error)
{
  CsHeldVolume *volume = user_data;
  CsHeldPages *held = volume->held;
  guint32 **leaf = &volume->leaves[page / LEAF];
  if (*leaf == NULL)
    *leaf = g_new (guint32, LEAF);
  guint32 slot = take_slot (held);
  memcpy (held->data + (gsize)slot * CS_PAGE_SIZE, data, CS_PAGE_SIZE);
  *slot_of (volume, page) = slot;
  cs_bitmap_set_range (volume->set, page, 1);
  return true;
}

/* Takes what exceeds @room out of @wanted; what is left, as a list of *@n pages. */
static guint64 *
list_wanted (CsBitmap *wanted, guint64 room, gsize *n)
{
  guint64 first, count;
  guint64 *list = g_new (guint64, MIN (cs_bitmap_count (wanted), room));
  *n = 0;
  for (guint64 at = 0; cs_bitmap_next_run (wanted, at, &first, &count); at = first + count)
    {
      guint64 fits = MIN (count, room - *n);
      if (fits < count)
        cs_bitmap_clear_range (wanted, first + fits, count - fits);
      for (guint64 k = 0; k < fits; k++)
        list[(*n)++] = first + k;
    }
  return list;
}

bool
cs_held_volume_read (CsHeldVolume *volume, CsImage *image, guint number, CsBitmap *wanted,
                     GError **error)
{
  CsHeldPages *held = volume->held;
  gsize n;
  g_autofree guint64 *list = list_wanted (wanted, cs_held_pages_room (held), &n);
  /* Takes less time than a fault for each page; without it all is as well. */
  if (n > held->free->len)
    madvise (held->data + (gsize)held->used * CS_PAGE_SIZE,
             (n - held->free->len) * (gsize)CS_PAGE_SIZE, MADV_POPULATE_WRITE);
  return cs_image_read_pages (image, number, list, n, take_page, volume, error);
}
