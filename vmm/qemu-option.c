#include "config.h"

#include "vmm/qemu-option.h"

#include "common/error.h"
#include "common/json.h"

#include <string.h>

typedef struct
{
  char *key;
  char *value; /* NULL: a part without "=" that is no implied value */
  bool bare;   /* written without its key */
} Pair;

struct CsQemuOption
{
  json_object *json; /* NULL: text */
  GArray *pairs;     /* of Pair; of JSON: its leaves */
};

static void
pair_clear (gpointer data)
{
  Pair *pair = data;
  g_free (pair->key);
  g_free (pair->value);
}

void
cs_qemu_option_free (CsQemuOption *option)
{
  if (option == NULL)
    return;
  json_object_put (option->json);
  g_array_unref (option->pairs);
  g_free (option);
}

/* ---- text ---- */

/* The part at *@at, with its doubled commas made single; *@at goes behind the comma. */
static char *
take_part (const char **at)
{
  GString *part = g_string_new (NULL);
  const char *c = *at;
  for (; *c != '\0'; c++)
    {
      if (*c == ',' && c[1] != ',')
        break;
      if (*c == ',')
        c++;
      g_string_append_c (part, *c);
    }
  *at = *c == ',' ? c + 1 : c;
  return g_string_free (part, FALSE);
}

static bool
parse_text (CsQemuOption *option, const char *text, const char *implied, GError **error)
{
  const char *at = text;
  for (bool first = true; *at != '\0'; first = false)
    {
      /* A key never holds a comma: "=" counts only before the first one. */
      gsize key_length = strcspn (at, "=,");
      bool has_key = at[key_length] == '=';
      Pair pair = { 0 };
      if (has_key)
        {
          pair.key = g_strndup (at, key_length);
          at += key_length + 1;
          pair.value = take_part (&at);
        }
      else if (first && implied != NULL)
        {
          pair.key = g_strdup (implied);
          pair.value = take_part (&at);
          pair.bare = true;
        }
      else
        pair.key = take_part (&at);
      bool ok = pair.key[0] != '\0';
      g_array_append_val (option->pairs, pair);
      if (ok)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "'%s' has a part without a key", text);
      return false;
    }
  return true;
}

/* ---- JSON ---- */

static void
add_leaves (GArray *pairs, const char *prefix, json_object *value)
{
  if (json_object_is_type (value, json_type_object))
    {
      json_object_object_foreach (value, name, member)
      {
        g_autofree char *key =
            *prefix != '\0' ? g_strconcat (prefix, ".", name, NULL) : g_strdup (name);
        add_leaves (pairs, key, member);
      }
      return;
    }
  gsize n = json_object_is_type (value, json_type_array) ? json_object_array_length (value) : 0;
  for (gsize i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("%s.%zu", prefix, i);
      add_leaves (pairs, key, json_object_array_get_idx (value, i));
    }
  if (json_object_is_type (value, json_type_array))
    return;
  Pair pair = { .key = g_strdup (prefix) };
  if (json_object_is_type (value, json_type_boolean))
    pair.value = g_strdup (json_object_get_boolean (value) ? "on" : "off");
  else
    pair.value = g_strdup (value != NULL ? json_object_get_string (value) : "");
  g_array_append_val (pairs, pair);
}

static void
refresh (CsQemuOption *option)
{
  g_array_set_size (option->pairs, 0);
  add_leaves (option->pairs, "", option->json);
}

/* The member of @parent (object or array) that one component of a key names. */
static json_object *
step (json_object *parent, const char *name)
{
  json_object *child = NULL;
  guint64 index;
  if (json_object_is_type (parent, json_type_object))
    json_object_object_get_ex (parent, name, &child);
  else if (json_object_is_type (parent, json_type_array)
           && g_ascii_string_to_unsigned (name, 10, 0, G_MAXUINT16, &index, NULL))
    child = json_object_array_get_idx (parent, index);
  return child;
}

/* Puts @value (taken; NULL: nothing, the member goes) where @key leads to. */
static void
json_put (json_object *root, const char *key, json_object *value)
{
  g_auto (GStrv) parts = g_strsplit (key, ".", -1);
  json_object *parent = root;
  guint i = 0;
  for (; parts[i + 1] != NULL; i++)
    {
      json_object *child = step (parent, parts[i]);
      if (child == NULL && value != NULL && json_object_is_type (parent, json_type_object))
        json_object_object_add (parent, parts[i], child = json_object_new_object ());
      if (child == NULL)
        {
          json_object_put (value);
          return;
        }
      parent = child;
    }
  guint64 index;
  if (json_object_is_type (parent, json_type_object) && value != NULL)
    json_object_object_add (parent, parts[i], value);
  else if (json_object_is_type (parent, json_type_object))
    json_object_object_del (parent, parts[i]);
  else if (json_object_is_type (parent, json_type_array) && value != NULL
           && g_ascii_string_to_unsigned (parts[i], 10, 0, G_MAXUINT16, &index, NULL))
    json_object_array_put_idx (parent, index, value);
  else
    json_object_put (value);
}

/* ---- both ---- */

CsQemuOption *
cs_qemu_option_parse (const char *text, const char *implied, GError **error)
{
  g_autoptr (CsQemuOption) option = g_new0 (CsQemuOption, 1);
  option->pairs = g_array_new (FALSE, FALSE, sizeof (Pair));
  g_array_set_clear_func (option->pairs, pair_clear);
  if (text[0] != '{')
    return parse_text (option, text, implied, error) ? g_steal_pointer (&option) : NULL;
  option->json = cs_json_parse_object (text, strlen (text), error);
  if (option->json == NULL)
    return NULL;
  refresh (option);
  return g_steal_pointer (&option);
}

guint
cs_qemu_option_n (const CsQemuOption *option)
{
  return option->pairs->len;
}

const char *
cs_qemu_option_key (const CsQemuOption *option, guint i)
{
  return g_array_index (option->pairs, Pair, i).key;
}

const char *
cs_qemu_option_value (const CsQemuOption *option, guint i)
{
  const char *value = g_array_index (option->pairs, Pair, i).value;
  return value != NULL ? value : "on";
}

const char *
cs_qemu_option_get (const CsQemuOption *option, const char *key)
{
  for (guint i = option->pairs->len; i > 0; i--)
    if (g_str_equal (cs_qemu_option_key (option, i - 1), key))
      return cs_qemu_option_value (option, i - 1);
  return NULL;
}

bool
cs_qemu_option_is_on (const CsQemuOption *option, const char *key)
{
  static const char *const words[] = { "on", "yes", "true", "y", NULL };
  const char *value = cs_qemu_option_get (option, key);
  return value != NULL && g_strv_contains (words, value);
}

void
cs_qemu_option_set (CsQemuOption *option, const char *key, const char *value)
{
  if (option->json != NULL)
    {
      json_put (option->json, key, json_object_new_string (value));
      refresh (option);
      return;
    }
  bool found = false;
  g_autofree char *copy = g_strdup (value); /* it may be one of ours */
  for (guint i = 0; i < option->pairs->len; i++)
    {
      Pair *pair = &g_array_index (option->pairs, Pair, i);
      if (!g_str_equal (pair->key, key))
        continue;
      g_free (pair->value);
      pair->value = g_strdup (copy);
      found = true;
    }
  if (found)
    return;
  Pair pair = { .key = g_strdup (key), .value = g_strdup (copy) };
  g_array_append_val (option->pairs, pair);
}

void
cs_qemu_option_set_on (CsQemuOption *option, const char *key)
{
  if (option->json == NULL)
    {
      cs_qemu_option_set (option, key, "on");
      return;
    }
  json_put (option->json, key, json_object_new_boolean (true));
  refresh (option);
}

void
cs_qemu_option_remove (CsQemuOption *option, const char *key)
{
  if (option->json != NULL)
    {
      json_put (option->json, key, NULL);
      refresh (option);
      return;
    }
  g_autofree char *below = g_strconcat (key, ".", NULL);
  for (guint i = option->pairs->len; i > 0; i--)
    {
      const char *other = cs_qemu_option_key (option, i - 1);
      if (g_str_equal (other, key) || g_str_has_prefix (other, below))
        g_array_remove_index (option->pairs, i - 1);
    }
}

char *
cs_qemu_option_escape (const char *value)
{
  g_auto (GStrv) parts = g_strsplit (value, ",", -1);
  return g_strjoinv (",,", parts);
}

char *
cs_qemu_option_format (const CsQemuOption *option)
{
  if (option->json != NULL)
    return g_strdup (json_object_to_json_string_ext (
        option->json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < option->pairs->len; i++)
    {
      const Pair *pair = &g_array_index (option->pairs, Pair, i);
      g_autofree char *value = pair->value != NULL ? cs_qemu_option_escape (pair->value) : NULL;
      g_autofree char *key = cs_qemu_option_escape (pair->key);
      bool bare = pair->value == NULL || (pair->bare && i == 0);
      g_string_append_printf (text, "%s%s%s%s", i > 0 ? "," : "", pair->bare && i == 0 ? "" : key,
                              bare ? "" : "=", value != NULL ? value : "");
    }
  return g_string_free (text, FALSE);
}
