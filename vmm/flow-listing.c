#include "config.h"

#include "vmm/flow-listing.h"

#include "common/error.h"
#include "common/json.h"

#include <string.h>

enum
{
  MAX_DEPTH = 32,
};

bool
cs_mac_parse (const char *text, guint64 *mac)
{
  guint64 value = 0;
  if (text == NULL || strlen (text) != 17)
    return false;
  for (guint i = 0; i < 17; i++)
    {
      int digit = g_ascii_xdigit_value (text[i]);
      if (i % 3 == 2 ? text[i] != ':' : digit < 0)
        return false;
      if (i % 3 != 2)
        value = value << 4 | (guint64)digit;
    }
  *mac = value;
  return true;
}

static void
set_free (gpointer data)
{
  CsFlowSet *set = data;
  g_free (set->name);
  g_array_unref (set->flows);
  g_free (set);
}

/* {"elem": {"val": {"concat": [MAC, MAC]}, "counter": {"packets": n, "bytes": n}}} */
static bool
parse_flow (json_object *element, GArray *flows)
{
  CsFlow flow;
  json_object *object = cs_json_member_object (element, "elem");
  json_object *pair = cs_json_array (cs_json_member_object (object, "val"), "concat");
  json_object *counter = cs_json_member_object (object, "counter");
  if (pair == NULL || json_object_array_length (pair) != 2 || counter == NULL)
    return false;
  json_object *source = json_object_array_get_idx (pair, 0);
  json_object *destination = json_object_array_get_idx (pair, 1);
  flow.frames = cs_json_uint (counter, "packets", G_MAXUINT64);
  if (!json_object_is_type (source, json_type_string)
      || !json_object_is_type (destination, json_type_string)
      || !cs_mac_parse (json_object_get_string (source), &flow.source)
      || !cs_mac_parse (json_object_get_string (destination), &flow.destination)
      || flow.frames == G_MAXUINT64)
    return false;
  g_array_append_val (flows, flow);
  return true;
}

static bool
parse_set (json_object *object, GPtrArray *sets)
{
  CsFlowSet *set = g_new0 (CsFlowSet, 1);
  json_object *elements = cs_json_array (object, "elem");
  gsize n = elements != NULL ? json_object_array_length (elements) : 0;
  set->name = g_strdup (cs_json_string (object, "name"));
  set->handle = cs_json_uint (object, "handle", 0);
  set->size = cs_json_uint (object, "size", 0);
  set->flows = g_array_new (FALSE, FALSE, sizeof (CsFlow));
  g_ptr_array_add (sets, set);
  for (gsize i = 0; i < n; i++)
    if (!parse_flow (json_object_array_get_idx (elements, i), set->flows))
      return false;
  return set->name != NULL && set->handle != 0 && set->size != 0;
}

static bool
parse_items (json_object *items, GPtrArray *sets, GHashTable *chains)
{
  for (gsize i = 0; i < json_object_array_length (items); i++)
    {
      json_object *item = json_object_array_get_idx (items, i);
      json_object *set = cs_json_member_object (item, "set");
      const char *chain = cs_json_string (cs_json_member_object (item, "chain"), "name");
      if (set != NULL && !parse_set (set, sets))
        return false;
      if (chain != NULL)
        g_hash_table_add (chains, g_strdup (chain));
    }
  return true;
}

static json_object *
parse_text (const char *text)
{
  json_tokener *tokener = json_tokener_new_ex (MAX_DEPTH);
  json_object *object = json_tokener_parse_ex (tokener, text, -1);
  json_tokener_free (tokener);
  return object;
}

GPtrArray *
cs_flow_listing_parse (const char *text, GError **error)
{
  g_autoptr (CsJson) listing = parse_text (text);
  g_autoptr (GPtrArray) sets = g_ptr_array_new_with_free_func (set_free);
  g_autoptr (GHashTable) chains = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  json_object *items = cs_json_array (listing, "nftables");
  if (items == NULL || !parse_items (items, sets, chains))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                   "nftables lists flows in a way that is not known");
      return NULL;
    }
  for (guint i = 0; i < sets->len; i++)
    {
      CsFlowSet *set = g_ptr_array_index (sets, i);
      set->has_chain = g_hash_table_contains (chains, set->name);
    }
  return g_steal_pointer (&sets);
}

const CsFlowSet *
cs_flow_listing_find (const GPtrArray *sets, const char *name)
{
  for (guint i = 0; sets != NULL && i < sets->len; i++)
    if (strcmp (((CsFlowSet *)g_ptr_array_index (sets, i))->name, name) == 0)
      return g_ptr_array_index (sets, i);
  return NULL;
}

bool
cs_flow_set_is_full (const CsFlowSet *set)
{
  return set->flows->len >= set->size;
}
