/* Theory of operation
 *
 * A VM's vector (DDV) is cumulative along its line.  So what VM i saw between two of its snapshots
 * on that line, with vectors D and D', is the entries of D' that are larger than those of D: entry
 * j = x is the dependency (j, x) -> (i, y), where y is the interval that the earlier snapshot
 * begins (0 for the first).  Where snapshots between the two were deleted y is earlier than it was,
 * which changes nothing: i can only go back to snapshots that are there.  The present vector ends
 * the last interval.
 *
 * An entry that was seen again later, while j was still in interval x, is not there a second time:
 * undoing (j, x) undoes the earlier interval of i, and with it the later one.
 *
 * Snapshots on other branches than the VM's present line are not its past.  Entries that name an
 * interval of another VM that was undone there (after a rollback --only) are kept: who depends on
 * such goes back further than he would have to, never less.
 *
 * A manifest without sequence numbers is one of an older clusnap and cannot be placed; one without
 * vectors makes its VM depend on all others, up to now. */
#include "config.h"

#include "coord/history.h"

#include <string.h>

typedef struct
{
  guint64 sequence;
  char *name, *created;
  json_object *document; /* the VM's of the manifest; borrowed while the history is being made */
} Snapshot;

struct CsClusterHistory
{
  guint n;
  CsHistoryVm *vms;
  json_object **live;    /* per VM, NULL: nothing is known; borrowed while it is being made */
  GPtrArray **snapshots; /* per VM: of Snapshot, in rising order */
  guint64 **present;     /* per VM: its present vector, plus one; 0: no entry */
  CsHistory *graph;
  GPtrArray *sources; /* of char *, one per dependency of the graph */
  GPtrArray *notes;
};

static void
snapshot_free (gpointer data)
{
  Snapshot *snapshot = data;
  g_free (snapshot->name);
  g_free (snapshot->created);
  g_free (snapshot);
}

static const Snapshot *
snapshot_at (const CsClusterHistory *history, guint vm, guint i)
{
  return g_ptr_array_index (history->snapshots[vm], i);
}

static void G_GNUC_PRINTF (2, 3) note (CsClusterHistory *history, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_ptr_array_add (history->notes, g_strdup_vprintf (format, args));
  va_end (args);
}

/* ---- lines ---- */

static bool
same_branch (json_object *one, json_object *other)
{
  const char *branch = cs_json_string (one, "branch");
  return branch != NULL && g_strcmp0 (branch, cs_json_string (other, "branch")) == 0;
}

/* Whether a snapshot with number @sequence at the end of line @own lies on line @present. */
static bool
is_on_line (json_object *own, guint64 sequence, json_object *present)
{
  gsize n = own != NULL ? json_object_array_length (own) : 0;
  gsize m = present != NULL ? json_object_array_length (present) : 0;
  if (n == 0 || n > m)
    return false;
  for (gsize i = 0; i < n; i++)
    {
      json_object *one = json_object_array_get_idx (own, i);
      json_object *other = json_object_array_get_idx (present, i);
      guint64 until = cs_json_uint (other, "until", G_MAXUINT64);
      if (!same_branch (one, other))
        return false;
      if (i + 1 < n ? cs_json_uint (one, "until", G_MAXUINT64) != until : sequence > until)
        return false;
    }
  return true;
}

/* ---- snapshots ---- */

static gint
compare_snapshots (gconstpointer a, gconstpointer b)
{
  const Snapshot *one = *(Snapshot *const *)a, *other = *(Snapshot *const *)b;
  if (one->sequence != other->sequence)
    return one->sequence < other->sequence ? -1 : 1;
  return g_strcmp0 (one->created, other->created);
}

static void
add_snapshot (CsClusterHistory *history, json_object *manifest, json_object *document)
{
  const char *name = cs_json_string (manifest, "snapshot");
  int vm = cs_cluster_history_find (history, cs_json_string (document, "name"));
  guint64 sequence = cs_json_uint (document, "sequence", 0);
  if (vm < 0 || name == NULL)
    return;
  if (sequence == 0 || sequence >= CS_RECOVERY_STAYS)
    {
      note (history, "snapshot '%s' does not say which of VM '%s' it is (an older clusnap)", name,
            history->vms[vm].name);
      return;
    }
  if (!is_on_line (cs_json_array (document, "line"), sequence,
                   cs_json_array (history->live[vm], "line")))
    return;
  Snapshot *snapshot = g_new0 (Snapshot, 1);
  snapshot->sequence = sequence;
  snapshot->name = g_strdup (name);
  snapshot->created = g_strdup (cs_json_string (manifest, "created"));
  snapshot->document = document;
  g_ptr_array_add (history->snapshots[vm], snapshot);
}

/* Sorts the VM's; of two with the same number, which cannot be, one goes. */
static void
place_snapshots (CsClusterHistory *history, guint vm)
{
  GPtrArray *snapshots = history->snapshots[vm];
  g_ptr_array_sort (snapshots, compare_snapshots);
  for (guint i = snapshots->len; i > 1; i--)
    if (snapshot_at (history, vm, i - 1)->sequence == snapshot_at (history, vm, i - 2)->sequence)
      {
        note (history, "snapshots '%s' and '%s' are the same one of VM '%s': the first is left out",
              snapshot_at (history, vm, i - 2)->name, snapshot_at (history, vm, i - 1)->name,
              history->vms[vm].name);
        g_ptr_array_remove_index (snapshots, i - 2);
      }
  history->vms[vm].n_snapshots = snapshots->len;
  for (guint i = 0; i < snapshots->len; i++)
    cs_history_add_snapshot (history->graph, vm, snapshot_at (history, vm, i)->sequence);
}

/* ---- dependencies ---- */

static char *
sources_text (json_object *entry)
{
  json_object *sources = cs_json_array (entry, "sources");
  g_autoptr (GString) text = g_string_new (NULL);
  for (gsize i = 0; sources != NULL && i < json_object_array_length (sources); i++)
    {
      json_object *source = json_object_array_get_idx (sources, i);
      if (json_object_is_type (source, json_type_string))
        g_string_append_printf (text, "%s%s", text->len > 0 ? ", " : "",
                                json_object_get_string (source));
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
depend (CsClusterHistory *history, guint from, guint64 from_interval, guint to, guint64 to_interval,
        char *sources)
{
  CsDependency dependency = { from, to, from_interval, to_interval };
  cs_history_add_dependency (history->graph, &dependency);
  g_ptr_array_add (history->sources, sources);
}

/* The entries of @document that are new to @vector (which gets them) were seen in interval
 * @interval. */
static void
add_vector (CsClusterHistory *history, guint vm, guint64 interval, json_object *document,
            guint64 *vector)
{
  json_object *entries = cs_json_array (document, "dependencies");
  for (gsize i = 0; entries != NULL && i < json_object_array_length (entries); i++)
    {
      json_object *entry = json_object_array_get_idx (entries, i);
      int from = cs_cluster_history_find (history, cs_json_string (entry, "vm"));
      guint64 seen = cs_json_uint (entry, "interval", G_MAXUINT64);
      if (from < 0 || (guint)from == vm || seen == G_MAXUINT64 || vector[from] > seen)
        continue;
      vector[from] = seen + 1;
      depend (history, (guint)from, seen, vm, interval, sources_text (entry));
    }
  for (guint from = 0; entries == NULL && from < history->n; from++)
    {
      guint64 seen = history->vms[from].sequence;
      if (from == vm || vector[from] > seen)
        continue;
      vector[from] = seen + 1;
      depend (history, from, seen, vm, interval, g_strdup ("not known"));
    }
}

static void
add_dependencies (CsClusterHistory *history, guint vm)
{
  guint64 *vector = history->present[vm], interval = 0;
  for (guint i = 0; i < history->snapshots[vm]->len; i++)
    {
      const Snapshot *snapshot = snapshot_at (history, vm, i);
      add_vector (history, vm, interval, snapshot->document, vector);
      interval = snapshot->sequence;
    }
  add_vector (history, vm, interval, history->live[vm], vector);
}

/* ---- the object ---- */

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
    note (history, "the history of VM '%s' is not known to clusnapd", name);
}

static void
add_manifests (CsClusterHistory *history, json_object *manifests)
{
  gsize n = manifests != NULL ? json_object_array_length (manifests) : 0;
  for (gsize i = 0; i < n; i++)
    {
      json_object *manifest = json_object_array_get_idx (manifests, i);
      json_object *vms = cs_json_array (manifest, "vms");
      for (gsize k = 0; vms != NULL && k < json_object_array_length (vms); k++)
        add_snapshot (history, manifest, json_object_array_get_idx (vms, k));
    }
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
  add_manifests (history, manifests);
  for (guint i = 0; i < n; i++)
    place_snapshots (history, i);
  for (guint i = 0; i < n; i++)
    add_dependencies (history, i);
  for (guint i = 0; i < n; i++)
    {
      history->live[i] = NULL;
      for (guint k = 0; k < history->snapshots[i]->len; k++)
        ((Snapshot *)g_ptr_array_index (history->snapshots[i], k))->document = NULL;
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
      const Snapshot *snapshot = snapshot_at (history, vm, i);
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
  return n > 0 ? snapshot_at (history, vm, n - 1)->sequence : CS_RECOVERY_LOST;
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
