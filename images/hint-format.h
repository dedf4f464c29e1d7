/* Little-endian.  The layout of a hint, version 1: in which order a VM that was restored lazily
 * from an image first touched its pages (Ustiugov et al., "Benchmarking, Analysis, and Optimization
 * of Serverless Function Snapshots", ASPLOS'21).
 *
 *   hint    := header touch{touches}
 *
 *   +--------+-------+-------+-----+
 *   | header | touch | touch | ... |
 *   | 40     | 8     | 8     |     |
 *   +--------+-------+-------+-----+
 *
 * The object hints/ID belongs to image ID, whose id is in it, too.  It is only a cache: absent,
 * damaged or of another version, the image is restored without it.  A touch names a page once; the
 * first touched one comes first.  Bits 48 to 63 are the number of the volume, the others the
 * number of the page.
 *
 * The checksum is the XXH3 (64 bits) of the touches, seeded with the XXH3 of the header's bytes
 * before it.
 */
#ifndef CS_IMAGES_HINT_FORMAT_H
#define CS_IMAGES_HINT_FORMAT_H

#include <glib.h>

#define CS_HINT_MAGIC "CLUSNAPT"
#define CS_HINT_VERSION 1u
#define CS_HINT_VOLUME_SHIFT 48

typedef struct
{
  char magic[8];
  guint32 version;
  guint32 touches;
  guint8 image[16];
  guint64 checksum;
} __attribute__ ((packed)) CsHintHeader;

G_STATIC_ASSERT (sizeof (CsHintHeader) == 40);

#endif
