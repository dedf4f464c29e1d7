/* Page number -> location for one volume: dense where anything is, in chunks, so that a large
 * volume with little in it costs little.
 *
 * Threads: one writer; any number of readers once nobody writes. */
#ifndef CS_IMAGES_PAGE_MAP_H
#define CS_IMAGES_PAGE_MAP_H

#include "images/location.h"

#include <stdbool.h>

typedef struct CsPageMap CsPageMap;

/* All pages 0.  NULL when there is no memory for a volume of @pages pages. */
CsPageMap *cs_page_map_new (guint64 pages);
void cs_page_map_free (CsPageMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsPageMap, cs_page_map_free)

guint64 cs_page_map_size (const CsPageMap *map);
guint64 cs_page_map_count (const CsPageMap *map); /* pages that are not 0 */

CsLocation cs_page_map_get (const CsPageMap *map, guint64 page);
void cs_page_map_set (CsPageMap *map, guint64 page, CsLocation location);
/* Sets pages @first ... @end - 1 to 0. */
void cs_page_map_clear (CsPageMap *map, guint64 first, guint64 end);

/* The first page at or after @from that is not 0; false when there is none. */
bool cs_page_map_next (const CsPageMap *map, guint64 from, guint64 *page);

#endif
