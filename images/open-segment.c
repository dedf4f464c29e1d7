#include "config.h"

#include "images/open-segment.h"

#include <string.h>

#define INITIAL_PAGES 16384u

CsOpenSegment *
cs_open_segment_new (CsBackend *backend, const guint8 *store, guint32 number)
{
  CsOpenSegment *segment = g_new0 (CsOpenSegment, 1);
  segment->number = number;
  segment->writer = cs_segment_writer_new (backend, store, number);
  segment->capacity = INITIAL_PAGES;
  segment->hashes = g_malloc ((gsize)segment->capacity * CS_HASH_LENGTH);
  segment->n_slots = INITIAL_PAGES * 2;
  segment->slots = g_new0 (guint32, segment->n_slots);
  return segment;
}

void
cs_open_segment_free (CsOpenSegment *segment)
{
  if (segment == NULL)
    return;
  cs_segment_writer_free (segment->writer);
  g_free (segment->hashes);
  g_free (segment->slots);
  g_free (segment);
}

/* The slot that has @hash, or the empty one where it belongs.  A SHA-256 is as good a table hash
 * as any: its first bytes are taken. */
static guint32 *
slot_of (const CsOpenSegment *segment, const guint8 *hash)
{
  guint32 start;
  memcpy (&start, hash, sizeof start);
  for (guint32 i = start & (segment->n_slots - 1);; i = (i + 1) & (segment->n_slots - 1))
    {
      guint32 *slot = &segment->slots[i];
      if (*slot == 0
          || memcmp (segment->hashes + (gsize)(*slot - 1) * CS_HASH_LENGTH, hash, CS_HASH_LENGTH)
                 == 0)
        return slot;
    }
}

bool
cs_open_segment_find (const CsOpenSegment *segment, const guint8 *hash, guint32 *position)
{
  guint32 slot = *slot_of (segment, hash);
  *position = slot - 1;
  return slot != 0;
}

static void
grow (CsOpenSegment *segment)
{
  segment->capacity *= 2;
  segment->hashes = g_realloc (segment->hashes, (gsize)segment->capacity * CS_HASH_LENGTH);
  g_free (segment->slots);
  segment->n_slots *= 2;
  segment->slots = g_new0 (guint32, segment->n_slots);
  for (guint32 i = 0; i < segment->n_pages; i++)
    *slot_of (segment, segment->hashes + (gsize)i * CS_HASH_LENGTH) = i + 1;
}

guint32
cs_open_segment_add (CsOpenSegment *segment, const guint8 *hash)
{
  if (segment->n_pages == segment->capacity)
    grow (segment);
  guint32 position = segment->n_pages++;
  memcpy (segment->hashes + (gsize)position * CS_HASH_LENGTH, hash, CS_HASH_LENGTH);
  *slot_of (segment, hash) = position + 1;
  return position;
}
