/* Content of an image's pages, read ahead into memory for the pause. */
#ifndef CS_VMM_HELD_PAGES_H
#define CS_VMM_HELD_PAGES_H

#include "common/bitmap.h"
#include "images/image.h"
#include "vmm/tracker.h"

typedef struct CsHeldPages CsHeldPages;

/* @image: borrowed.  Holds at most @budget bytes. */
CsHeldPages *cs_held_pages_new (CsImage *image, guint64 budget);
void cs_held_pages_free (CsHeldPages *held);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsHeldPages, cs_held_pages_free)

/* Reads the pages of @wanted, none of them zero, of @volume into one piece, as many as the budget
 * allows: takes those it could not read out of @wanted. */
bool cs_held_pages_read (CsHeldPages *held, guint volume, CsBitmap *wanted, GError **error);
/* How many more pages the budget allows. */
guint64 cs_held_pages_room (const CsHeldPages *held);

/* The pieces of @volume, in the order in which they were read: true and its runs, whose pages lie
 * in
 * *@data one after the other; *@next is to be 0 at first. */
bool cs_held_pages_next (const CsHeldPages *held, guint volume, guint *next, const GArray **runs,
                         const guint8 **data);

/* The content of one page, or NULL. */
const void *cs_held_pages_find (const CsHeldPages *held, guint volume, guint64 page);

/* Where page @page lies among the pages of @runs (GArray of CsPageRun, rising); -1: nowhere. */
gint64 cs_page_runs_index (const GArray *runs, const GArray *offsets, guint64 page);

#endif
