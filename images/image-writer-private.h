/* What the files of the image writer share. */
#ifndef CS_IMAGES_IMAGE_WRITER_PRIVATE_H
#define CS_IMAGES_IMAGE_WRITER_PRIVATE_H

#include "images/digest.h"
#include "images/image-private.h"

/* In a writer's map 0 is "not put"; no segment has number 0. */
#define CS_PUT_ZERO ((CsLocation)1)
#define CS_PUT_BATCH 32u

typedef struct
{
  CsVolumeKind kind;
  char *name;
  guint64 length;
  CsPageMap *map;               /* what was put */
  const CsImageVolume *inherit; /* of the parent, or NULL */
} CsWriterVolume;

struct CsImageWriter
{
  CsStore *store;
  CsImage *parent; /* pinned; NULL: none */
  CsPackerUser *user;
  CsDigest *digest;
  GPtrArray *volumes; /* CsWriterVolume */
  CsImageStats stats;
  bool finished;
  CsPackerPage batch[CS_PUT_BATCH];
  guint64 batch_pages[CS_PUT_BATCH]; /* their numbers */
};

/* The content of image @id: a delta to the parent, or a complete map when the chain would grow
 * too long. */
CsImageFile *cs_image_writer_make_file (const CsImageWriter *writer, const char *id);

#endif
