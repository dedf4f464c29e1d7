#include "config.h"

#include "common/json.h"

#include "common/error.h"

#include <limits.h>

#define MAX_DEPTH 32

static json_object *
member (json_object *object, const char *name, json_type type)
{
  json_object *value = NULL;
  if (!json_object_is_type (object, json_type_object)
      || !json_object_object_get_ex (object, name, &value) || !json_object_is_type (value, type))
    return NULL;
  return value;
}

const char *
cs_json_string (json_object *object, const char *name)
{
  json_object *value = member (object, name, json_type_string);
  return value != NULL ? json_object_get_string (value) : NULL;
}

json_object *
cs_json_array (json_object *object, const char *name)
{
  return member (object, name, json_type_array);
}

json_object *
cs_json_member_object (json_object *object, const char *name)
{
  return member (object, name, json_type_object);
}

guint64
cs_json_uint (json_object *object, const char *name, guint64 fallback)
{
  json_object *value = member (object, name, json_type_int);
  if (value == NULL || json_object_get_int64 (value) < 0)
    return fallback;
  return json_object_get_uint64 (value);
}

bool
cs_json_true (json_object *object, const char *name)
{
  json_object *member = NULL;
  return json_object_object_get_ex (object, name, &member)
         && json_object_is_type (member, json_type_boolean) && json_object_get_boolean (member);
}

void
cs_json_add_string (json_object *object, const char *name, const char *value)
{
  if (value != NULL)
    json_object_object_add (object, name, json_object_new_string (value));
}

void
cs_json_add_uint (json_object *object, const char *name, guint64 value)
{
  json_object_object_add (object, name, json_object_new_uint64 (value));
}

void
cs_json_add_double (json_object *object, const char *name, double value)
{
  g_autofree char *text = g_strdup_printf ("%.3f", value);
  json_object_object_add (object, name, json_object_new_double_s (value, text));
}

void
cs_json_merge (json_object *to, json_object *from)
{
  if (!json_object_is_type (from, json_type_object))
    return;
  json_object_object_foreach (from, name, value)
      json_object_object_add (to, name, json_object_get (value));
}

json_object *
cs_json_find_named (json_object *array, const char *name)
{
  gsize count = array != NULL ? json_object_array_length (array) : 0;
  for (gsize i = 0; i < count; i++)
    {
      json_object *object = json_object_array_get_idx (array, i);
      if (g_strcmp0 (cs_json_string (object, "name"), name) == 0)
        return object;
    }
  return NULL;
}

json_object *
cs_json_parse_object (const char *text, gsize length, GError **error)
{
  if (length > INT_MAX || !g_utf8_validate_len (text, length, NULL))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "it is not UTF-8 text");
      return NULL;
    }
  json_tokener *tokener = json_tokener_new_ex (MAX_DEPTH);
  json_tokener_set_flags (tokener, JSON_TOKENER_STRICT);
  json_object *value = json_tokener_parse_ex (tokener, text, (int)length);
  enum json_tokener_error code = json_tokener_get_error (tokener);
  gsize end = json_tokener_get_parse_end (tokener);
  json_tokener_free (tokener);
  if (code == json_tokener_success && end == length
      && json_object_is_type (value, json_type_object))
    return value;
  json_object_put (value);
  const char *reason = "it is not an object";
  if (code == json_tokener_continue)
    reason = "it ends too early";
  else if (code != json_tokener_success)
    reason = json_tokener_error_desc (code);
  else if (end != length)
    reason = "something follows the object";
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "%s", reason);
  return NULL;
}
