/* Which stored pages something needs: per segment a set of positions.
 *
 * Not thread-safe: one owner. */
#ifndef CS_IMAGES_LIVENESS_H
#define CS_IMAGES_LIVENESS_H

#include "images/location.h"

#include <stdbool.h>

typedef struct CsLiveness CsLiveness;

CsLiveness *cs_liveness_new (void);
void cs_liveness_free (CsLiveness *liveness);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsLiveness, cs_liveness_free)

void cs_liveness_add (CsLiveness *liveness, CsLocation location);

/* Live positions of @segment. */
guint32 cs_liveness_count (const CsLiveness *liveness, guint32 segment);

/* Bit i: slot i of frame @frame of @segment is live. */
guint32 cs_liveness_frame (const CsLiveness *liveness, guint32 segment, guint32 frame);

#endif
