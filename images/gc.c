/* Theory of operation
 *
 * Goals: give space back while snapshots are being taken and restored; leave, after an
 * interruption at any moment, every listed snapshot whole.  Limits: a segment that a writer
 * has pages in is left for the next run; one with less than a quarter of dead pages is
 * left until it has more.  Segments are never merged.
 *
 * Roots are the images that manifests and the documents under roots/ name, and those pinned or held
 * in memory (roots.h).  What their merged maps refer to is live.  Other images are either ancestors
 * of a root, whose files are still needed as part of its map, or garbage.
 *
 *   1  mark       all roots; without any lock.  Every manifest and every root must be
 *                 readable, else nothing can be proven dead: the run ends here with an error
 *   2  condemn    under the lock of the roots, which thus cannot grow: marks those that are new
 *                 since 1; condemns garbage and ancestors (they cannot be opened or named any
 *                 more) and segments with much dead in them that no writer uses (dedup makes no
 *                 new reference to them).  From here on nothing dead can come to life again
 *   3  images     garbage is removed; ancestors get their RETIRED mark, for their own map no
 *                 longer holds; the hints of both go
 *   4  segments   for each: the dead pages leave the index, then it is removed, or rewritten
 *                 under the same number with the dead pages blanked and atomically replaced, so
 *                 that references stay valid; then it is readmitted to dedup
 *
 * Interrupted in 3, some garbage remains; in 4, the index lacks the row of the segment at hand
 * and adds its pages again on the next opening (index.c).
 *
 * Why an image just committed is safe: its writer uses its segments until it is held and there.
 * Step 2 looks at the writers first and at the roots after that: either it saw the writer and
 * leaves its segments alone, or it finds the image, or the writer began after step 2 and could not
 * refer to a condemned segment.  The other way round an image that was held and not there yet when
 * the roots were looked at, and whose writer had ended when the segments were, would lose them.
 *
 * Readers hold the version of a segment that they opened (segment.h); live pages are the same in
 * both. */
#include "config.h"

#include "images/gc.h"

#include "common/error.h"
#include "images/document.h"

typedef struct
{
  /* immutable */
  CsStore *store;
  bool dry_run;
  CsProgressFunc progress;
  void *progress_data;
  CsStoreGcReport *report;

  GHashTable *roots;     /* ids marked so far */
  GHashTable *ancestors; /* ids of theirs */
  CsLiveness *live;
  GPtrArray *garbage;     /* ids */
  GPtrArray *retiring;    /* ids */
  GArray *dead_segments;  /* CsSegmentInfo, condemned */
  GArray *mixed_segments; /* CsSegmentInfo, condemned */
} Gc;

static bool
report_progress (Gc *gc, guint64 done, guint64 total, GError **error)
{
  if (gc->progress == NULL || gc->progress (done, total, gc->progress_data))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "garbage collection was stopped");
  return false;
}

static bool
mark_image (Gc *gc, const char *id, GError **error)
{
  if (g_hash_table_contains (gc->roots, id))
    return true;
  g_autoptr (CsImage) image = cs_image_load (gc->store, id, error);
  if (image == NULL)
    return false;
  g_hash_table_add (gc->roots, g_strdup (id));
  for (guint i = 0; i < image->ancestors->len; i++)
    g_hash_table_add (gc->ancestors, g_strdup (image->ancestors->pdata[i]));
  for (guint i = 0; i < image->volumes->len; i++)
    {
      const CsPageMap *map = cs_image_volume (image, i)->map;
      guint64 page;
      for (guint64 from = 0; cs_page_map_next (map, from, &page); from = page + 1)
        cs_liveness_add (gc->live, cs_page_map_get (map, page));
    }
  return true;
}

/* Takes @document; NULL: @cause, an error of reading it, is taken up.  One that was deleted since
 * it was listed needs nothing. */
static bool
mark_document (Gc *gc, json_object *document, GError **cause)
{
  if (document == NULL && g_error_matches (*cause, CS_ERROR, CS_ERROR_NOT_FOUND))
    {
      g_clear_error (cause);
      return true;
    }
  g_autoptr (GPtrArray) ids =
      document != NULL ? cs_document_images (document, CS_ERROR_CORRUPT, cause) : NULL;
  bool ok = ids != NULL;
  for (guint i = 0; ok && i < ids->len; i++)
    ok = mark_image (gc, ids->pdata[i], cause);
  json_object_put (document);
  return ok;
}

static bool
mark_manifest (Gc *gc, const CsManifestName *name, GError **error)
{
  g_autoptr (GError) cause = NULL;
  json_object *manifest = cs_store_manifest_get (gc->store, name->cluster, name->snapshot, &cause);
  bool ok = mark_document (gc, manifest, &cause);
  if (!ok)
    g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                 "nothing was removed, as it cannot be told what snapshot '%s' of cluster '%s' "
                 "needs: %s; repair or delete this snapshot first",
                 name->snapshot, name->cluster, cause->message);
  return ok;
}

static bool
mark_persistent_root (Gc *gc, const char *name, GError **error)
{
  g_autoptr (GError) cause = NULL;
  json_object *root = cs_store_root_get (gc->store, name, &cause);
  if (mark_document (gc, root, &cause))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
               "nothing was removed, as it cannot be told what root '%s' needs: %s; end what uses "
               "it (a clone, a restore), then remove 'roots/%s'",
               name, cause->message, name);
  return false;
}

/* Roots in memory.  A pinned id that was never published needs nothing. */
static bool
mark_memory (Gc *gc, GPtrArray *ids, GError **error)
{
  for (guint i = 0; i < ids->len; i++)
    {
      g_autoptr (GError) cause = NULL;
      if (mark_image (gc, ids->pdata[i], &cause)
          || g_error_matches (cause, CS_ERROR, CS_ERROR_NOT_FOUND)
          || g_error_matches (cause, CS_ERROR, CS_ERROR_INVALID))
        continue;
      g_propagate_prefixed_error (error, g_steal_pointer (&cause),
                                  "nothing was removed, as an image in use is damaged: ");
      return false;
    }
  return true;
}

static bool
mark (Gc *gc, GError **error)
{
  cs_roots_begin (gc->store->roots);
  g_autoptr (GPtrArray) manifests = cs_store_manifest_list (gc->store, NULL, error);
  if (manifests == NULL)
    return false;
  for (guint i = 0; i < manifests->len; i++)
    if (!report_progress (gc, i, manifests->len, error)
        || !mark_manifest (gc, manifests->pdata[i], error))
      return false;
  g_autoptr (GPtrArray) roots = cs_store_root_list (gc->store, error);
  for (guint i = 0; roots != NULL && i < roots->len; i++)
    if (!mark_persistent_root (gc, roots->pdata[i], error))
      return false;
  if (roots == NULL)
    return false;
  cs_roots_lock (gc->store->roots);
  g_autoptr (GPtrArray) ids = cs_roots_list (gc->store->roots);
  cs_roots_unlock (gc->store->roots);
  return mark_memory (gc, ids, error);
}

/* The roots' lock is held. */
static void
sort_images (Gc *gc, GPtrArray *images)
{
  for (guint i = 0; i < images->len; i++)
    {
      const char *id = images->pdata[i];
      if (g_hash_table_contains (gc->roots, id))
        continue;
      g_ptr_array_add (g_hash_table_contains (gc->ancestors, id) ? gc->retiring : gc->garbage,
                       g_strdup (id));
      if (!gc->dry_run)
        cs_roots_condemn (gc->store->roots, id);
    }
}

/* The roots' lock is held.  @used: the writers' segments, before the roots were looked at. */
static void
sort_segments (Gc *gc, GHashTable *used)
{
  g_autoptr (GArray) segments = cs_segment_table_list (gc->store->segments);
  for (guint i = 0; i < segments->len; i++)
    {
      const CsSegmentInfo *info = &g_array_index (segments, CsSegmentInfo, i);
      guint32 live = cs_liveness_count (gc->live, info->number);
      guint32 dead = info->pages > live ? info->pages - live : 0;
      if (g_hash_table_contains (used, GUINT_TO_POINTER (info->number)))
        continue;
      if (live == 0)
        g_array_append_val (gc->dead_segments, *info);
      else if (dead >= (info->pages + CS_GC_DEAD_SHARE - 1) / CS_GC_DEAD_SHARE && !info->damaged)
        g_array_append_val (gc->mixed_segments, *info);
    }
  cs_packer_condemn (gc->store->packer, gc->dead_segments, gc->dry_run);
  cs_packer_condemn (gc->store->packer, gc->mixed_segments, gc->dry_run);
}

static bool
condemn (Gc *gc, GPtrArray *images, GError **error)
{
  cs_roots_lock (gc->store->roots);
  g_autoptr (GHashTable) used = cs_packer_used_segments (gc->store->packer);
  g_autoptr (GPtrArray) ids = cs_roots_list (gc->store->roots);
  bool ok = mark_memory (gc, ids, error);
  if (ok)
    {
      sort_images (gc, images);
      sort_segments (gc, used);
    }
  cs_roots_unlock (gc->store->roots);
  return ok;
}

/* One that is gone already was withdrawn by a failing commit. */
static bool
remove_image (Gc *gc, const char *id, GError **error)
{
  g_autofree char *name = cs_image_object_name (id);
  g_autoptr (GError) cause = NULL;
  g_autoptr (CsObject) object = cs_backend_open (gc->store->backend, name, &cause);
  if (object != NULL && (gc->dry_run || cs_backend_remove (gc->store->backend, name, &cause)))
    {
      gc->report->bytes_freed += object->size;
      gc->report->images_removed++;
    }
  if (cause == NULL || g_error_matches (cause, CS_ERROR, CS_ERROR_NOT_FOUND))
    return true;
  g_propagate_error (error, g_steal_pointer (&cause));
  return false;
}

static bool
remove_garbage (Gc *gc, GError **error)
{
  for (guint i = 0; i < gc->garbage->len; i++)
    if (!remove_image (gc, gc->garbage->pdata[i], error))
      return false;
  return true;
}

static bool
retire_ancestors (Gc *gc, GError **error)
{
  for (guint i = 0; !gc->dry_run && i < gc->retiring->len; i++)
    {
      const char *id = gc->retiring->pdata[i];
      g_autofree char *name = cs_image_object_name (id);
      g_autoptr (CsImageFile) file = cs_image_file_load (gc->store, id, true, error);
      if (file == NULL)
        return false;
      if (file->retired)
        continue;
      file->retired = true;
      g_autoptr (GBytes) content = cs_image_file_encode (file, error);
      gsize length;
      const void *data = content != NULL ? g_bytes_get_data (content, &length) : NULL;
      if (data == NULL || !cs_backend_put (gc->store->backend, name, data, length, true, error))
        return false;
    }
  return true;
}

static bool
sweep_dead (Gc *gc, const CsSegmentInfo *info, GError **error)
{
  if (!gc->dry_run && !cs_gc_remove_segment (gc->store, info, error))
    return false;
  gc->report->segments_removed++;
  gc->report->pages_removed += info->pages;
  gc->report->bytes_freed += info->size;
  return true;
}

/* Before the rewriting a segment's new length is an estimate by the number of pages. */
static bool
sweep_mixed (Gc *gc, const CsSegmentInfo *info, GError **error)
{
  guint32 live = cs_liveness_count (gc->live, info->number);
  guint64 size = info->size / info->pages * live;
  if (!gc->dry_run && !cs_gc_rewrite_segment (gc->store, info, gc->live, &size, error))
    return false;
  gc->report->segments_rewritten++;
  gc->report->pages_removed += info->pages - live;
  gc->report->bytes_freed += info->size > size ? info->size - size : 0;
  return true;
}

/* The dead ones first: that makes room for rewriting the others. */
static bool
sweep (Gc *gc, GError **error)
{
  guint total = gc->dead_segments->len + gc->mixed_segments->len;
  for (guint i = 0; i < gc->dead_segments->len; i++)
    if (!report_progress (gc, i, total, error)
        || !sweep_dead (gc, &g_array_index (gc->dead_segments, CsSegmentInfo, i), error))
      return false;
  for (guint i = 0; i < gc->mixed_segments->len; i++)
    if (!report_progress (gc, gc->dead_segments->len + i, total, error)
        || !sweep_mixed (gc, &g_array_index (gc->mixed_segments, CsSegmentInfo, i), error))
      return false;
  return true;
}

static void
pardon_segments (Gc *gc, const GArray *segments)
{
  for (guint i = 0; !gc->dry_run && i < segments->len; i++)
    cs_packer_pardon (gc->store->packer, g_array_index (segments, CsSegmentInfo, i).number);
}

/* Readmits what was condemned; of segments that are gone nothing is left to readmit. */
static void
pardon (Gc *gc)
{
  pardon_segments (gc, gc->dead_segments);
  pardon_segments (gc, gc->mixed_segments);
  cs_roots_end (gc->store->roots);
}

static bool
run (Gc *gc, GError **error)
{
  if (!mark (gc, error))
    return false;
  g_autoptr (GPtrArray) images = cs_store_list_images (gc->store, error);
  return images != NULL && condemn (gc, images, error) && remove_garbage (gc, error)
         && retire_ancestors (gc, error)
         && cs_gc_remove_hints (gc->store, gc->roots, gc->dry_run, &gc->report->bytes_freed, error)
         && sweep (gc, error);
}

bool
cs_store_gc (CsStore *store, bool dry_run, CsProgressFunc progress, void *data,
             CsStoreGcReport *report, GError **error)
{
  CsStoreGcReport ignored;
  if (!cs_store_check_writable (store, error))
    return false;
  Gc gc = { .store = store,
            .dry_run = dry_run,
            .progress = progress,
            .progress_data = data,
            .report = report != NULL ? report : &ignored,
            .roots = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
            .ancestors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
            .live = cs_liveness_new (),
            .garbage = g_ptr_array_new_with_free_func (g_free),
            .retiring = g_ptr_array_new_with_free_func (g_free),
            .dead_segments = g_array_new (FALSE, FALSE, sizeof (CsSegmentInfo)),
            .mixed_segments = g_array_new (FALSE, FALSE, sizeof (CsSegmentInfo)) };
  *gc.report = (CsStoreGcReport){ 0 };
  g_mutex_lock (&store->gc_lock);
  bool ok = run (&gc, error);
  pardon (&gc);
  g_mutex_unlock (&store->gc_lock);
  if (!ok)
    g_prefix_error (error, "store '%s': ", store->path);
  g_hash_table_unref (gc.roots);
  g_hash_table_unref (gc.ancestors);
  cs_liveness_free (gc.live);
  g_ptr_array_unref (gc.garbage);
  g_ptr_array_unref (gc.retiring);
  g_array_unref (gc.dead_segments);
  g_array_unref (gc.mixed_segments);
  return ok;
}
