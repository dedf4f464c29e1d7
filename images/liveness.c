#include "config.h"

#include "images/liveness.h"

typedef struct
{
  GArray *frames; /* guint32: a bit per slot */
  guint32 count;
} Segment;

struct CsLiveness
{
  GHashTable *segments; /* number -> Segment */
  guint32 last_number;  /* pages mostly come in runs */
  Segment *last;
};

G_STATIC_ASSERT (CS_FRAME_PAGES == 32);

static void
segment_free (gpointer data)
{
  Segment *segment = data;
  g_array_unref (segment->frames);
  g_free (segment);
}

CsLiveness *
cs_liveness_new (void)
{
  CsLiveness *liveness = g_new0 (CsLiveness, 1);
  liveness->segments = g_hash_table_new_full (NULL, NULL, NULL, segment_free);
  return liveness;
}

void
cs_liveness_free (CsLiveness *liveness)
{
  if (liveness == NULL)
    return;
  g_hash_table_unref (liveness->segments);
  g_free (liveness);
}

static Segment *
find (const CsLiveness *liveness, guint32 number)
{
  return g_hash_table_lookup (liveness->segments, GUINT_TO_POINTER (number));
}

static Segment *
obtain (CsLiveness *liveness, guint32 number)
{
  if (liveness->last != NULL && liveness->last_number == number)
    return liveness->last;
  Segment *segment = find (liveness, number);
  if (segment == NULL)
    {
      segment = g_new0 (Segment, 1);
      segment->frames = g_array_new (FALSE, TRUE, sizeof (guint32));
      g_hash_table_insert (liveness->segments, GUINT_TO_POINTER (number), segment);
    }
  liveness->last_number = number;
  liveness->last = segment;
  return segment;
}

void
cs_liveness_add (CsLiveness *liveness, CsLocation location)
{
  Segment *segment = obtain (liveness, cs_location_segment (location));
  guint32 frame = cs_location_frame (location);
  if (frame >= segment->frames->len)
    g_array_set_size (segment->frames, frame + 1);
  guint32 *bits = &g_array_index (segment->frames, guint32, frame);
  guint32 bit = 1u << cs_location_slot (location);
  segment->count += (*bits & bit) == 0;
  *bits |= bit;
}

guint32
cs_liveness_count (const CsLiveness *liveness, guint32 segment)
{
  const Segment *found = find (liveness, segment);
  return found != NULL ? found->count : 0;
}

guint32
cs_liveness_frame (const CsLiveness *liveness, guint32 segment, guint32 frame)
{
  const Segment *found = find (liveness, segment);
  if (found == NULL || frame >= found->frames->len)
    return 0;
  return g_array_index (found->frames, guint32, frame);
}
