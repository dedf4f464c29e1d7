#include "config.h"

#include "images/frame-cache.h"

typedef struct
{
  gatomicrefcount references;
  guint64 key;
  GList link;    /* in recent; data is this entry */
  CsFrame frame; /* immutable once in the cache */
} Entry;

struct CsFrameCache
{
  /* immutable */
  CsSegmentTable *segments;
  guint limit; /* frames */

  /* under lock */
  GMutex lock;
  GHashTable *entries; /* key -> Entry */
  GQueue recent;       /* most recently used first */
  GPtrArray *codecs;
};

CsFrameCache *
cs_frame_cache_new (CsSegmentTable *segments, gsize limit)
{
  CsFrameCache *cache = g_new0 (CsFrameCache, 1);
  cache->segments = segments;
  cache->limit = (guint)MAX (limit / sizeof (CsFrame), 1);
  g_mutex_init (&cache->lock);
  cache->entries = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_queue_init (&cache->recent);
  cache->codecs = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_frame_codec_free);
  return cache;
}

void
cs_cached_frame_unref (const CsFrame *frame)
{
  if (frame == NULL)
    return;
  Entry *entry = (Entry *)((guint8 *)frame - G_STRUCT_OFFSET (Entry, frame));
  if (g_atomic_ref_count_dec (&entry->references))
    g_free (entry);
}

/* Lock held. */
static void
evict (CsFrameCache *cache)
{
  Entry *entry = g_queue_peek_tail (&cache->recent);
  g_queue_unlink (&cache->recent, &entry->link);
  g_hash_table_remove (cache->entries, &entry->key);
  cs_cached_frame_unref (&entry->frame);
}

void
cs_frame_cache_free (CsFrameCache *cache)
{
  if (cache == NULL)
    return;
  while (!g_queue_is_empty (&cache->recent))
    evict (cache);
  g_hash_table_unref (cache->entries);
  g_ptr_array_unref (cache->codecs);
  g_mutex_clear (&cache->lock);
  g_free (cache);
}

CsFrameCodec *
cs_frame_cache_take_codec (CsFrameCache *cache)
{
  CsFrameCodec *codec = NULL;
  g_mutex_lock (&cache->lock);
  if (cache->codecs->len > 0)
    codec = g_ptr_array_steal_index_fast (cache->codecs, cache->codecs->len - 1);
  g_mutex_unlock (&cache->lock);
  return codec != NULL ? codec : cs_frame_codec_new ();
}

void
cs_frame_cache_return_codec (CsFrameCache *cache, CsFrameCodec *codec)
{
  g_mutex_lock (&cache->lock);
  g_ptr_array_add (cache->codecs, codec);
  g_mutex_unlock (&cache->lock);
}

/* Lock held.  Returns a reference, or NULL. */
static Entry *
find (CsFrameCache *cache, guint64 key)
{
  Entry *entry = g_hash_table_lookup (cache->entries, &key);
  if (entry == NULL)
    return NULL;
  g_queue_unlink (&cache->recent, &entry->link);
  g_queue_push_head_link (&cache->recent, &entry->link);
  g_atomic_ref_count_inc (&entry->references);
  return entry;
}

static Entry *
load (CsFrameCache *cache, CsLocation location, GError **error)
{
  g_autoptr (CsSegment) segment =
      cs_segment_table_open (cache->segments, cs_location_segment (location), error);
  if (segment == NULL)
    return NULL;
  Entry *entry = g_new (Entry, 1);
  CsFrameCodec *codec = cs_frame_cache_take_codec (cache);
  bool ok =
      cs_segment_read_frame (segment, cs_location_frame (location), codec, &entry->frame, error);
  cs_frame_cache_return_codec (cache, codec);
  if (!ok)
    {
      cs_segment_table_note_damage (cache->segments, cs_segment_number (segment));
      g_free (entry);
      return NULL;
    }
  g_atomic_ref_count_init (&entry->references);
  return entry;
}

const CsFrame *
cs_frame_cache_get (CsFrameCache *cache, CsLocation location, GError **error)
{
  guint64 key = (guint64)cs_location_segment (location) << 32 | cs_location_frame (location);
  g_mutex_lock (&cache->lock);
  Entry *entry = find (cache, key);
  g_mutex_unlock (&cache->lock);
  if (entry != NULL)
    return &entry->frame;
  entry = load (cache, location, error);
  if (entry == NULL)
    return NULL;
  entry->key = key;
  entry->link = (GList){ .data = entry };
  g_mutex_lock (&cache->lock);
  Entry *other = find (cache, key); /* somebody else was faster */
  if (other == NULL)
    {
      if (cache->recent.length >= cache->limit)
        evict (cache);
      g_hash_table_insert (cache->entries, &entry->key, entry);
      g_queue_push_head_link (&cache->recent, &entry->link);
      g_atomic_ref_count_inc (&entry->references);
    }
  g_mutex_unlock (&cache->lock);
  if (other != NULL)
    {
      g_free (entry);
      entry = other;
    }
  return &entry->frame;
}
