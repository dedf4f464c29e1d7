#include "config.h"

#include "vmm/block-graph.h"

#include "vmm/block-nodes.h"
#include "vmm/disk-private.h"

#include <string.h>

/* More than any image has layers: a cycle in a damaged reply cannot hold us. */
#define MAX_DEPTH 256

struct CsBlockGraph
{
  GHashTable *info;     /* node name -> BlockDeviceInfo, owned by nodes */
  GHashTable *ids;      /* node name -> id in the graph */
  GHashTable *vertices; /* id -> vertex of the graph, owned by graph */
  json_object *nodes;
  json_object *graph;
};

static gint64 *
id_of (json_object *object, const char *key)
{
  gint64 id = cs_member_int (object, key);
  return g_memdup2 (&id, sizeof id);
}

CsBlockGraph *
cs_block_graph_new (json_object *nodes, json_object *graph)
{
  CsBlockGraph *self = g_new0 (CsBlockGraph, 1);
  self->nodes = json_object_get (nodes);
  self->graph = json_object_get (graph);
  self->info = g_hash_table_new (g_str_hash, g_str_equal);
  self->ids = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  self->vertices = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  for (gsize i = 0; i < cs_array_length (nodes); i++)
    {
      json_object *node = json_object_array_get_idx (nodes, i);
      const char *name = cs_json_string (node, "node-name");
      if (name != NULL)
        g_hash_table_insert (self->info, (gpointer)name, node);
    }
  json_object *vertices = cs_member (graph, "nodes");
  for (gsize i = 0; i < cs_array_length (vertices); i++)
    {
      json_object *vertex = json_object_array_get_idx (vertices, i);
      const char *name = cs_json_string (vertex, "name");
      g_hash_table_insert (self->vertices, id_of (vertex, "id"), vertex);
      if (name != NULL && g_strcmp0 (cs_json_string (vertex, "type"), "block-driver") == 0)
        g_hash_table_insert (self->ids, (gpointer)name, id_of (vertex, "id"));
    }
  return self;
}

CsBlockGraph *
cs_block_graph_load (CsMonitor *monitor, GError **error)
{
  g_autoptr (CsJson) nodes = cs_block_nodes_query (monitor, error);
  g_autoptr (CsJson) graph = NULL;
  if (nodes == NULL
      || !cs_monitor_execute (monitor, "x-debug-query-block-graph", NULL, &graph, error))
    return NULL;
  return cs_block_graph_new (nodes, graph);
}

void
cs_block_graph_free (CsBlockGraph *graph)
{
  if (graph == NULL)
    return;
  g_hash_table_unref (graph->info);
  g_hash_table_unref (graph->ids);
  g_hash_table_unref (graph->vertices);
  json_object_put (graph->nodes);
  json_object_put (graph->graph);
  g_free (graph);
}

json_object *
cs_block_graph_info (const CsBlockGraph *graph, const char *node)
{
  return g_hash_table_lookup (graph->info, node);
}

/* The next edge at or after *@at whose end @key is @id; NULL after the last. */
static json_object *
next_edge (const CsBlockGraph *graph, const char *key, gint64 id, gsize *at)
{
  json_object *edges = cs_member (graph->graph, "edges");
  for (; *at < cs_array_length (edges); (*at)++)
    {
      json_object *edge = json_object_array_get_idx (edges, *at);
      if (cs_member_int (edge, key) == id)
        {
          (*at)++;
          return edge;
        }
    }
  return NULL;
}

static json_object *
vertex_of (const CsBlockGraph *graph, json_object *edge, const char *key)
{
  gint64 id = cs_member_int (edge, key);
  return g_hash_table_lookup (graph->vertices, &id);
}

const char *
cs_block_graph_child (const CsBlockGraph *graph, const char *node, const char *edge_name)
{
  const gint64 *id = g_hash_table_lookup (graph->ids, node);
  gsize at = 0;
  for (json_object *edge; id != NULL && (edge = next_edge (graph, "parent", *id, &at)) != NULL;)
    if (g_strcmp0 (cs_json_string (edge, "name"), edge_name) == 0)
      return cs_json_string (vertex_of (graph, edge, "child"), "name");
  return NULL;
}

const char *
cs_block_graph_job (const CsBlockGraph *graph, const char *node, const char *except)
{
  const gint64 *id = g_hash_table_lookup (graph->ids, node);
  gsize at = 0;
  for (json_object *edge; id != NULL && (edge = next_edge (graph, "child", *id, &at)) != NULL;)
    {
      json_object *parent = vertex_of (graph, edge, "parent");
      const char *name = cs_json_string (parent, "name");
      if (g_strcmp0 (cs_json_string (parent, "type"), "block-job") == 0 && name != NULL
          && !g_str_has_prefix (name, except))
        return name;
    }
  return NULL;
}

/* The edge to what @node filters; NULL when it is no filter. */
static const char *
filter_edge (const CsBlockGraph *graph, const char *node)
{
  static const struct
  {
    const char *driver, *edge;
  } filters[] = {
    { "throttle", "file" },        { "copy-on-read", "file" },  { "copy-before-write", "file" },
    { "mirror_top", "backing" },   { "commit_top", "backing" }, { "preallocate", "file" },
    { "snapshot-access", "file" }, { "blklogwrites", "file" },  { "blkdebug", "image" },
    { "compress", "file" },
  };
  const char *driver = cs_json_string (cs_block_graph_info (graph, node), "drv");
  for (gsize i = 0; i < G_N_ELEMENTS (filters); i++)
    if (g_strcmp0 (driver, filters[i].driver) == 0)
      return filters[i].edge;
  return NULL;
}

const char *
cs_block_graph_skip_filters (const CsBlockGraph *graph, const char *node)
{
  const char *edge;
  for (gsize n = 0; node != NULL && (edge = filter_edge (graph, node)) != NULL; n++)
    node = n < MAX_DEPTH ? cs_block_graph_child (graph, node, edge) : NULL;
  return node;
}

const char *
cs_block_graph_below (const CsBlockGraph *graph, const char *node)
{
  const char *edge = filter_edge (graph, node);
  return cs_block_graph_child (graph, node, edge != NULL ? edge : "backing");
}

const char *
cs_block_graph_protocol (const CsBlockGraph *graph, const char *node)
{
  for (gsize n = 0; n < MAX_DEPTH; n++)
    {
      const char *child = cs_block_graph_child (graph, node, "file");
      if (child == NULL)
        break;
      node = child;
    }
  return node;
}

GPtrArray *
cs_block_graph_nodes (const CsBlockGraph *graph)
{
  GPtrArray *names = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer name;
  g_hash_table_iter_init (&iter, graph->info);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    g_ptr_array_add (names, name);
  return names;
}
