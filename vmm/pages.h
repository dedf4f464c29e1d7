/* The pages that one capture takes from a VM's RAM blocks, in rounds.
 *
 * Theory of operation: pages.c. */
#ifndef CS_VMM_PAGES_H
#define CS_VMM_PAGES_H

#include "images/image.h"
#include "vmm/tracker.h"

typedef struct CsPages CsPages;

/* @tracker: with its blocks set, borrowed.  @writer: borrowed; gets one RAM volume per block.
 * @carried: block name -> CsBitmap of the pages that scans consumed since the writer's parent; a
 * block that is in it with its size inherits from the parent, any other is read as a whole.  NULL:
 * all are. */
CsPages *cs_pages_new (CsTracker *tracker, CsImageWriter *writer, GHashTable *carried,
                       GError **error);
void cs_pages_free (CsPages *pages);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsPages, cs_pages_free)

/* VM stopped: takes what was written since the last scan into the set to be copied. */
bool cs_pages_scan (CsPages *pages, GError **error);

/* Pages scanned but not copied yet. */
guint64 cs_pages_pending (const CsPages *pages);
/* Pages written since the last scan, an estimate while the VM runs. */
bool cs_pages_peek (CsPages *pages, guint64 *count, GError **error);

/* Copies what is pending while the VM runs.  More than fits the memory budget goes through the
 * writer at once. */
bool cs_pages_copy (CsPages *pages, GError **error);

/* Makes room, before the pause, for about @count pages. */
void cs_pages_reserve (CsPages *pages, guint64 count);
/* VM stopped: copies what is pending into that room. */
bool cs_pages_copy_reserved (CsPages *pages, GError **error);

/* Hands what was copied to the writer: of each page only its last copy. */
bool cs_pages_store (CsPages *pages, GError **error);

/* Distinct pages taken so far. */
guint64 cs_pages_taken (const CsPages *pages);

/* The snapshot failed: everything taken goes to @carried, to be taken again (rule 3). */
void cs_pages_give_back (CsPages *pages, GHashTable *carried);

#endif
