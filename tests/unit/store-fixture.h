/* What the tests of the store share: a store in a directory of its own, pages with known
 * content, and short ways to write and read images. */
#ifndef CS_TESTS_STORE_FIXTURE_H
#define CS_TESTS_STORE_FIXTURE_H

#include "images/image.h"
#include "images/store-private.h"

/* A new directory below $TMPDIR (g_free). */
char *fixture_directory (void);
/* Removes @directory and all in it, and frees the string. */
void fixture_remove (char *directory);

/* Makes an empty store in @directory; returns its path (g_free). */
char *fixture_init (const char *directory);

/* Open, with the assertion that it works. */
CsStore *fixture_open (const char *path);

/* A page that is a function of @seed; seed 0 is the zero page.  Half of it compresses. */
void fixture_page (guint32 seed, guint8 page[CS_PAGE_SIZE]);
/* Asserts that @page is that page. */
void fixture_check_page (guint32 seed, const guint8 *page);

/* Writes an image with one RAM volume "ram" of @n pages: page i is fixture_page (seeds[i]);
 * FIXTURE_KEEP leaves it to the parent.  Returns the id (g_free), not committed yet. */
#define FIXTURE_KEEP G_MAXUINT32
char *fixture_write (CsStore *store, const char *parent, const guint32 *seeds, guint n,
                     CsImageStats *stats);
/* Such an image, committed and open. */
CsImage *fixture_image (CsStore *store, const guint32 *seeds, guint n);
/* Asserts that image @id reads back as that, by read and by foreach. */
void fixture_check (CsStore *store, const char *id, const guint32 *seeds, guint n);

/* Puts a manifest naming @image (NULL: none). */
void fixture_name (CsStore *store, const char *snapshot, const char *image);

guint64 fixture_count_segments (CsStore *store);

#endif
