/* A frame: up to 32 pages with their hashes, compressed and checksummed together
 * (layout: segment-format.h). */
#ifndef CS_IMAGES_FRAME_H
#define CS_IMAGES_FRAME_H

#include "images/location.h"

#include <stdbool.h>

#define CS_FRAME_RAW_LENGTH (CS_FRAME_PAGES * CS_PAGE_LENGTH)

typedef struct
{
  guint32 pages;
  guint8 hashes[CS_FRAME_PAGES][CS_HASH_LENGTH];
  guint8 data[CS_FRAME_RAW_LENGTH];
} CsFrame;

/* Contexts and a buffer for encoding and decoding; one owner at a time. */
typedef struct CsFrameCodec CsFrameCodec;

CsFrameCodec *cs_frame_codec_new (void);
void cs_frame_codec_free (CsFrameCodec *codec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsFrameCodec, cs_frame_codec_free)

/* No encoded frame is longer. */
gsize cs_frame_max_length (void);

/* Encodes @frame as number @ordinal; the result belongs to @codec and lasts until its
 * next use. */
const void *cs_frame_encode (CsFrameCodec *codec, const CsFrame *frame, guint32 ordinal,
                             gsize *length);

/* Decodes and verifies; anything that does not fit is CORRUPT. */
bool cs_frame_decode (CsFrameCodec *codec, const void *raw, gsize length, guint32 ordinal,
                      CsFrame *frame, GError **error);

/* Takes only the hashes of the frame beginning at @raw, without its data and thus
 * without verifying the checksum; sets frame->pages and frame->hashes. */
bool cs_frame_decode_hashes (const void *raw, gsize length, guint32 ordinal, CsFrame *frame,
                             GError **error);

/* Bytes from a frame's beginning that cs_frame_decode_hashes needs at most. */
gsize cs_frame_hashes_length (void);

/* The codec's buffer for reading an encoded frame into (cs_frame_max_length). */
void *cs_frame_codec_buffer (CsFrameCodec *codec);

#endif
