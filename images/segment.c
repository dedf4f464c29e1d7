#include "config.h"

#include "images/segment.h"

#include "common/error.h"
#include "images/segment-format.h"

#include <string.h>
#include <xxhash.h>

struct CsSegment
{
  gatomicrefcount references;
  /* immutable */
  CsObject *object;
  guint32 number;
  guint64 nonce;
  guint32 n_frames;
  guint32 n_pages;
  CsSegmentEntry *entries; /* host byte order */
};

char *
cs_segment_object_name (guint32 number)
{
  return g_strdup_printf ("segments/%08u", number);
}

bool
cs_segment_parse_object_name (const char *name, guint32 *number)
{
  guint64 value;
  if (!g_str_has_prefix (name, "segments/") || strlen (name) != strlen ("segments/") + 8
      || !g_ascii_string_to_unsigned (name + strlen ("segments/"), 10, 1, CS_SEGMENT_MAX_NUMBER,
                                      &value, NULL))
    return false;
  *number = (guint32)value;
  return true;
}

static bool
corrupt (const CsObject *object, const char *what, GError **error)
{
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "segment '%s' %s", object->name, what);
  return false;
}

static bool
read_header (CsSegment *segment, const guint8 *store, guint64 *nonce, GError **error)
{
  CsSegmentHeader header;
  if (!cs_object_read (segment->object, 0, sizeof header, &header, error))
    return false;
  if (memcmp (header.magic, CS_SEGMENT_MAGIC, sizeof header.magic) != 0)
    return corrupt (segment->object, "is not a segment", error);
  if (XXH3_64bits (&header, G_STRUCT_OFFSET (CsSegmentHeader, checksum))
      != GUINT64_FROM_LE (header.checksum))
    return corrupt (segment->object, "has a damaged header", error);
  if (GUINT32_FROM_LE (header.version) != CS_SEGMENT_VERSION)
    return corrupt (segment->object, "is of a newer version than this clusnap knows", error);
  if (GUINT32_FROM_LE (header.number) != segment->number
      || memcmp (header.store, store, sizeof header.store) != 0)
    return corrupt (segment->object, "belongs to another store or another place", error);
  *nonce = GUINT64_FROM_LE (header.nonce);
  return true;
}

static bool
read_trailer (CsObject *object, CsSegmentTrailer *trailer, GError **error)
{
  if (object->size < sizeof (CsSegmentHeader) + sizeof *trailer)
    return corrupt (object, "is truncated", error);
  if (!cs_object_read (object, object->size - sizeof *trailer, sizeof *trailer, trailer, error))
    return false;
  if (memcmp (trailer->magic, CS_SEGMENT_END_MAGIC, sizeof trailer->magic) != 0)
    return corrupt (object, "has a damaged footer", error);
  return true;
}

/* Entries to host byte order, each within the bytes between header and footer. */
static bool
adopt_entries (CsSegment *segment, guint64 frames_end, GError **error)
{
  guint64 pages = 0;
  for (guint32 i = 0; i < segment->n_frames; i++)
    {
      CsSegmentEntry *entry = &segment->entries[i];
      entry->offset = GUINT64_FROM_LE (entry->offset);
      entry->length = GUINT32_FROM_LE (entry->length);
      entry->pages = GUINT32_FROM_LE (entry->pages);
      pages += entry->pages;
      if (entry->pages > CS_FRAME_PAGES || entry->length > cs_frame_max_length ()
          || (entry->length == 0) != (entry->pages == 0)
          || (entry->length != 0
              && (entry->offset < sizeof (CsSegmentHeader) || entry->offset > frames_end
                  || entry->length > frames_end - entry->offset)))
        return corrupt (segment->object, "has a damaged footer", error);
    }
  return pages == segment->n_pages || corrupt (segment->object, "has a damaged footer", error);
}

static bool
read_footer (CsSegment *segment, GError **error)
{
  CsSegmentTrailer trailer;
  if (!read_trailer (segment->object, &trailer, error))
    return false;
  segment->n_frames = GUINT32_FROM_LE (trailer.frames);
  segment->n_pages = GUINT32_FROM_LE (trailer.pages);
  segment->nonce = GUINT64_FROM_LE (trailer.nonce);
  gsize length = (gsize)segment->n_frames * sizeof (CsSegmentEntry);
  guint64 room = segment->object->size - sizeof (CsSegmentHeader) - sizeof trailer;
  if (GUINT32_FROM_LE (trailer.number) != segment->number
      || segment->n_frames > CS_SEGMENT_MAX_FRAMES || length > room)
    return corrupt (segment->object, "has a damaged footer", error);
  guint64 frames_end = segment->object->size - sizeof trailer - length;
  segment->entries = g_malloc (length);
  if (!cs_object_read (segment->object, frames_end, length, segment->entries, error))
    return false;
  XXH64_hash_t seed = XXH3_64bits (&trailer, G_STRUCT_OFFSET (CsSegmentTrailer, checksum));
  if (XXH3_64bits_withSeed (segment->entries, length, seed) != GUINT64_FROM_LE (trailer.checksum))
    return corrupt (segment->object, "has a damaged footer", error);
  return adopt_entries (segment, frames_end, error);
}

CsSegment *
cs_segment_open (CsBackend *backend, const guint8 *store, guint32 number, GError **error)
{
  g_autofree char *name = cs_segment_object_name (number);
  g_autoptr (CsSegment) segment = g_new0 (CsSegment, 1);
  g_atomic_ref_count_init (&segment->references);
  segment->number = number;
  g_autoptr (GError) cause = NULL;
  segment->object = cs_backend_open (backend, name, &cause);
  if (g_error_matches (cause, CS_ERROR, CS_ERROR_NOT_FOUND))
    /* Who opens it has a reference to it: this is damage. */
    g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "segment '%s' is missing", name);
  else if (cause != NULL)
    g_propagate_error (error, g_steal_pointer (&cause));
  guint64 nonce = 0;
  if (segment->object == NULL || !read_header (segment, store, &nonce, error)
      || !read_footer (segment, error))
    return NULL;
  if (nonce != segment->nonce)
    {
      corrupt (segment->object, "has a header and a footer that do not belong together", error);
      return NULL;
    }
  return g_steal_pointer (&segment);
}

CsSegment *
cs_segment_ref (CsSegment *segment)
{
  g_atomic_ref_count_inc (&segment->references);
  return segment;
}

void
cs_segment_unref (CsSegment *segment)
{
  if (segment == NULL || !g_atomic_ref_count_dec (&segment->references))
    return;
  g_clear_pointer (&segment->object, cs_object_close);
  g_free (segment->entries);
  g_free (segment);
}

guint32
cs_segment_number (const CsSegment *segment)
{
  return segment->number;
}

guint64
cs_segment_nonce (const CsSegment *segment)
{
  return segment->nonce;
}

guint64
cs_segment_size (const CsSegment *segment)
{
  return segment->object->size;
}

guint32
cs_segment_n_frames (const CsSegment *segment)
{
  return segment->n_frames;
}

guint32
cs_segment_n_pages (const CsSegment *segment)
{
  return segment->n_pages;
}

guint32
cs_segment_frame_pages (const CsSegment *segment, guint32 ordinal)
{
  return ordinal < segment->n_frames ? segment->entries[ordinal].pages : 0;
}

static const CsSegmentEntry *
find_entry (CsSegment *segment, guint32 ordinal, GError **error)
{
  if (cs_segment_frame_pages (segment, ordinal) > 0)
    return &segment->entries[ordinal];
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "segment '%s' has no frame %u",
               segment->object->name, ordinal);
  return NULL;
}

bool
cs_segment_read_raw (CsSegment *segment, guint32 ordinal, CsFrameCodec *codec, gsize *length,
                     GError **error)
{
  const CsSegmentEntry *entry = find_entry (segment, ordinal, error);
  if (entry == NULL)
    return false;
  *length = entry->length;
  return cs_object_read (segment->object, entry->offset, entry->length,
                         cs_frame_codec_buffer (codec), error);
}

bool
cs_segment_read_frame (CsSegment *segment, guint32 ordinal, CsFrameCodec *codec, CsFrame *frame,
                       GError **error)
{
  gsize length;
  if (!cs_segment_read_raw (segment, ordinal, codec, &length, error))
    return false;
  if (cs_frame_decode (codec, cs_frame_codec_buffer (codec), length, ordinal, frame, error))
    return true;
  g_prefix_error (error, "segment '%s': ", segment->object->name);
  return false;
}

bool
cs_segment_read_hashes (CsSegment *segment, guint32 ordinal, CsFrame *frame, GError **error)
{
  const CsSegmentEntry *entry = find_entry (segment, ordinal, error);
  if (entry == NULL)
    return false;
  guint8 raw[sizeof (CsFrameHeader) + CS_FRAME_PAGES * CS_HASH_LENGTH];
  gsize length = MIN (sizeof raw, entry->length);
  if (!cs_object_read (segment->object, entry->offset, length, raw, error))
    return false;
  if (cs_frame_decode_hashes (raw, length, ordinal, frame, error))
    return true;
  g_prefix_error (error, "segment '%s': ", segment->object->name);
  return false;
}

bool
cs_segment_peek (CsBackend *backend, guint32 number, guint64 *nonce, guint32 *pages, GError **error)
{
  g_autofree char *name = cs_segment_object_name (number);
  g_autoptr (CsObject) object = cs_backend_open (backend, name, error);
  CsSegmentTrailer trailer;
  if (object == NULL || !read_trailer (object, &trailer, error))
    return false;
  *nonce = GUINT64_FROM_LE (trailer.nonce);
  *pages = GUINT32_FROM_LE (trailer.pages);
  return true;
}
