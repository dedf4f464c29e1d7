/* QEMU's block nodes and how they hang together, as they were at one moment.
 *
 * From query-named-block-nodes and x-debug-query-block-graph: only the latter names a node's
 * children and the jobs that are attached to it. */
#ifndef CS_VMM_BLOCK_GRAPH_H
#define CS_VMM_BLOCK_GRAPH_H

#include "vmm/monitor.h"

typedef struct CsBlockGraph CsBlockGraph;

CsBlockGraph *cs_block_graph_load (CsMonitor *monitor, GError **error);
/* The same from the two replies (borrowed): for tests. */
CsBlockGraph *cs_block_graph_new (json_object *nodes, json_object *graph);
void cs_block_graph_free (CsBlockGraph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsBlockGraph, cs_block_graph_free)

/* All results are borrowed from @graph; NULL where there is none. */

/* What query-named-block-nodes says of @node. */
json_object *cs_block_graph_info (const CsBlockGraph *graph, const char *node);

/* The node at the end of the edge @edge ("file", "backing", "data-file") of @node. */
const char *cs_block_graph_child (const CsBlockGraph *graph, const char *node, const char *edge);

/* A block job attached to @node whose id does not begin with @except. */
const char *cs_block_graph_job (const CsBlockGraph *graph, const char *node, const char *except);

/* The node under the filters (throttle, copy-on-read, copy-before-write, ...) above and at @node.
 */
const char *cs_block_graph_skip_filters (const CsBlockGraph *graph, const char *node);

/* The next node down the chain of images: what a filter filters, else the backing image. */
const char *cs_block_graph_below (const CsBlockGraph *graph, const char *node);

/* The node of the file (or connection) that holds the image @node. */
const char *cs_block_graph_protocol (const CsBlockGraph *graph, const char *node);

/* The names of all nodes: free the array only. */
GPtrArray *cs_block_graph_nodes (const CsBlockGraph *graph);

#endif
