#include "config.h"

#include "images/document.h"
#include "images/image-private.h"

static bool
add_image (const char *name, guint64 size, void *data, GError **error)
{
  const char *id = name + strlen ("images/");
  if (cs_image_id_is_valid (id))
    g_ptr_array_add (data, g_strdup (id));
  return true;
}

GPtrArray *
cs_store_list_images (CsStore *store, GError **error)
{
  g_autoptr (GPtrArray) ids = g_ptr_array_new_with_free_func (g_free);
  if (!cs_backend_list (store->backend, "images/", add_image, ids, error))
    return NULL;
  return g_steal_pointer (&ids);
}

static bool
add_size (const char *name, guint64 size, void *data, GError **error)
{
  *(guint64 *)data += size;
  return true;
}

/* Non-zero pages of the image; one that cannot be read adds nothing. */
static guint64
count_pages (CsStore *store, const char *id)
{
  guint64 pages = 0;
  g_autoptr (CsImage) image = cs_image_load (store, id, NULL);
  for (guint i = 0; image != NULL && i < image->volumes->len; i++)
    pages += cs_page_map_count (cs_image_volume (image, i)->map);
  return pages;
}

/* Takes @document, which is NULL where it cannot be read. */
static void
add_document (CsStore *store, json_object *document, GHashTable *seen, CsStoreStats *stats)
{
  g_autoptr (GPtrArray) ids = document != NULL ? cs_document_images (document, 0, NULL) : NULL;
  for (guint i = 0; ids != NULL && i < ids->len; i++)
    if (g_hash_table_add (seen, g_strdup (ids->pdata[i])))
      stats->referenced += count_pages (store, ids->pdata[i]);
  json_object_put (document);
}

bool
cs_store_stats (CsStore *store, CsStoreStats *stats, GError **error)
{
  static const char *const prefixes[] = { "segments/", "images/", "hints/", "manifests/",
                                          "roots/" };
  *stats = (CsStoreStats){ 0 };
  g_autoptr (GPtrArray) manifests = cs_store_manifest_list (store, NULL, error);
  g_autoptr (GPtrArray) roots = manifests != NULL ? cs_store_root_list (store, error) : NULL;
  g_autoptr (GPtrArray) images = roots != NULL ? cs_store_list_images (store, error) : NULL;
  if (images == NULL)
    return false;
  stats->snapshots = manifests->len;
  stats->roots = roots->len;
  stats->images = images->len;
  for (guint i = 0; i < G_N_ELEMENTS (prefixes); i++)
    if (!cs_backend_list (store->backend, prefixes[i], add_size, &stats->bytes, error))
      return false;
  g_autoptr (GArray) segments = cs_segment_table_list (store->segments);
  stats->segments = segments->len;
  for (guint i = 0; i < segments->len; i++)
    {
      stats->segment_bytes += g_array_index (segments, CsSegmentInfo, i).size;
      stats->pages += g_array_index (segments, CsSegmentInfo, i).pages;
    }
  stats->raw_bytes = stats->pages * CS_PAGE_LENGTH;
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < manifests->len; i++)
    {
      const CsManifestName *name = manifests->pdata[i];
      add_document (store, cs_store_manifest_get (store, name->cluster, name->snapshot, NULL), seen,
                    stats);
    }
  for (guint i = 0; i < roots->len; i++)
    add_document (store, cs_store_root_get (store, roots->pdata[i], NULL), seen, stats);
  return true;
}
