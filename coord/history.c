#include "config.h"

#include "coord/history-private.h"

static void
snapshot_free (gpointer data)
{
  CsHistorySnapshot *snapshot = data;
  g_free (snapshot->name);
  g_free (snapshot->created);
  g_free (snapshot);
}

void
cs_cluster_history_note (CsClusterHistory *history, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_ptr_array_add (history->notes, g_strdup_vprintf (format, args));
  va_end (args);
}

static void
add_vm (CsClusterHistory *history, guint vm, const char *name, json_object *live)
{
  json_object *own = live != NULL ? cs_json_find_named (live, name) : NULL;
  json_object *running = NULL;
  CsHistoryVm *one = &history->vms[vm];
  history->live[vm] = own;
  one->name = g_strdup (name);
  one->running = own != NULL && json_object_object_get_ex (own, "running", &running)
                 && json_object_get_boolean (running);
  one->known = cs_json_array (own, "line") != NULL;
  one->sequence = MIN (cs_json_uint (own, "sequence", 0), CS_RECOVERY_STAYS - 1);
  history->snapshots[vm] = g_ptr_array_new_with_free_func (snapshot_free);
  history->present[vm] = g_new0 (guint64, history->n + 1);
  if (!one->known)
    cs_cluster_history_note (history, "the history of VM '%s' is not known to clusnapd", name);
}

CsClusterHistory *
cs_cluster_history_new (const char *const *names, guint n, json_object *manifests,
                        json_object *live)
{
  CsClusterHistory *history = g_new0 (CsClusterHistory, 1);
  history->n = n;
  history->vms = g_new0 (CsHistoryVm, n + 1);
  history->live = g_new0 (json_object *, n + 1);
  history->snapshots = g_new0 (GPtrArray *, n + 1);
  history->present = g_new0 (guint64 *, n + 1);
  history->graph = cs_history_new (n);
  history->sources = g_ptr_array_new_with_free_func (g_free);
  history->notes = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < n; i++)
    add_vm (history, i, names[i], live);
  cs_cluster_history_read_snapshots (history, manifests);
  cs_cluster_history_read_dependencies (history);
  for (guint i = 0; i < n; i++)
    {
      history->live[i] = NULL;
      for (guint k = 0; k < history->snapshots[i]->len; k++)
        ((CsHistorySnapshot *)g_ptr_array_index (history->snapshots[i], k))->document = NULL;
    }
  return history;
}

void
cs_cluster_history_free (CsClusterHistory *history)
{
  if (history == NULL)
    return;
  for (guint i = 0; i < history->n; i++)
    {
      g_free (history->vms[i].name);
      g_ptr_array_unref (history->snapshots[i]);
      g_free (history->present[i]);
    }
  g_free (history->vms);
  g_free (history->live);
  g_free (history->snapshots);
  g_free (history->present);
  cs_history_free (history->graph);
  g_ptr_array_unref (history->sources);
  g_ptr_array_unref (history->notes);
  g_free (history);
}

const CsHistory *
cs_cluster_history_graph (const CsClusterHistory *history)
{
  return history->graph;
}

guint
cs_cluster_history_n_vms (const CsClusterHistory *history)
{
  return history->n;
}

const CsHistoryVm *
cs_cluster_history_vm (const CsClusterHistory *history, guint vm)
{
  g_assert (vm < history->n);
  return &history->vms[vm];
}

int
cs_cluster_history_find (const CsClusterHistory *history, const char *name)
{
  for (guint i = 0; name != NULL && i < history->n; i++)
    if (g_strcmp0 (history->vms[i].name, name) == 0)
      return (int)i;
  return -1;
}

const char *
cs_cluster_history_snapshot (const CsClusterHistory *history, guint vm, guint64 sequence,
                             const char **created)
{
  for (guint i = 0; i < history->snapshots[vm]->len; i++)
    {
      const CsHistorySnapshot *snapshot = cs_cluster_history_snapshot_at (history, vm, i);
      if (snapshot->sequence != sequence)
        continue;
      if (created != NULL)
        *created = snapshot->created;
      return snapshot->name;
    }
  return NULL;
}

guint64
cs_cluster_history_latest (const CsClusterHistory *history, guint vm)
{
  guint n = history->snapshots[vm]->len;
  return n > 0 ? cs_cluster_history_snapshot_at (history, vm, n - 1)->sequence : CS_RECOVERY_LOST;
}

const char *
cs_cluster_history_sources (const CsClusterHistory *history, guint i)
{
  return g_ptr_array_index (history->sources, i);
}

bool *
cs_cluster_history_exchanged (const CsClusterHistory *history)
{
  guint n = history->n;
  bool *exchanged = g_new0 (bool, n *n + 1);
  for (guint i = 0; i < n; i++)
    for (guint j = 0; j < n; j++)
      exchanged[i * n + j] = i != j && history->present[i][j] > history->vms[j].sequence;
  return exchanged;
}

const GPtrArray *
cs_cluster_history_notes (const CsClusterHistory *history)
{
  return history->notes;
}
