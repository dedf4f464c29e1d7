#include "config.h"

#include "images/frame.h"

#include "common/error.h"
#include "images/segment-format.h"

#include <string.h>
#include <xxhash.h>
#include <zstd.h>

/* The fastest ordinary level: storing competes with the guests for the CPU. */
#define LEVEL 1

struct CsFrameCodec
{
  ZSTD_CCtx *compressor;
  ZSTD_DCtx *decompressor;
  guint8 *buffer;
};

gsize
cs_frame_hashes_length (void)
{
  return sizeof (CsFrameHeader) + CS_FRAME_PAGES * CS_HASH_LENGTH;
}

gsize
cs_frame_max_length (void)
{
  return cs_frame_hashes_length () + ZSTD_COMPRESSBOUND (CS_FRAME_RAW_LENGTH);
}

CsFrameCodec *
cs_frame_codec_new (void)
{
  CsFrameCodec *codec = g_new0 (CsFrameCodec, 1);
  codec->compressor = ZSTD_createCCtx ();
  codec->decompressor = ZSTD_createDCtx ();
  g_assert (codec->compressor != NULL && codec->decompressor != NULL);
  codec->buffer = g_malloc (cs_frame_max_length ());
  return codec;
}

void
cs_frame_codec_free (CsFrameCodec *codec)
{
  if (codec == NULL)
    return;
  ZSTD_freeCCtx (codec->compressor);
  ZSTD_freeDCtx (codec->decompressor);
  g_free (codec->buffer);
  g_free (codec);
}

void *
cs_frame_codec_buffer (CsFrameCodec *codec)
{
  return codec->buffer;
}

static guint64
checksum_of (const CsFrameHeader *header, const void *body, gsize length)
{
  XXH64_hash_t seed = XXH3_64bits (header, G_STRUCT_OFFSET (CsFrameHeader, checksum));
  return XXH3_64bits_withSeed (body, length, seed);
}

const void *
cs_frame_encode (CsFrameCodec *codec, const CsFrame *frame, guint32 ordinal, gsize *length)
{
  g_assert (frame->pages >= 1 && frame->pages <= CS_FRAME_PAGES);
  gsize hashes_length = frame->pages * CS_HASH_LENGTH;
  guint8 *body = codec->buffer + sizeof (CsFrameHeader);
  memcpy (body, frame->hashes, hashes_length);
  size_t compressed = ZSTD_compressCCtx (codec->compressor, body + hashes_length,
                                         ZSTD_COMPRESSBOUND (CS_FRAME_RAW_LENGTH), frame->data,
                                         (gsize)frame->pages * CS_PAGE_LENGTH, LEVEL);
  g_assert (!ZSTD_isError (compressed)); /* the buffer is large enough for anything */
  CsFrameHeader header = {
    .magic = GUINT32_TO_LE (CS_FRAME_MAGIC),
    .ordinal = GUINT32_TO_LE (ordinal),
    .pages = GUINT32_TO_LE (frame->pages),
    .length = GUINT32_TO_LE ((guint32)compressed),
  };
  header.checksum = GUINT64_TO_LE (checksum_of (&header, body, hashes_length + compressed));
  memcpy (codec->buffer, &header, sizeof header);
  *length = sizeof header + hashes_length + compressed;
  return codec->buffer;
}

static bool
corrupt (guint32 ordinal, const char *what, GError **error)
{
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "frame %u %s", ordinal, what);
  return false;
}

bool
cs_frame_decode_hashes (const void *raw, gsize length, guint32 ordinal, CsFrame *frame,
                        GError **error)
{
  CsFrameHeader header;
  if (length < sizeof header)
    return corrupt (ordinal, "is truncated", error);
  memcpy (&header, raw, sizeof header);
  guint32 pages = GUINT32_FROM_LE (header.pages);
  if (GUINT32_FROM_LE (header.magic) != CS_FRAME_MAGIC
      || GUINT32_FROM_LE (header.ordinal) != ordinal || pages < 1 || pages > CS_FRAME_PAGES)
    return corrupt (ordinal, "has a damaged header", error);
  if (length - sizeof header < pages * CS_HASH_LENGTH)
    return corrupt (ordinal, "is truncated", error);
  frame->pages = pages;
  memcpy (frame->hashes, (const guint8 *)raw + sizeof header, pages * CS_HASH_LENGTH);
  return true;
}

bool
cs_frame_decode (CsFrameCodec *codec, const void *raw, gsize length, guint32 ordinal,
                 CsFrame *frame, GError **error)
{
  if (!cs_frame_decode_hashes (raw, length, ordinal, frame, error))
    return false;
  CsFrameHeader header;
  memcpy (&header, raw, sizeof header);
  const guint8 *body = (const guint8 *)raw + sizeof header;
  gsize hashes_length = frame->pages * CS_HASH_LENGTH;
  gsize body_length = length - sizeof header;
  if (body_length - hashes_length != GUINT32_FROM_LE (header.length))
    return corrupt (ordinal, "has a damaged header", error);
  if (checksum_of (&header, body, body_length) != GUINT64_FROM_LE (header.checksum))
    return corrupt (ordinal, "fails its checksum", error);
  gsize raw_length = (gsize)frame->pages * CS_PAGE_LENGTH;
  size_t n = ZSTD_decompressDCtx (codec->decompressor, frame->data, raw_length,
                                  body + hashes_length, body_length - hashes_length);
  if (ZSTD_isError (n) || n != raw_length)
    return corrupt (ordinal, "cannot be decompressed", error);
  return true;
}
