/* Roots: documents that keep images alive although perhaps no manifest names them. */
#include "config.h"

#include "images/document.h"

#include "common/error.h"
#include "common/json.h"
#include "images/store-private.h"

#include <string.h>

#define PREFIX "roots/"
#define FORMAT "clusnap-root"
#define FORMAT_VERSION 1

/* NULL: the name is invalid. */
static char *
object_name (const char *name, GError **error)
{
  return cs_document_check_name ("root", name, error) ? g_strconcat (PREFIX, name, NULL) : NULL;
}

bool
cs_store_root_put (CsStore *store, const char *name, json_object *root, GError **error)
{
  g_autofree char *object = object_name (name, error);
  if (object == NULL)
    return false;
  g_autoptr (CsJson) document = json_object_new_object ();
  cs_json_add_string (document, "format", FORMAT);
  json_object_object_add (document, "version", json_object_new_int (FORMAT_VERSION));
  if (json_object_is_type (root, json_type_object))
    cs_json_merge (document, root);
  if (cs_document_put (store, object, document, error))
    return true;
  g_prefix_error (error, "cannot write root '%s': ", name);
  return false;
}

static bool
not_there (CsStore *store, const char *name, GError *cause, GError **error)
{
  if (g_error_matches (cause, CS_ERROR, CS_ERROR_NOT_FOUND))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "there is no root '%s' in store '%s'", name,
                   store->path);
      g_error_free (cause);
    }
  else
    g_propagate_prefixed_error (error, cause, "root '%s' of store '%s': ", name, store->path);
  return false;
}

json_object *
cs_store_root_get (CsStore *store, const char *name, GError **error)
{
  GError *cause = NULL;
  g_autofree char *object = object_name (name, error);
  if (object == NULL)
    return NULL;
  json_object *root = cs_document_get (store, object, &cause);
  if (root == NULL)
    not_there (store, name, cause, error);
  return root;
}

bool
cs_store_root_remove (CsStore *store, const char *name, GError **error)
{
  GError *cause = NULL;
  g_autofree char *object = object_name (name, error);
  if (object == NULL || !cs_store_check_writable (store, error))
    return false;
  return cs_backend_remove (store->backend, object, &cause)
         || not_there (store, name, cause, error);
}

/* Files that are not named like a root are none of ours. */
static bool
add_name (const char *object, guint64 size, void *data, GError **error)
{
  const char *name = object + strlen (PREFIX);
  if (cs_document_check_name ("root", name, NULL))
    g_ptr_array_add (data, g_strdup (name));
  return true;
}

static gint
by_name (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

GPtrArray *
cs_store_root_list (CsStore *store, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  if (!cs_backend_list (store->backend, PREFIX, add_name, names, error))
    return NULL;
  g_ptr_array_sort (names, by_name);
  return g_steal_pointer (&names);
}
