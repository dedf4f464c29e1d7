/* libFuzzer: the parsers of segments and frames.  The input is taken as it is, and again with
 * the checksums of header, footer and frames made right. */
#include "config.h"

#include "../unit/backend-double.h"

#include "images/segment-format.h"
#include "images/segment.h"

#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize length);

static const char object[] = "segments/00000007";

static void
try_segment (const void *data, gsize length, const guint8 *store)
{
  g_autoptr (CsBackend) backend = backend_memory_new ();
  g_assert (cs_backend_put (backend, object, data, length, false, NULL));
  g_autoptr (CsSegment) segment = cs_segment_open (backend, store, 7, NULL);
  if (segment == NULL)
    return;
  g_autoptr (CsFrameCodec) codec = cs_frame_codec_new ();
  g_autofree CsFrame *frame = g_new (CsFrame, 1);
  guint32 frames = MIN (cs_segment_n_frames (segment), 64);
  for (guint32 i = 0; i < frames; i++)
    {
      cs_segment_read_hashes (segment, i, frame, NULL);
      cs_segment_read_frame (segment, i, codec, frame, NULL);
    }
}

static void
mend_frame (guint8 *file, gsize length, const CsSegmentEntry *entry)
{
  guint64 offset = GUINT64_FROM_LE (entry->offset);
  guint32 n = GUINT32_FROM_LE (entry->length);
  CsFrameHeader header;
  if (n < sizeof header || offset > length || n > length - offset)
    return;
  memcpy (&header, file + offset, sizeof header);
  header.magic = GUINT32_TO_LE (CS_FRAME_MAGIC);
  XXH64_hash_t seed = XXH3_64bits (&header, G_STRUCT_OFFSET (CsFrameHeader, checksum));
  header.checksum =
      GUINT64_TO_LE (XXH3_64bits_withSeed (file + offset + sizeof header, n - sizeof header, seed));
  memcpy (file + offset, &header, sizeof header);
}

static void
mend (guint8 *file, gsize length)
{
  CsSegmentHeader header;
  CsSegmentTrailer trailer;
  gsize entries_end = length - sizeof trailer;
  memcpy (&header, file, sizeof header);
  memcpy (&trailer, file + entries_end, sizeof trailer);
  gsize entries = (gsize)GUINT32_FROM_LE (trailer.frames) * sizeof (CsSegmentEntry);
  if (entries > entries_end - sizeof header)
    return;
  for (gsize at = entries_end - entries; at < entries_end; at += sizeof (CsSegmentEntry))
    {
      CsSegmentEntry entry;
      memcpy (&entry, file + at, sizeof entry);
      mend_frame (file, entries_end - entries, &entry);
    }
  memcpy (header.magic, CS_SEGMENT_MAGIC, sizeof header.magic);
  header.version = GUINT32_TO_LE (CS_SEGMENT_VERSION);
  header.number = trailer.number = GUINT32_TO_LE (7);
  header.nonce = trailer.nonce;
  header.checksum =
      GUINT64_TO_LE (XXH3_64bits (&header, G_STRUCT_OFFSET (CsSegmentHeader, checksum)));
  memcpy (trailer.magic, CS_SEGMENT_END_MAGIC, sizeof trailer.magic);
  XXH64_hash_t seed = XXH3_64bits (&trailer, G_STRUCT_OFFSET (CsSegmentTrailer, checksum));
  trailer.checksum =
      GUINT64_TO_LE (XXH3_64bits_withSeed (file + entries_end - entries, entries, seed));
  memcpy (file, &header, sizeof header);
  memcpy (file + entries_end, &trailer, sizeof trailer);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize length)
{
  guint8 store[16] = { 0 };
  if (length >= sizeof (CsSegmentHeader))
    memcpy (store, data + G_STRUCT_OFFSET (CsSegmentHeader, store), sizeof store);
  try_segment (data, length, store);
  if (length < sizeof (CsSegmentHeader) + sizeof (CsSegmentTrailer))
    return 0;
  g_autofree guint8 *file = g_memdup2 (data, length);
  mend (file, length);
  try_segment (file, length, store);
  return 0;
}
