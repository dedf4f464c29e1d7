/* Little-endian.  The layout of a segment, version 1.
 *
 *   segment  := header frame* footer
 *   frame    := frame-header hash{pages} data      hash: SHA-256 of a page, 32 bytes
 *   footer   := entry{frames} trailer              data: zstd of the pages' bytes
 *
 *   +--------+---------+--------+----------+---------+--------+--- ... ---+---------+
 *   | header | frame 0 | hashes | zstd     | frame 2 | hashes |           | entries | trailer |
 *   | 64     | 24      | 32 * n | length   | 24      | 32 * n |           | 16 * f  | 40      |
 *   +--------+---------+--------+----------+---------+--------+--- ... ---+---------+
 *
 * Frames lie in any order: entry i of the footer tells where frame i is.  A frame has 1 to 32
 * pages; every frame but the last of a segment has 32, as the segment was written.
 * A slot whose hash is all zero was blanked by garbage collection: its content is gone (and
 * zeros in the data).  An entry of length 0 is a frame whose slots are all blank.
 *
 * Checksums are XXH3 (64 bits).  That of a frame covers hashes and data, seeded with the XXH3
 * of the frame header's bytes before it; the trailer's covers the entries, seeded with
 * the XXH3 of the trailer's bytes before it; the header's, the header's bytes before it.
 *
 * The nonce is random and new in every rewriting of a segment: what is derived from a
 * segment (the index) remembers it to notice that the segment is another one.
 */
#ifndef CS_IMAGES_SEGMENT_FORMAT_H
#define CS_IMAGES_SEGMENT_FORMAT_H

#include <glib.h>

#define CS_SEGMENT_MAGIC "CLUSNAPS"
#define CS_SEGMENT_END_MAGIC "CLUSNAPE"
#define CS_SEGMENT_VERSION 1u
#define CS_FRAME_MAGIC 0x4d524643u /* "CFRM" */

typedef struct
{
  char magic[8];
  guint32 version;
  guint32 number;
  guint8 store[16]; /* the store's UUID */
  guint64 nonce;
  guint8 reserved[16]; /* zero */
  guint64 checksum;
} __attribute__ ((packed)) CsSegmentHeader;

typedef struct
{
  guint32 magic;
  guint32 ordinal;
  guint32 pages;
  guint32 length; /* of the data */
  guint64 checksum;
} __attribute__ ((packed)) CsFrameHeader;

typedef struct
{
  guint64 offset; /* of the frame header, from the segment's first byte */
  guint32 length; /* of the whole frame; 0: all blank */
  guint32 pages;  /* not blank */
} __attribute__ ((packed)) CsSegmentEntry;

typedef struct
{
  guint32 frames;
  guint32 pages; /* not blank, of all frames */
  guint32 number;
  guint32 reserved; /* zero */
  guint64 nonce;
  guint64 checksum;
  char magic[8];
} __attribute__ ((packed)) CsSegmentTrailer;

G_STATIC_ASSERT (sizeof (CsSegmentHeader) == 64);
G_STATIC_ASSERT (sizeof (CsFrameHeader) == 24);
G_STATIC_ASSERT (sizeof (CsSegmentEntry) == 16);
G_STATIC_ASSERT (sizeof (CsSegmentTrailer) == 40);

#endif
