#include "config.h"

#include "common/bitmap.h"

#include <string.h>

struct CsBitmap
{
  guint64 size; /* numbers */
  gsize n_words;
  guint64 words[]; /* bits at and above size are always 0 */
};

CsBitmap *
cs_bitmap_new (guint64 size)
{
  gsize n_words = (gsize)((size + 63) / 64);
  CsBitmap *bitmap = g_malloc0 (sizeof *bitmap + n_words * sizeof (guint64));
  bitmap->size = size;
  bitmap->n_words = n_words;
  return bitmap;
}

void
cs_bitmap_free (CsBitmap *bitmap)
{
  g_free (bitmap);
}

guint64
cs_bitmap_size (const CsBitmap *bitmap)
{
  return bitmap->size;
}

guint64
cs_bitmap_count (const CsBitmap *bitmap)
{
  guint64 count = 0;
  for (gsize i = 0; i < bitmap->n_words; i++)
    count += (guint64)__builtin_popcountll (bitmap->words[i]);
  return count;
}

bool
cs_bitmap_test (const CsBitmap *bitmap, guint64 number)
{
  g_assert (number < bitmap->size);
  return (bitmap->words[number / 64] >> (number % 64)) & 1;
}

/* The bits of word @word that lie in [first, end). */
static guint64
mask_of (guint64 word, guint64 first, guint64 end)
{
  guint64 mask = ~G_GUINT64_CONSTANT (0);
  if (word == first / 64)
    mask &= ~G_GUINT64_CONSTANT (0) << (first % 64);
  if (word == (end - 1) / 64)
    mask &= ~G_GUINT64_CONSTANT (0) >> (63 - (end - 1) % 64);
  return mask;
}

void
cs_bitmap_set_range (CsBitmap *bitmap, guint64 first, guint64 count)
{
  g_assert (first <= bitmap->size && count <= bitmap->size - first);
  for (guint64 word = first / 64; count > 0 && word <= (first + count - 1) / 64; word++)
    bitmap->words[word] |= mask_of (word, first, first + count);
}

void
cs_bitmap_clear_range (CsBitmap *bitmap, guint64 first, guint64 count)
{
  g_assert (first <= bitmap->size && count <= bitmap->size - first);
  for (guint64 word = first / 64; count > 0 && word <= (first + count - 1) / 64; word++)
    bitmap->words[word] &= ~mask_of (word, first, first + count);
}

void
cs_bitmap_clear (CsBitmap *bitmap)
{
  memset (bitmap->words, 0, bitmap->n_words * sizeof (guint64));
}

void
cs_bitmap_copy (CsBitmap *bitmap, const CsBitmap *other)
{
  g_assert (bitmap->size == other->size);
  memcpy (bitmap->words, other->words, bitmap->n_words * sizeof *bitmap->words);
}

void
cs_bitmap_or (CsBitmap *bitmap, const CsBitmap *other)
{
  g_assert (bitmap->size == other->size);
  for (gsize i = 0; i < bitmap->n_words; i++)
    bitmap->words[i] |= other->words[i];
}

void
cs_bitmap_and_not (CsBitmap *bitmap, const CsBitmap *other)
{
  g_assert (bitmap->size == other->size);
  for (gsize i = 0; i < bitmap->n_words; i++)
    bitmap->words[i] &= ~other->words[i];
}

/* The first number at or after @from whose bit equals @value, or the size. */
static guint64
find (const CsBitmap *bitmap, guint64 from, bool value)
{
  guint64 flip = value ? 0 : ~G_GUINT64_CONSTANT (0);
  guint64 mask = ~G_GUINT64_CONSTANT (0) << (from % 64);
  for (gsize i = from / 64; i < bitmap->n_words; i++)
    {
      guint64 word = (bitmap->words[i] ^ flip) & mask;
      if (word != 0)
        return MIN (bitmap->size, i * 64 + (guint64)__builtin_ctzll (word));
      mask = ~G_GUINT64_CONSTANT (0);
    }
  return bitmap->size;
}

bool
cs_bitmap_next_run (const CsBitmap *bitmap, guint64 from, guint64 *first, guint64 *count)
{
  if (from >= bitmap->size)
    return false;
  guint64 start = find (bitmap, from, true);
  if (start >= bitmap->size)
    return false;
  *first = start;
  *count = find (bitmap, start, false) - start;
  return true;
}
