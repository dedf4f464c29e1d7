/* A dense set of page numbers of fixed size.
 *
 * All memory is allocated by cs_bitmap_new, so that sets can be filled inside
 * the pause.  Not thread-safe: one owner at a time. */
#ifndef CS_COMMON_BITMAP_H
#define CS_COMMON_BITMAP_H

#include <glib.h>
#include <stdbool.h>

typedef struct CsBitmap CsBitmap;

/* An empty set over the numbers 0 ... @size - 1. */
CsBitmap *cs_bitmap_new (guint64 size);
void cs_bitmap_free (CsBitmap *bitmap);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsBitmap, cs_bitmap_free)

guint64 cs_bitmap_size (const CsBitmap *bitmap);
guint64 cs_bitmap_count (const CsBitmap *bitmap);
bool cs_bitmap_test (const CsBitmap *bitmap, guint64 number);
void cs_bitmap_set_range (CsBitmap *bitmap, guint64 first, guint64 count);
void cs_bitmap_clear_range (CsBitmap *bitmap, guint64 first, guint64 count);
void cs_bitmap_clear (CsBitmap *bitmap);
/* @bitmap = @other, @bitmap |= @other, @bitmap &= ~@other: both of the same size. */
void cs_bitmap_copy (CsBitmap *bitmap, const CsBitmap *other);
void cs_bitmap_or (CsBitmap *bitmap, const CsBitmap *other);
void cs_bitmap_and_not (CsBitmap *bitmap, const CsBitmap *other);

/* Finds the first run of members at or after @from: true and its bounds, or
 * false when there is none.  Loop: for (guint64 at = 0, n; cs_bitmap_next_run
 * (set, at, &at, &n); at += n). */
bool cs_bitmap_next_run (const CsBitmap *bitmap, guint64 from, guint64 *first, guint64 *count);

#endif
