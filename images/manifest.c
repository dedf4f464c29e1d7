/* Manifests: the documents that make images a snapshot. */
#include "config.h"

#include "images/document.h"

#include "common/error.h"
#include "images/store-private.h"

#include <string.h>

/* NULL: a name is invalid. */
static char *
object_name (const char *cluster, const char *snapshot, GError **error)
{
  if (!cs_document_check_name ("cluster", cluster, error)
      || !cs_document_check_name ("snapshot", snapshot, error))
    return NULL;
  return g_strdup_printf ("manifests/%s/%s", cluster, snapshot);
}

bool
cs_store_manifest_put (CsStore *store, const char *cluster, const char *snapshot,
                       json_object *manifest, GError **error)
{
  g_autofree char *name = object_name (cluster, snapshot, error);
  if (name == NULL)
    return false;
  if (cs_document_put (store, name, manifest, error))
    return true;
  g_prefix_error (error, "cannot write the manifest of snapshot '%s' of cluster '%s': ", snapshot,
                  cluster);
  return false;
}

json_object *
cs_store_manifest_get (CsStore *store, const char *cluster, const char *snapshot, GError **error)
{
  g_autofree char *name = object_name (cluster, snapshot, error);
  if (name == NULL)
    return NULL;
  g_autoptr (GError) cause = NULL;
  json_object *manifest = cs_document_get (store, name, &cause);
  if (g_error_matches (cause, CS_ERROR, CS_ERROR_NOT_FOUND))
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                 "there is no snapshot '%s' of cluster '%s' in store '%s'", snapshot, cluster,
                 store->path);
  else if (g_error_matches (cause, CS_ERROR, CS_ERROR_CORRUPT))
    g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                 "the manifest of snapshot '%s' of cluster '%s' is damaged ('%s' in store '%s')",
                 snapshot, cluster, name, store->path);
  else if (cause != NULL)
    g_propagate_error (error, g_steal_pointer (&cause));
  return manifest;
}

bool
cs_store_manifest_delete (CsStore *store, const char *cluster, const char *snapshot, GError **error)
{
  g_autofree char *name = object_name (cluster, snapshot, error);
  if (name == NULL || !cs_store_check_writable (store, error))
    return false;
  g_autoptr (GError) cause = NULL;
  if (cs_backend_remove (store->backend, name, &cause))
    return true;
  if (g_error_matches (cause, CS_ERROR, CS_ERROR_NOT_FOUND))
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                 "there is no snapshot '%s' of cluster '%s' in store '%s'", snapshot, cluster,
                 store->path);
  else
    g_propagate_error (error, g_steal_pointer (&cause));
  return false;
}

static void
manifest_name_free (gpointer data)
{
  CsManifestName *name = data;
  g_free (name->cluster);
  g_free (name->snapshot);
  g_free (name);
}

/* Files that are not named like a manifest are none of ours. */
static bool
add_name (const char *object, guint64 size, void *data, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (object, "/", 0);
  if (g_strv_length (parts) != 3 || !cs_document_check_name ("cluster", parts[1], NULL)
      || !cs_document_check_name ("snapshot", parts[2], NULL))
    return true;
  CsManifestName *name = g_new (CsManifestName, 1);
  name->cluster = g_strdup (parts[1]);
  name->snapshot = g_strdup (parts[2]);
  g_ptr_array_add (data, name);
  return true;
}

static gint
by_name (gconstpointer a, gconstpointer b)
{
  const CsManifestName *left = *(CsManifestName *const *)a, *right = *(CsManifestName *const *)b;
  int order = strcmp (left->cluster, right->cluster);
  return order != 0 ? order : strcmp (left->snapshot, right->snapshot);
}

GPtrArray *
cs_store_manifest_list (CsStore *store, const char *cluster, GError **error)
{
  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func (manifest_name_free);
  if (cluster != NULL && !cs_document_check_name ("cluster", cluster, error))
    return NULL;
  g_autofree char *prefix =
      cluster != NULL ? g_strdup_printf ("manifests/%s/", cluster) : g_strdup ("manifests/");
  if (!cs_backend_list (store->backend, prefix, add_name, list, error))
    return NULL;
  g_ptr_array_sort (list, by_name);
  return g_steal_pointer (&list);
}
