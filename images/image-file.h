/* The content of one image file, parsed or to be written (layout: image-format.h). */
#ifndef CS_IMAGES_IMAGE_FILE_H
#define CS_IMAGES_IMAGE_FILE_H

#include "images/image-format.h"
#include "images/image.h"
#include "images/location.h"

#define CS_VOLUME_NAME_MAX 255u
/* 64 TiB: no sum of lengths overflows. */
#define CS_VOLUME_LENGTH_MAX ((guint64)1 << 46)

typedef struct
{
  guint64 page;
  guint32 count;
  CsLocation location; /* of the first page, the next ones follow; or CS_LOCATION_ZERO */
} CsMapRun;

typedef struct
{
  CsVolumeKind kind;
  char *name;
  guint64 length; /* bytes */
  bool inherit;
  GArray *runs; /* CsMapRun, ascending */
} CsImageFileVolume;

typedef struct
{
  char *id;
  char *parent; /* NULL: none */
  guint32 depth;
  bool retired;
  GPtrArray *volumes; /* CsImageFileVolume */
} CsImageFile;

/* @id and @parent (NULL: none) are copied. */
CsImageFile *cs_image_file_new (const char *id, const char *parent, guint32 depth);
void cs_image_file_free (CsImageFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsImageFile, cs_image_file_free)

/* Appends an empty volume; the result belongs to @file. */
CsImageFileVolume *cs_image_file_add_volume (CsImageFile *file, CsVolumeKind kind, const char *name,
                                             guint64 length, bool inherit);
/* NULL when there is none. */
const CsImageFileVolume *cs_image_file_find_volume (const CsImageFile *file, CsVolumeKind kind,
                                                    const char *name);
/* Appends page @page (behind all others), to the last run where it continues that. */
void cs_image_file_volume_append (CsImageFileVolume *volume, guint64 page, CsLocation location);

/* The bytes of the file.  UNSUPPORTED: too fragmented (10^8 runs). */
GBytes *cs_image_file_encode (const CsImageFile *file, GError **error);

/* The checksum that belongs into @header. */
guint64 cs_image_checksum (const CsImageHeader *header, const void *body, gsize length);

/* Parses and verifies; @name is what errors call the object.  CORRUPT. */
CsImageFile *cs_image_file_decode (const void *data, gsize length, const char *name,
                                   GError **error);

/* Ids are UUIDs in lower case; anything else is no name of ours. */
bool cs_image_id_is_valid (const char *id);
/* "images/ID" */
char *cs_image_object_name (const char *id);

#endif
