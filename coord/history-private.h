/* What history.c (the object) and history-read.c (what it is made from) share. */
#ifndef CS_COORD_HISTORY_PRIVATE_H
#define CS_COORD_HISTORY_PRIVATE_H

#include "coord/history.h"

typedef struct
{
  guint64 sequence;
  char *name, *created;
  json_object *document; /* the VM's of the manifest; borrowed while the history is being made */
} CsHistorySnapshot;

struct CsClusterHistory
{
  guint n;
  CsHistoryVm *vms;
  json_object **live;    /* per VM, NULL: nothing is known; borrowed while it is being made */
  GPtrArray **snapshots; /* per VM: of CsHistorySnapshot, in rising order */
  guint64 **present;     /* per VM: its present vector, plus one; 0: no entry */
  CsHistory *graph;
  GPtrArray *sources; /* of char *, one per dependency of the graph */
  GPtrArray *notes;
};

void cs_cluster_history_note (CsClusterHistory *history, const char *format, ...)
    G_GNUC_PRINTF (2, 3);

static inline const CsHistorySnapshot *
cs_cluster_history_snapshot_at (const CsClusterHistory *history, guint vm, guint i)
{
  return g_ptr_array_index (history->snapshots[vm], i);
}

/* Reads the snapshots on the VMs' present lines, then who saw what.  The VMs are there. */
void cs_cluster_history_read_snapshots (CsClusterHistory *history, json_object *manifests);
void cs_cluster_history_read_dependencies (CsClusterHistory *history);

#endif
