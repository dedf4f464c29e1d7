/* Decompressed frames of published segments, the most recently used ones.
 *
 * Threads: any; no lock is held while a frame is read. */
#ifndef CS_IMAGES_FRAME_CACHE_H
#define CS_IMAGES_FRAME_CACHE_H

#include "images/segment-table.h"

typedef struct CsFrameCache CsFrameCache;

/* Keeps at most @limit bytes. */
CsFrameCache *cs_frame_cache_new (CsSegmentTable *segments, gsize limit);
void cs_frame_cache_free (CsFrameCache *cache);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsFrameCache, cs_frame_cache_free)

/* The verified frame that @location lies in, as a reference (cs_cached_frame_unref). */
const CsFrame *cs_frame_cache_get (CsFrameCache *cache, CsLocation location, GError **error);
void cs_cached_frame_unref (const CsFrame *frame);

/* A codec of the cache's, for reading frames that should not go through it. */
CsFrameCodec *cs_frame_cache_take_codec (CsFrameCache *cache);
void cs_frame_cache_return_codec (CsFrameCache *cache, CsFrameCodec *codec);

#endif
