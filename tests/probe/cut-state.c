#include "config.h"

#include "tests/probe/cut-state.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "guest-agent/probe/serial.h"

#include <string.h>

#define CHECKSUM_LENGTH 10 /* " #" and eight digits */

void
cut_state_free (CutState *state)
{
  if (!state)
    return;
  g_free (state->run);
  g_free (state->first);
  g_free (state->reply);
  for (guint i = 0; i < state->disk_count; i++)
    g_free (state->disks[i].name);
  json_object_put (state->object);
  g_free (state);
}

char *
cut_line_check (const char *line)
{
  g_autofree char *text = g_strchomp (g_strdup (line));
  gsize length = strlen (text);
  if (length <= CHECKSUM_LENGTH || strncmp (text + length - CHECKSUM_LENGTH, " #", 2) != 0)
    return NULL;
  guint64 given;
  if (!g_ascii_string_to_unsigned (text + length - CHECKSUM_LENGTH + 2, 16, 0, G_MAXUINT32, &given,
                                   NULL))
    return NULL;
  text[length - CHECKSUM_LENGTH] = 0;
  if (serial_crc32 (text, length - CHECKSUM_LENGTH) != given)
    return NULL;
  return g_steal_pointer (&text);
}

/* Element @index of @array, which holds numbers. */
static guint64
number_at (json_object *array, guint index)
{
  json_object *value = array ? json_object_array_get_idx (array, index) : NULL;
  return value ? json_object_get_uint64 (value) : 0;
}

static bool
parse_peers (CutState *state, json_object *array, GError **error)
{
  for (gsize i = 0; array && i < json_object_array_length (array); i++)
    {
      json_object *object = json_object_array_get_idx (array, i);
      guint64 node = cs_json_uint (object, "node", G_MAXUINT64);
      json_object *tcp = cs_json_array (object, "tcp"), *udp = cs_json_array (object, "udp");
      json_object *connected = json_object_object_get (object, "connected");
      if (node >= state->nodes || node == state->node || !tcp || !udp || !connected)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "node %u's state has a bad peer: %s",
                       state->node, json_object_to_json_string (object));
          return false;
        }
      state->peers[node] = (CutPeer){
        .known = true,
        .tcp_sent = number_at (tcp, 0),
        .tcp_received = number_at (tcp, 1),
        .udp_sent = number_at (udp, 0),
        .udp_received = number_at (udp, 1),
        .lost = cs_json_uint (object, "lost", 0),
        .skipped = cs_json_uint (object, "skipped", 0),
        .resets = cs_json_uint (object, "resets", 0),
        .connected = json_object_get_boolean (connected),
      };
    }
  return true;
}

static void
parse_disks (CutState *state, json_object *array)
{
  gsize count = array ? json_object_array_length (array) : 0;
  state->disk_count = (guint)MIN (count, CUT_DISKS_MAX);
  for (guint i = 0; i < state->disk_count; i++)
    {
      json_object *object = json_object_array_get_idx (array, i);
      state->disks[i] = (CutDisk){
        .name = g_strdup (cs_json_string (object, "name")),
        .direct = cs_json_uint (object, "direct", 0),
        .buffered = cs_json_uint (object, "buffered", 0),
        .durable = cs_json_uint (object, "durable", 0),
      };
    }
}

CutState *
cut_state_parse (json_object *object, GError **error)
{
  g_autoptr (CutState) state = g_new0 (CutState, 1);
  guint64 node = cs_json_uint (object, "node", G_MAXUINT64);
  guint64 nodes = cs_json_uint (object, "nodes", 0);
  const char *run = cs_json_string (object, "run");
  json_object *clock = cs_json_array (object, "clock");
  if (nodes > CUT_NODES_MAX || node >= nodes || !run || !clock)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "no state of a cut probe: %s",
                   json_object_to_json_string (object));
      return NULL;
    }
  state->object = json_object_get (object);
  state->node = (guint)node;
  state->nodes = (guint)nodes;
  state->run = g_strdup (run);
  state->uptime = cs_json_uint (object, "uptime", 0);
  state->violations = cs_json_uint (object, "violations", G_MAXUINT64);
  state->first = g_strdup (cs_json_string (object, "first"));
  state->reply = g_strdup (cs_json_string (object, "reply"));
  state->table_updates = cs_json_uint (cs_json_member_object (object, "table"), "updates", 0);
  for (guint i = 0; i < state->nodes; i++)
    state->clock[i] = number_at (clock, i);
  parse_disks (state, cs_json_array (object, "disks"));
  if (!parse_peers (state, cs_json_array (object, "peers"), error))
    return NULL;
  return g_steal_pointer (&state);
}

bool
cut_states_save (GPtrArray *states, const char *path, GError **error)
{
  g_autoptr (CsJson) array = json_object_new_array ();
  for (guint i = 0; i < states->len; i++)
    {
      CutState *state = g_ptr_array_index (states, i);
      json_object_array_add (array, json_object_get (state->object));
    }
  const char *text = json_object_to_json_string (array);
  return cs_file_commit (path, text, strlen (text), true, error);
}

GPtrArray *
cut_states_load (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GPtrArray) states = g_ptr_array_new_with_free_func ((GDestroyNotify)cut_state_free);
  if (!g_file_get_contents (path, &text, NULL, error))
    return NULL;
  g_autoptr (CsJson) array = json_tokener_parse (text);
  if (!json_object_is_type (array, json_type_array))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "'%s' is no file of states", path);
      return NULL;
    }
  for (gsize i = 0; i < json_object_array_length (array); i++)
    {
      CutState *state = cut_state_parse (json_object_array_get_idx (array, i), error);
      if (!state)
        {
          g_prefix_error (error, "'%s': ", path);
          return NULL;
        }
      g_ptr_array_add (states, state);
    }
  return g_steal_pointer (&states);
}
