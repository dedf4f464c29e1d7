/* Garbage collection of one segment.  The theory of operation is in gc.c. */
#include "config.h"

#include "images/gc.h"

#include "images/digest.h"
#include "images/segment-writer.h"

/* The dead pages of a segment, for the index. */
typedef struct
{
  GByteArray *hashes;
  GArray *locations; /* CsLocation */
  bool complete;     /* false: a frame's hashes could not be read */
} DeadPages;

static void
collect_frame (DeadPages *dead, guint32 segment, guint32 ordinal, guint32 live,
               const CsFrame *frame)
{
  for (guint32 slot = 0; slot < frame->pages; slot++)
    {
      CsLocation location = cs_location (segment, ordinal * CS_FRAME_PAGES + slot);
      if ((live >> slot & 1) != 0 || cs_hash_is_zero (frame->hashes[slot]))
        continue;
      g_byte_array_append (dead->hashes, frame->hashes[slot], CS_HASH_LENGTH);
      g_array_append_val (dead->locations, location);
    }
}

static void
collect_dead (CsSegment *segment, const CsLiveness *live, DeadPages *dead)
{
  g_autofree CsFrame *frame = g_new (CsFrame, 1);
  guint32 number = cs_segment_number (segment);
  for (guint32 i = 0; i < cs_segment_n_frames (segment); i++)
    {
      if (cs_segment_frame_pages (segment, i) == 0)
        continue;
      if (cs_segment_read_hashes (segment, i, frame, NULL))
        collect_frame (dead, number, i, live != NULL ? cs_liveness_frame (live, number, i) : 0,
                       frame);
      else
        dead->complete = false;
    }
}

/* From here on nobody finds a dead page of @segment.  Never fails: an index that cannot be
 * changed is given up as a whole.  False: some may be left, as their hashes were unreadable. */
static bool
forget_dead (CsStore *store, CsSegment *segment, const CsLiveness *live)
{
  DeadPages dead = { .hashes = g_byte_array_new (),
                     .locations = g_array_new (FALSE, FALSE, sizeof (CsLocation)),
                     .complete = true };
  collect_dead (segment, live, &dead);
  if (!cs_index_remove (store->index, cs_segment_number (segment), dead.hashes->data,
                        (const CsLocation *)(gpointer)dead.locations->data, dead.locations->len,
                        NULL))
    cs_index_give_up (store->index);
  g_byte_array_unref (dead.hashes);
  g_array_unref (dead.locations);
  return dead.complete;
}

/* Entries that could not be removed lead to a segment that is gone: they are never used, since
 * the table does not know it, and its row makes the next opening start afresh. */
bool
cs_gc_remove_segment (CsStore *store, const CsSegmentInfo *info, GError **error)
{
  g_autofree char *name = cs_segment_object_name (info->number);
  g_autoptr (CsSegment) segment = cs_segment_table_open (store->segments, info->number, NULL);
  if (segment != NULL && !forget_dead (store, segment, NULL)
      && !cs_index_set_segment (store->index, info->number, info->nonce, NULL))
    cs_index_give_up (store->index);
  if (!cs_backend_remove (store->backend, name, error))
    return false;
  cs_segment_table_remove (store->segments, info->number);
  return true;
}

static guint32
blank_dead (CsFrame *frame, guint32 live)
{
  guint32 kept = 0;
  for (guint32 slot = 0; slot < frame->pages; slot++)
    {
      if ((live >> slot & 1) != 0)
        {
          kept += !cs_hash_is_zero (frame->hashes[slot]);
          continue;
        }
      memset (frame->hashes[slot], 0, CS_HASH_LENGTH);
      memset (frame->data + (gsize)slot * CS_PAGE_LENGTH, 0, CS_PAGE_LENGTH);
    }
  return kept;
}

/* A frame that cannot be decoded is copied with all its pages: what is damaged is not ours
 * to drop, verification shall go on naming it, and index entries left lead to what they did. */
static bool
copy_frame (CsSegment *segment, CsSegmentWriter *writer, guint32 ordinal, guint32 live,
            CsFrameCodec *codec, CsFrame *frame, GError **error)
{
  guint32 pages = cs_segment_frame_pages (segment, ordinal);
  gsize length;
  if (pages == 0 || live == 0)
    return true;
  if ((guint32)__builtin_popcount (live) < pages
      && cs_segment_read_frame (segment, ordinal, codec, frame, NULL))
    {
      guint32 kept = blank_dead (frame, live);
      if (kept == 0)
        return true;
      const void *encoded = cs_frame_encode (codec, frame, ordinal, &length);
      return cs_segment_writer_append (writer, ordinal, encoded, length, kept, error);
    }
  return cs_segment_read_raw (segment, ordinal, codec, &length, error)
         && cs_segment_writer_append (writer, ordinal, cs_frame_codec_buffer (codec), length, pages,
                                      error);
}

bool
cs_gc_rewrite_segment (CsStore *store, const CsSegmentInfo *info, const CsLiveness *live,
                       guint64 *size, GError **error)
{
  guint32 number = info->number;
  g_autoptr (CsSegment) segment = cs_segment_table_open (store->segments, number, error);
  if (segment == NULL)
    return false;
  g_autoptr (CsFrameCodec) codec = cs_frame_codec_new ();
  g_autofree CsFrame *frame = g_new (CsFrame, 1);
  g_autoptr (CsSegmentWriter) writer =
      cs_segment_writer_new (store->backend, store->uuid_bytes, number);
  CsSealedSegment sealed;
  forget_dead (store, segment, live);
  for (guint32 i = 0; i < cs_segment_n_frames (segment); i++)
    if (!copy_frame (segment, writer, i, cs_liveness_frame (live, number, i), codec, frame, error))
      return false;
  if (!cs_segment_writer_seal (writer, cs_segment_n_frames (segment), true, &sealed, error))
    return false;
  CsSegmentInfo rewritten = { .number = number,
                              .nonce = sealed.nonce,
                              .size = sealed.size,
                              .pages = sealed.pages,
                              .condemned = true };
  cs_segment_table_set (store->segments, &rewritten);
  /* Failing, the next opening adds this segment again. */
  cs_index_set_segment (store->index, number, sealed.nonce, NULL);
  *size = sealed.size;
  return true;
}
