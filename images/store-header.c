#include "config.h"

#include "images/store-header.h"

#include "common/error.h"
#include "images/uuid.h"

#include <json.h>
#include <string.h>

#define OBJECT "clusnap-store.json"
#define FORMAT "clusnap-store"
#define FORMAT_VERSION 1
#define MAX_LENGTH 65536u

bool
cs_store_header_write (CsBackend *backend, GError **error)
{
  g_autofree char *uuid = cs_uuid_random ();
  g_autofree char *text =
      g_strdup_printf ("{\n  \"format\": \"%s\",\n  \"version\": %d,\n  \"uuid\": \"%s\"\n}\n",
                       FORMAT, FORMAT_VERSION, uuid);
  return cs_backend_put (backend, OBJECT, text, strlen (text), false, error);
}

static const char *
member_string (json_object *object, const char *name)
{
  json_object *member;
  if (!json_object_object_get_ex (object, name, &member)
      || !json_object_is_type (member, json_type_string))
    return NULL;
  return json_object_get_string (member);
}

static char *
check_document (json_object *document, const char *path, GError **error)
{
  guint8 bytes[16];
  json_object *version;
  const char *uuid = member_string (document, "uuid");
  if (g_strcmp0 (member_string (document, "format"), FORMAT) != 0
      || !json_object_object_get_ex (document, "version", &version)
      || !json_object_is_type (version, json_type_int))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "'%s' is not a clusnap store: its " OBJECT " says something else", path);
      return NULL;
    }
  if (json_object_get_int64 (version) != FORMAT_VERSION)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "store '%s' has format version %" G_GINT64_FORMAT
                   ", but this clusnap knows only %d: use a newer clusnap",
                   path, (gint64)json_object_get_int64 (version), FORMAT_VERSION);
      return NULL;
    }
  if (uuid == NULL || !cs_uuid_parse (uuid, bytes))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "store '%s' has no valid UUID in its " OBJECT,
                   path);
      return NULL;
    }
  return g_strdup (uuid);
}

char *
cs_store_header_read (CsBackend *backend, const char *path, GError **error)
{
  g_autoptr (GError) cause = NULL;
  g_autofree char *text = NULL;
  gsize length;
  if (!cs_backend_get (backend, OBJECT, MAX_LENGTH, &text, &length, &cause))
    {
      if (g_error_matches (cause, CS_ERROR, CS_ERROR_NOT_FOUND))
        g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                     "'%s' is not a clusnap store (no " OBJECT
                     "): make one elsewhere with `clusnap store init`",
                     path);
      else
        g_propagate_prefixed_error (error, g_steal_pointer (&cause),
                                    "cannot open store '%s': ", path);
      return NULL;
    }
  json_object *document = json_tokener_parse (text);
  char *uuid = check_document (document, path, error);
  json_object_put (document);
  return uuid;
}
