/* A stand-in for the store: one image with one volume "ram" whose pages follow a rule, which can be
 * made to fail and to wait.  Link it instead of libimages.a. */
#ifndef CS_TESTS_FAKE_IMAGE_H
#define CS_TESTS_FAKE_IMAGE_H

#include "images/image.h"

CsImage *fake_image_new (guint64 pages);
void fake_image_free (CsImage *image);

/* Every fourth page is zero; the others are filled with this. */
guint64 fake_image_word (guint64 page);

/* Reading @page fails with CORRUPT; G_MAXUINT64: none does. */
void fake_image_fail (CsImage *image, guint64 page);
/* How often it has failed. */
guint64 fake_image_failures (CsImage *image);
/* A plan's reading stops before the page that comes as number @n and waits until this is called
 * again. */
void fake_image_hold (CsImage *image, guint64 n);
/* Pages that plans have delivered. */
guint64 fake_image_delivered (CsImage *image);

#endif
