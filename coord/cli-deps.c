/* clusnap deps: who depends on whom since the last snapshot. */
#include "config.h"

#include "coord/cli.h"

#include "coord/cli-dot.h"

static const CsColumn vm_columns[] = {
  { "name", "VM", CS_COLUMN_TEXT },
  { "running", "Running", CS_COLUMN_BOOL },
  { "sequence", "Sequence", CS_COLUMN_COUNT },
  { "counted", "Counted", CS_COLUMN_BOOL },
  { "problem", "Problem", CS_COLUMN_TEXT },
  { 0 },
};

static const CsColumn edge_columns[] = {
  { "from", "From", CS_COLUMN_TEXT },
  { "to", "To", CS_COLUMN_TEXT },
  { "direction", "Direction", CS_COLUMN_TEXT },
  { "sources", "Sources", CS_COLUMN_LIST },
  { "frames", "Frames", CS_COLUMN_COUNT },
  { "frames-back", "Frames back", CS_COLUMN_COUNT },
  { 0 },
};

const CsColumn cs_deps_columns[] = {
  { "cluster", "Cluster", CS_COLUMN_TEXT },
  { "vms", "VMs", CS_COLUMN_ROWS, false, vm_columns },
  { "dependencies", "Dependencies", CS_COLUMN_ROWS, false, edge_columns },
  { 0 },
};

static json_object *
find_by (json_object *array, const char *member, const char *value)
{
  for (gsize i = 0; array != NULL && i < json_object_array_length (array); i++)
    if (g_strcmp0 (cs_json_string (json_object_array_get_idx (array, i), member), value) == 0)
      return json_object_array_get_idx (array, i);
  return NULL;
}

/* What @vm came to depend on of @other since its last snapshot, or NULL. */
static json_object *
recent (json_object *vm, const char *other)
{
  json_object *one = find_by (cs_json_array (vm, "dependencies"), "vm", other);
  return cs_json_array (one, "recent") != NULL ? one : NULL;
}

static void
add_sources (json_object *to, json_object *sources)
{
  for (gsize i = 0; i < json_object_array_length (sources); i++)
    {
      json_object *source = json_object_array_get_idx (sources, i);
      bool known = false;
      for (gsize k = 0; k < json_object_array_length (to); k++)
        known = known || json_object_equal (json_object_array_get_idx (to, k), source);
      if (!known)
        json_object_array_add (to, json_object_get (source));
    }
}

/* What @from did is seen in @to (@there), and perhaps the other way round (@back, or NULL). */
static json_object *
edge_new (const char *from, const char *to, json_object *there, json_object *back)
{
  json_object *edge = json_object_new_object ();
  json_object *sources = json_object_new_array ();
  cs_json_add_string (edge, "from", from);
  cs_json_add_string (edge, "to", to);
  cs_json_add_string (edge, "direction", back != NULL ? "both" : "forward");
  add_sources (sources, cs_json_array (there, "recent"));
  if (back != NULL)
    add_sources (sources, cs_json_array (back, "recent"));
  json_object_object_add (edge, "sources", sources);
  cs_json_add_uint (edge, "frames", cs_json_uint (there, "frames", 0));
  if (back != NULL)
    cs_json_add_uint (edge, "frames-back", cs_json_uint (back, "frames", 0));
  return edge;
}

static json_object *
edges_of (json_object *vms)
{
  json_object *edges = json_object_new_array ();
  gsize n = vms != NULL ? json_object_array_length (vms) : 0;
  for (gsize i = 0; i < n; i++)
    for (gsize k = i + 1; k < n; k++)
      {
        json_object *a = json_object_array_get_idx (vms, i);
        json_object *b = json_object_array_get_idx (vms, k);
        const char *a_name = cs_json_string (a, "name"), *b_name = cs_json_string (b, "name");
        json_object *b_sees_a = a_name != NULL ? recent (b, a_name) : NULL;
        json_object *a_sees_b = b_name != NULL ? recent (a, b_name) : NULL;
        if (b_sees_a != NULL)
          json_object_array_add (edges, edge_new (a_name, b_name, b_sees_a, a_sees_b));
        else if (a_sees_b != NULL)
          json_object_array_add (edges, edge_new (b_name, a_name, a_sees_b, NULL));
      }
  return edges;
}

/* ---- the graph for Graphviz ---- */

static void
append_edge (GString *dot, json_object *edge)
{
  json_object *sources = cs_json_array (edge, "sources");
  guint64 frames = cs_json_uint (edge, "frames", 0) + cs_json_uint (edge, "frames-back", 0);
  bool both = g_strcmp0 (cs_json_string (edge, "direction"), "both") == 0;
  g_string_append (dot, "  ");
  cs_dot_append_text (dot, cs_json_string (edge, "from"));
  g_string_append (dot, " -> ");
  cs_dot_append_text (dot, cs_json_string (edge, "to"));
  g_string_append_printf (dot, " [dir=%s, label=\"", both ? "both" : "forward");
  for (gsize i = 0; i < json_object_array_length (sources); i++)
    g_string_append_printf (dot, "%s%s", i > 0 ? ", " : "",
                            json_object_get_string (json_object_array_get_idx (sources, i)));
  if (frames > 0)
    g_string_append_printf (dot, "\\n%" G_GUINT64_FORMAT " frames", frames);
  g_string_append (dot, "\"];\n");
}

static bool
print_dot (const char *cluster, json_object *vms, json_object *edges, GError **error)
{
  g_autoptr (GString) dot = g_string_new ("digraph ");
  cs_dot_append_text (dot, cluster);
  g_string_append (dot, " {\n");
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    {
      json_object *vm = json_object_array_get_idx (vms, i);
      json_object *running = NULL;
      bool runs =
          json_object_object_get_ex (vm, "running", &running) && json_object_get_boolean (running);
      g_string_append (dot, "  ");
      cs_dot_append_text (dot, cs_json_string (vm, "name"));
      g_string_append (dot, runs ? ";\n" : " [style=dashed];\n");
    }
  for (gsize i = 0; i < json_object_array_length (edges); i++)
    append_edge (dot, json_object_array_get_idx (edges, i));
  g_string_append (dot, "}\n");
  return cs_dot_print (dot, error);
}

bool
cs_cli_deps (CsCli *cli, GError **error)
{
  const char *name = cs_cli_operand (cli, 0);
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, name, error);
  if (cluster == NULL)
    return false;
  g_autofree char *store = cs_cli_store (cli, cluster);
  json_object *params = cs_cli_params (store, name, NULL);
  json_object *refs = json_object_new_array ();
  for (guint i = 0; i < cs_cluster_n_vms (cluster); i++)
    json_object_array_add (refs, cs_cluster_vm_ref (cluster, i));
  json_object_object_add (params, "vms", refs);
  g_autoptr (CsJson) answer = cs_cli_call (cli, "deps.show", params, error);
  if (answer == NULL)
    return false;
  json_object *vms = cs_json_array (answer, "vms");
  g_autoptr (CsJson) edges = edges_of (vms);
  if (cli->format == CS_FORMAT_DOT)
    return print_dot (name, vms, edges, error);
  g_autoptr (CsJson) record = json_object_new_object ();
  cs_json_add_string (record, "cluster", name);
  json_object_object_add (record, "vms", json_object_get (vms));
  json_object_object_add (record, "dependencies", json_object_get (edges));
  return cs_cli_print_record (cli, record, error);
}
