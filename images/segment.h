/* A published segment, open for reading (layout: segment-format.h).
 *
 * It is tied to the version that was there when it was opened: garbage collection
 * replacing or removing the object does not disturb it.
 * Threads: immutable after opening; counted references. */
#ifndef CS_IMAGES_SEGMENT_H
#define CS_IMAGES_SEGMENT_H

#include "images/backend.h"
#include "images/frame.h"

typedef struct CsSegment CsSegment;

/* Opens segment @number of the store with UUID @store (16 bytes) and verifies header and
 * footer.  CORRUPT names the object. */
CsSegment *cs_segment_open (CsBackend *backend, const guint8 *store, guint32 number,
                            GError **error);
CsSegment *cs_segment_ref (CsSegment *segment);
void cs_segment_unref (CsSegment *segment);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsSegment, cs_segment_unref)

guint32 cs_segment_number (const CsSegment *segment);
guint64 cs_segment_nonce (const CsSegment *segment);
guint64 cs_segment_size (const CsSegment *segment); /* bytes */
guint32 cs_segment_n_frames (const CsSegment *segment);
guint32 cs_segment_n_pages (const CsSegment *segment); /* not blank */

/* Pages of frame @ordinal that are not blank; 0 also when there is no such frame. */
guint32 cs_segment_frame_pages (const CsSegment *segment, guint32 ordinal);

/* Reads and verifies frame @ordinal.  @codec is used up to the return.  A frame that garbage
 * collection took away is CORRUPT. */
bool cs_segment_read_frame (CsSegment *segment, guint32 ordinal, CsFrameCodec *codec,
                            CsFrame *frame, GError **error);

/* The same as encoded bytes, not verified; in @codec's buffer. */
bool cs_segment_read_raw (CsSegment *segment, guint32 ordinal, CsFrameCodec *codec, gsize *length,
                          GError **error);

/* Only frame->pages and frame->hashes, without verifying the frame's checksum. */
bool cs_segment_read_hashes (CsSegment *segment, guint32 ordinal, CsFrame *frame, GError **error);

/* What the trailer alone says, for a quick look at many segments; not verified. */
bool cs_segment_peek (CsBackend *backend, guint32 number, guint64 *nonce, guint32 *pages,
                      GError **error);

/* "segments/00000007" */
char *cs_segment_object_name (guint32 number);
/* False unless @name is such a name. */
bool cs_segment_parse_object_name (const char *name, guint32 *number);

#endif
