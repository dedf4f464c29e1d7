/* What the files of garbage collection share. */
#ifndef CS_IMAGES_GC_H
#define CS_IMAGES_GC_H

#include "images/image-private.h"
#include "images/liveness.h"

/* Segments with at least this share of dead pages are rewritten: 1 / CS_GC_DEAD_SHARE. */
#define CS_GC_DEAD_SHARE 4u

/* Removes the hints of images that are not in @kept (ids); adds their length to *@bytes. */
bool cs_gc_remove_hints (CsStore *store, GHashTable *kept, bool dry_run, guint64 *bytes,
                         GError **error);

/* Removes @segment, no page of which is live. */
bool cs_gc_remove_segment (CsStore *store, const CsSegmentInfo *segment, GError **error);

/* Rewrites @segment with its dead pages blanked; *@size is its new length in bytes.  A damaged
 * frame stays as it is. */
bool cs_gc_rewrite_segment (CsStore *store, const CsSegmentInfo *segment, const CsLiveness *live,
                            guint64 *size, GError **error);

#endif
