/* A segment being written: frames in any order, then the footer (segment-format.h).
 *
 * Nothing is touched before the first append, and nothing is visible before seal.
 * Threads: append may be called from many threads; the rest by one owner. */
#ifndef CS_IMAGES_SEGMENT_WRITER_H
#define CS_IMAGES_SEGMENT_WRITER_H

#include "images/backend.h"
#include "images/location.h"

typedef struct CsSegmentWriter CsSegmentWriter;

CsSegmentWriter *cs_segment_writer_new (CsBackend *backend, const guint8 *store, guint32 number);

/* Abandons what was written. */
void cs_segment_writer_free (CsSegmentWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsSegmentWriter, cs_segment_writer_free)

/* Appends encoded frame @ordinal, @pages of whose pages are not blank. */
bool cs_segment_writer_append (CsSegmentWriter *writer, guint32 ordinal, const void *frame,
                               gsize length, guint32 pages, GError **error);

typedef struct
{
  guint64 nonce;
  guint64 size;  /* bytes */
  guint32 pages; /* not blank */
} CsSealedSegment;

/* Writes the footer over @frames frames (those not appended are blank) and publishes.  The
 * writer can only be freed after this. */
bool cs_segment_writer_seal (CsSegmentWriter *writer, guint32 frames, bool replace,
                             CsSealedSegment *sealed, GError **error);

#endif
