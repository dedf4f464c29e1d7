/* What the files of images share. */
#ifndef CS_IMAGES_IMAGE_PRIVATE_H
#define CS_IMAGES_IMAGE_PRIVATE_H

#include "images/image-file.h"
#include "images/page-map.h"
#include "images/store-private.h"

typedef struct
{
  CsVolumeKind kind;
  char *name;
  guint64 length;
  CsPageMap *map;
} CsImageVolume;

/* Immutable once open. */
struct CsImage
{
  CsStore *store;
  char *id;
  char *parent;
  guint32 depth;
  bool pinned;
  GPtrArray *ancestors; /* ids, the parent first */
  GPtrArray *volumes;   /* CsImageVolume */
};

/* Reads one image file.  NOT_FOUND: no such image, or a retired one unless @as_ancestor. */
CsImageFile *cs_image_file_load (CsStore *store, const char *id, bool as_ancestor, GError **error);

/* The file of image @id and of its ancestors, in this order. */
GPtrArray *cs_image_chain_load (CsStore *store, const char *id, GError **error);

/* cs_image_open without pinning. */
CsImage *cs_image_load (CsStore *store, const char *id, GError **error);

const CsImageVolume *cs_image_volume (const CsImage *image, guint volume);

/* A page and where it is, for reading in storage order. */
typedef struct
{
  CsLocation location;
  guint64 page;
} CsPlacedPage;

/* Every page of @volume that is not zero, appended to @pages (GArray of CsPlacedPage). */
void cs_image_volume_list (const CsImageVolume *volume, GArray *pages);
/* By location, ascending. */
void cs_placed_pages_sort (GArray *pages);

/* The frame of @location into @frame, not through the cache: it is needed once. */
bool cs_image_read_frame (CsStore *store, CsLocation location, CsFrameCodec *codec, CsFrame *frame,
                          GError **error);

/* Prefixes "volume 'V' of image 'I': " to @error. */
void cs_image_prefix_error (const CsImage *image, guint volume, GError **error);

/* The data of @location in its verified @frame; CORRUPT when that was taken away. */
const guint8 *cs_frame_page (const CsFrame *frame, CsLocation location, GError **error);

#endif
