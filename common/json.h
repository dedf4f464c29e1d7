/* Reading members of JSON objects that came from outside. */
#ifndef CS_COMMON_JSON_H
#define CS_COMMON_JSON_H

#include <glib.h>
#include <json.h>
#include <stdbool.h>

typedef json_object CsJson;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsJson, json_object_put)

/* @object's member @name when it is a string, else NULL.  Borrowed.  @object may be NULL. */
const char *cs_json_string (json_object *object, const char *name);

/* @object's member @name when it is an array, else NULL.  Borrowed. */
json_object *cs_json_array (json_object *object, const char *name);

/* @object's member @name when it is an object, else NULL.  Borrowed. */
json_object *cs_json_member_object (json_object *object, const char *name);

/* @object's member @name when it is an integer of 0 or more, else @fallback. */
guint64 cs_json_uint (json_object *object, const char *name, guint64 fallback);

/* Whether @object's member @name is true. */
bool cs_json_true (json_object *object, const char *name);

/* Adds a string member; a NULL @value adds nothing. */
void cs_json_add_string (json_object *object, const char *name, const char *value);
void cs_json_add_uint (json_object *object, const char *name, guint64 value);
void cs_json_add_double (json_object *object, const char *name, double value);

/* Sets every member of @from in @to (shared, not copied). */
void cs_json_merge (json_object *to, json_object *from);

/* The object in array @array whose member "name" is @name, or NULL.  Borrowed. */
json_object *cs_json_find_named (json_object *array, const char *name);

/* How many members @array has; 0 of anything else. */
static inline gsize
cs_array_length (json_object *array)
{
  return json_object_is_type (array, json_type_array) ? json_object_array_length (array) : 0;
}

/* Parses @length bytes that are exactly one JSON object (UTF-8, nested at most 32 deep, nothing
 * behind it).  Errors: INVALID. */
json_object *cs_json_parse_object (const char *text, gsize length, GError **error);

#endif
