/* Documents as the store holds them (document.h). */
#include "config.h"

#include "images/document.h"

#include "common/error.h"
#include "images/image-private.h"

#include <string.h>

#define PREFIX "{\"clusnap-sha256\":\""
#define DIGEST_LENGTH 64u
/* A cluster of a thousand VMs has a few MiB of XML. */
#define MAX_LENGTH ((gsize)256 << 20)
#define NAME_MAX_LENGTH 128u

bool
cs_document_check_name (const char *kind, const char *name, GError **error)
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

GPtrArray *
cs_document_images (json_object *document, int code, GError **error)
{
  json_object *images = NULL;
  g_autoptr (GPtrArray) ids = g_ptr_array_new ();
  if (!json_object_is_type (document, json_type_object)
      || !json_object_object_get_ex (document, "images", &images)
      || !json_object_is_type (images, json_type_array))
    {
      g_set_error (error, CS_ERROR, code, "a document needs a member \"images\", an array");
      return NULL;
    }
  for (gsize i = 0; i < json_object_array_length (images); i++)
    {
      json_object *id = json_object_array_get_idx (images, i);
      if (!json_object_is_type (id, json_type_string)
          || !cs_image_id_is_valid (json_object_get_string (id)))
        {
          g_set_error (error, CS_ERROR, code, "a document has '%s' for an image id",
                       json_object_to_json_string (id));
          return NULL;
        }
      g_ptr_array_add (ids, (gpointer)json_object_get_string (id));
    }
  return g_steal_pointer (&ids);
}

static char *
encode (json_object *document)
{
  const char *text = json_object_to_json_string_ext (
      document, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
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
cs_document_put (CsStore *store, const char *object, json_object *document, GError **error)
{
  g_autoptr (GPtrArray) ids = cs_document_images (document, CS_ERROR_INVALID, error);
  if (ids == NULL || !cs_store_check_writable (store, error))
    return false;
  g_autofree char *text = encode (document);
  guint pinned;
  bool ok = pin_images (store, ids, &pinned, error)
            && cs_backend_put (store->backend, object, text, strlen (text), false, error);
  for (guint i = 0; ok && i < ids->len; i++)
    cs_roots_name (store->roots, ids->pdata[i]);
  for (guint i = 0; i < pinned; i++)
    cs_roots_unpin (store->roots, ids->pdata[i]);
  return ok;
}

json_object *
cs_document_get (CsStore *store, const char *object, GError **error)
{
  g_autofree char *text = NULL;
  gsize length;
  if (!cs_backend_get (store->backend, object, MAX_LENGTH, &text, &length, error))
    return NULL;
  json_object *document = decode (text, length);
  if (document == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "'%s' is damaged", object);
  return document;
}
