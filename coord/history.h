/* What happened between the VMs of a cluster, read from the manifests of its snapshots and from
 * what the daemons say of the VMs as they are now (docs/dependencies.md), as a CsHistory.
 *
 *   manifests --+
 *               +--> CsClusterHistory: per VM the snapshots on its present line and, from the
 *   deps.show --+    differences of their vectors, who saw what in which interval
 *
 * Pure: no daemon, no file.  What is missing or makes no sense is left out, and said (notes).
 * Theory of operation: history-read.c. */
#ifndef CS_COORD_HISTORY_H
#define CS_COORD_HISTORY_H

#include "common/json.h"
#include "coord/recovery-line.h"

typedef struct
{
  char *name;
  bool running;
  bool known;        /* its line of history is known; else it has no snapshot here */
  guint64 sequence;  /* of its present interval */
  guint n_snapshots; /* that can be used */
} CsHistoryVm;

typedef struct CsClusterHistory CsClusterHistory;

/* @names: the cluster's VMs (@n), whose order numbers them.  @manifests: array of the manifests
 * that can be read; @live: deps.show's array "vms".  Both borrowed.  Never fails. */
CsClusterHistory *cs_cluster_history_new (const char *const *names, guint n, json_object *manifests,
                                          json_object *live);
void cs_cluster_history_free (CsClusterHistory *history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsClusterHistory, cs_cluster_history_free)

const CsHistory *cs_cluster_history_graph (const CsClusterHistory *history);
guint cs_cluster_history_n_vms (const CsClusterHistory *history);
const CsHistoryVm *cs_cluster_history_vm (const CsClusterHistory *history, guint vm);
/* -1 when there is none of that name. */
int cs_cluster_history_find (const CsClusterHistory *history, const char *name);

/* The snapshot of VM @vm with that sequence number on its present line, and when it was complete
 * (as the manifest says; @created may be NULL); NULL when there is none. */
const char *cs_cluster_history_snapshot (const CsClusterHistory *history, guint vm,
                                         guint64 sequence, const char **created);
/* The latest one's sequence number, or CS_RECOVERY_LOST. */
guint64 cs_cluster_history_latest (const CsClusterHistory *history, guint vm);

/* Whence dependency @i of the graph is known, as "flows, agent"; never NULL. */
const char *cs_cluster_history_sources (const CsClusterHistory *history, guint i);

/* [i * n + j]: VM i has seen something of VM j's present interval; g_free. */
bool *cs_cluster_history_exchanged (const CsClusterHistory *history);

/* What of the manifests could not be used, a sentence each: of char *, borrowed. */
const GPtrArray *cs_cluster_history_notes (const CsClusterHistory *history);

#endif
