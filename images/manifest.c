/* Manifests: the documents that make images a snapshot.
 *
 * The stored text is the caller's JSON with one member put before the others:
 * {"clusnap-sha256":"…",  where … is the SHA-256 of the text as it was without it.  So it is
 * still JSON, and damage is noticed wherever it is. */
#include "config.h"

#include "images/store-private.h"

#include "common/error.h"
#include "images/image-private.h"

#include <string.h>

#define PREFIX "{\"clusnap-sha256\":\""
#define DIGEST_LENGTH 64u
/* A cluster of a thousand VMs has a few MiB of XML. */
#define MAX_LENGTH ((gsize)256 << 20)
#define NAME_MAX_LENGTH 128u

static bool
check_name (const char *kind, const char *name, GError **error)
{
  gsize length = strlen (name);
  bool valid = length >= 1 && length <= NAME_MAX_LENGTH && g_ascii_isalnum (name[0]);
  for (gsize i = 0; valid && i < length; i++)
    valid = g_ascii_isalnum (name[i]) || strchr ("._-", name[i]) != NULL;
  if (!valid)
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                 "'%s' cannot be the name of a %s: 1 to %u of A-Z a-z 0-9 . _ - beginning with a "
                 "letter or digit",
                 name, kind, NAME_MAX_LENGTH);
  return valid;
}

/* NULL: a name is invalid. */
static char *
object_name (const char *cluster, const char *snapshot, GError **error)
{
  if (!check_name ("cluster", cluster, error) || !check_name ("snapshot", snapshot, error))
    return NULL;
  return g_strdup_printf ("manifests/%s/%s", cluster, snapshot);
}

GPtrArray *
cs_manifest_images (json_object *manifest, int code, GError **error)
{
  json_object *images = NULL;
  g_autoptr (GPtrArray) ids = g_ptr_array_new ();
  if (!json_object_is_type (manifest, json_type_object)
      || !json_object_object_get_ex (manifest, "images", &images)
      || !json_object_is_type (images, json_type_array))
    {
      g_set_error (error, CS_ERROR, code, "a manifest needs a member \"images\", an array");
      return NULL;
    }
  for (gsize i = 0; i < json_object_array_length (images); i++)
    {
      json_object *id = json_object_array_get_idx (images, i);
      if (!json_object_is_type (id, json_type_string)
          || !cs_image_id_is_valid (json_object_get_string (id)))
        {
          g_set_error (error, CS_ERROR, code, "a manifest has '%s' for an image id",
                       json_object_to_json_string (id));
          return NULL;
        }
      g_ptr_array_add (ids, (gpointer)json_object_get_string (id));
    }
  return g_steal_pointer (&ids);
}

static char *
encode (json_object *manifest)
{
  const char *text = json_object_to_json_string_ext (
      manifest, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
  return g_strconcat (PREFIX, digest, "\",", text + 1, "\n", NULL);
}

static json_object *
decode (const char *text, gsize length)
{
  gsize head = strlen (PREFIX) + DIGEST_LENGTH + strlen ("\",");
  if (length < head + 1 || strlen (text) != length || !g_str_has_prefix (text, PREFIX)
      || text[length - 1] != '\n' || strncmp (text + head - 2, "\",", 2) != 0)
    return NULL;
  g_autofree char *body = g_strconcat ("{", text + head, NULL);
  body[strlen (body) - 1] = '\0';
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, body, -1);
  if (strncmp (text + strlen (PREFIX), digest, DIGEST_LENGTH) != 0)
    return NULL;
  return json_tokener_parse (body);
}

/* Images that are there and cannot go any more: pinned, to be unpinned by the caller up to
 * *@pinned, also on error. */
static bool
pin_images (CsStore *store, GPtrArray *ids, guint *pinned, GError **error)
{
  for (*pinned = 0; *pinned < ids->len; (*pinned)++)
    if (!cs_roots_try_pin (store->roots, ids->pdata[*pinned], error))
      return false;
  for (guint i = 0; i < ids->len; i++)
    {
      g_autoptr (CsImageFile) file = cs_image_file_load (store, ids->pdata[i], false, error);
      if (file == NULL)
        return false;
    }
  return true;
}

bool
cs_store_manifest_put (CsStore *store, const char *cluster, const char *snapshot,
                       json_object *manifest, GError **error)
{
  g_autofree char *name = object_name (cluster, snapshot, error);
  if (name == NULL)
    return false;
  g_autoptr (GPtrArray) ids = cs_manifest_images (manifest, CS_ERROR_INVALID, error);
  if (ids == NULL)
    return false;
  g_autofree char *text = encode (manifest);
  guint pinned;
  bool ok = pin_images (store, ids, &pinned, error)
            && cs_backend_put (store->backend, name, text, strlen (text), false, error);
  for (guint i = 0; ok && i < ids->len; i++)
    cs_roots_name (store->roots, ids->pdata[i]);
  for (guint i = 0; i < pinned; i++)
    cs_roots_unpin (store->roots, ids->pdata[i]);
  if (!ok)
    g_prefix_error (error, "cannot write the manifest of snapshot '%s' of cluster '%s': ", snapshot,
                    cluster);
  return ok;
}

json_object *
cs_store_manifest_get (CsStore *store, const char *cluster, const char *snapshot, GError **error)
{
  g_autofree char *name = object_name (cluster, snapshot, error);
  g_autofree char *text = NULL;
  gsize length;
  if (name == NULL)
    return NULL;
  g_autoptr (GError) cause = NULL;
  if (!cs_backend_get (store->backend, name, MAX_LENGTH, &text, &length, &cause))
    {
      if (g_error_matches (cause, CS_ERROR, CS_ERROR_NOT_FOUND))
        g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                     "there is no snapshot '%s' of cluster '%s' in store '%s'", snapshot, cluster,
                     store->path);
      else
        g_propagate_error (error, g_steal_pointer (&cause));
      return NULL;
    }
  json_object *manifest = decode (text, length);
  if (manifest == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                 "the manifest of snapshot '%s' of cluster '%s' is damaged ('%s' in store '%s')",
                 snapshot, cluster, name, store->path);
  return manifest;
}

bool
cs_store_manifest_delete (CsStore *store, const char *cluster, const char *snapshot, GError **error)
{
  g_autofree char *name = object_name (cluster, snapshot, error);
  if (name == NULL)
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
  if (g_strv_length (parts) != 3 || !check_name ("cluster", parts[1], NULL)
      || !check_name ("snapshot", parts[2], NULL))
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
  if (cluster != NULL && !check_name ("cluster", cluster, error))
    return NULL;
  g_autofree char *prefix =
      cluster != NULL ? g_strdup_printf ("manifests/%s/", cluster) : g_strdup ("manifests/");
  if (!cs_backend_list (store->backend, prefix, add_name, list, error))
    return NULL;
  g_ptr_array_sort (list, by_name);
  return g_steal_pointer (&list);
}
