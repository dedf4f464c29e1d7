/* What the store keeps beside an image to bring it back faster: the order in which a VM that was
 * restored from it first touched its pages (layout: hint-format.h).
 *
 * Only a cache.  It belongs to the image: garbage collection removes it with it.
 * Threads: any. */
#ifndef CS_IMAGES_HINT_H
#define CS_IMAGES_HINT_H

#include "images/image.h"

typedef struct
{
  guint volume;
  guint64 page;
} CsTouch;

/* 256 MiB of pages, in half a MiB. */
#define CS_HINT_MAX_TOUCHES 65536u

/* Replaces the hint of @image by the first CS_HINT_MAX_TOUCHES of @touches (GArray of CsTouch, each
 * page once). */
bool cs_hint_put (CsImage *image, const GArray *touches, GError **error);

/* GArray of CsTouch, all within @image.  Errors: NOT_FOUND (there is none); CORRUPT (damaged, or of
 * another version; names the object). */
GArray *cs_hint_get (CsImage *image, GError **error);

#endif
