/* Little-endian.  The layout of an image file, version 1.
 *
 *   image   := header zstd(body)
 *   body    := volume{volumes}
 *   volume  := volume-header name run{runs}
 *
 *   +--------+--------------------------------------------------+
 *   | header | zstd: | volume-header | name | run | run | ...   | volume-header | name | run ...
 *   | 80     |       | 32            | n    | 20  | 20  |       |
 *   +--------+--------------------------------------------------+
 *
 * A run is `count` pages beginning with `page`: zero pages if `segment` is 0; else page i of
 * the run is at position `position` + i of the segment (position = frame * 32 + slot).  Runs are
 * ascending and do not overlap.  Pages in no run come from the parent's volume of the same
 * kind and name if the volume has INHERIT (zero where that has none or is shorter); else they
 * are zero.
 *
 * `depth` is the number of ancestors, 0 to 15; with depth 0 `parent` is zero.  RETIRED says that
 * garbage collection has taken pages away that only this image needed: what is left serves its
 * descendants.
 *
 * The checksum is the XXH3 (64 bits) of the compressed body, seeded with the XXH3 of the header's
 * bytes before it.
 */
#ifndef CS_IMAGES_IMAGE_FORMAT_H
#define CS_IMAGES_IMAGE_FORMAT_H

#include <glib.h>

#define CS_IMAGE_MAGIC "CLUSNAPI"
#define CS_IMAGE_VERSION 1u
#define CS_IMAGE_RETIRED 1u
#define CS_IMAGE_VOLUME_INHERIT 1u
#define CS_IMAGE_MAX_DEPTH 15u
#define CS_IMAGE_MAX_VOLUMES 4096u
/* Of the body: 10^8 runs. */
#define CS_IMAGE_MAX_RAW_LENGTH ((guint64)2 << 30)

typedef struct
{
  char magic[8];
  guint32 version;
  guint32 flags;
  guint8 id[16];
  guint8 parent[16];
  guint32 depth;
  guint32 volumes;
  guint64 raw_length; /* of the body */
  guint64 length;     /* of the compressed body */
  guint64 checksum;
} __attribute__ ((packed)) CsImageHeader;

typedef struct
{
  guint32 kind; /* CsVolumeKind */
  guint32 flags;
  guint64 length; /* bytes */
  guint64 runs;
  guint32 name_length; /* without a NUL; 1 to 255 */
  guint32 reserved;    /* zero */
} __attribute__ ((packed)) CsImageVolumeHeader;

typedef struct
{
  guint64 page;
  guint32 count;
  guint32 segment;
  guint32 position;
} __attribute__ ((packed)) CsImageRun;

G_STATIC_ASSERT (sizeof (CsImageHeader) == 80);
G_STATIC_ASSERT (sizeof (CsImageVolumeHeader) == 32);
G_STATIC_ASSERT (sizeof (CsImageRun) == 20);

#endif
