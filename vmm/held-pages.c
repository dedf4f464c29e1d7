#include "config.h"

#include "vmm/held-pages.h"

#include "common/error.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

typedef struct
{
  guint volume;
  GArray *runs;    /* of CsPageRun, rising */
  GArray *offsets; /* of guint64: pages before each run */
  guint8 *data;
  guint64 pages;
} Piece;

struct CsHeldPages
{
  CsImage *image;
  guint64 budget; /* pages left */
  GPtrArray *pieces;
};

static void
piece_free (gpointer data)
{
  Piece *piece = data;
  if (piece->data != NULL)
    munmap (piece->data, piece->pages * CS_PAGE_SIZE);
  g_array_unref (piece->runs);
  g_array_unref (piece->offsets);
  g_free (piece);
}

CsHeldPages *
cs_held_pages_new (CsImage *image, guint64 budget)
{
  CsHeldPages *held = g_new0 (CsHeldPages, 1);
  held->image = image;
  held->budget = budget / CS_PAGE_SIZE;
  held->pieces = g_ptr_array_new_with_free_func (piece_free);
  return held;
}

void
cs_held_pages_free (CsHeldPages *held)
{
  if (held == NULL)
    return;
  g_ptr_array_unref (held->pieces);
  g_free (held);
}

gint64
cs_page_runs_index (const GArray *runs, const GArray *offsets, guint64 page)
{
  guint low = 0, high = runs->len;
  while (low < high)
    {
      guint middle = low + (high - low) / 2;
      const CsPageRun *run = &g_array_index (runs, CsPageRun, middle);
      if (page < run->first)
        high = middle;
      else if (page - run->first >= run->count)
        low = middle + 1;
      else
        return (gint64)(g_array_index (offsets, guint64, middle) + (page - run->first));
    }
  return -1;
}

static bool
take_page (guint64 page, const void *data, void *user_data, GError **error)
{
  Piece *piece = user_data;
  gint64 at = cs_page_runs_index (piece->runs, piece->offsets, page);
  memcpy (piece->data + (guint64)at * CS_PAGE_SIZE, data, CS_PAGE_SIZE);
  return true;
}

/* Takes the runs of @wanted, and what exceeds the budget out of it. */
static Piece *
piece_new (CsHeldPages *held, guint volume, CsBitmap *wanted)
{
  guint64 first, count;
  Piece *piece = g_new0 (Piece, 1);
  piece->volume = volume;
  piece->runs = g_array_new (FALSE, FALSE, sizeof (CsPageRun));
  piece->offsets = g_array_new (FALSE, FALSE, sizeof (guint64));
  for (guint64 at = 0; cs_bitmap_next_run (wanted, at, &first, &count); at = first + count)
    {
      CsPageRun run = { first, MIN (count, held->budget - piece->pages) };
      if (run.count < count)
        cs_bitmap_clear_range (wanted, first + run.count, count - run.count);
      if (run.count == 0)
        continue;
      g_array_append_val (piece->runs, run);
      g_array_append_val (piece->offsets, piece->pages);
      piece->pages += run.count;
    }
  return piece;
}

static bool
read_piece (CsHeldPages *held, Piece *piece, GError **error)
{
  void *mapped = mmap (NULL, piece->pages * CS_PAGE_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED)
    return cs_error_set_errno (
        error, errno, "cannot map %" G_GUINT64_FORMAT " pages to read memory ahead", piece->pages);
  piece->data = mapped;
  /* Takes less time than a fault for each page; without it all is as well. */
  madvise (mapped, piece->pages * CS_PAGE_SIZE, MADV_POPULATE_WRITE);
  g_autofree guint64 *list = g_new (guint64, piece->pages);
  guint64 n = 0;
  for (guint i = 0; i < piece->runs->len; i++)
    {
      const CsPageRun *run = &g_array_index (piece->runs, CsPageRun, i);
      for (guint64 k = 0; k < run->count; k++)
        list[n++] = run->first + k;
    }
  return cs_image_read_pages (held->image, piece->volume, list, n, take_page, piece, error);
}

bool
cs_held_pages_read (CsHeldPages *held, guint volume, CsBitmap *wanted, GError **error)
{
  Piece *piece = piece_new (held, volume, wanted);
  if (piece->pages == 0 || !read_piece (held, piece, error))
    {
      bool nothing = piece->pages == 0;
      piece_free (piece);
      return nothing;
    }
  held->budget -= piece->pages;
  g_ptr_array_add (held->pieces, piece);
  return true;
}

guint64
cs_held_pages_room (const CsHeldPages *held)
{
  return held->budget;
}

bool
cs_held_pages_next (const CsHeldPages *held, guint volume, guint *next, const GArray **runs,
                    const guint8 **data)
{
  for (; *next < held->pieces->len; (*next)++)
    {
      const Piece *piece = g_ptr_array_index (held->pieces, *next);
      if (piece->volume != volume)
        continue;
      *runs = piece->runs;
      *data = piece->data;
      (*next)++;
      return true;
    }
  return false;
}

const void *
cs_held_pages_find (const CsHeldPages *held, guint volume, guint64 page)
{
  for (guint i = 0; i < held->pieces->len; i++)
    {
      const Piece *piece = g_ptr_array_index (held->pieces, i);
      gint64 at =
          piece->volume == volume ? cs_page_runs_index (piece->runs, piece->offsets, page) : -1;
      if (at >= 0)
        return piece->data + (guint64)at * CS_PAGE_SIZE;
    }
  return NULL;
}
