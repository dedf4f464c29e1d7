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

#include "coord/history-private.h"

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
  const CsHistorySnapshot *one = *(CsHistorySnapshot *const *)a,
                          *other = *(CsHistorySnapshot *const *)b;
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
      cs_cluster_history_note (
          history, "snapshot '%s' does not say which of VM '%s' it is (an older clusnap)", name,
          history->vms[vm].name);
      return;
    }
  if (!is_on_line (cs_json_array (document, "line"), sequence,
                   cs_json_array (history->live[vm], "line")))
    return;
  CsHistorySnapshot *snapshot = g_new0 (CsHistorySnapshot, 1);
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
    if (cs_cluster_history_snapshot_at (history, vm, i - 1)->sequence
        == cs_cluster_history_snapshot_at (history, vm, i - 2)->sequence)
      {
        cs_cluster_history_note (
            history, "snapshots '%s' and '%s' are the same one of VM '%s': the first is left out",
            cs_cluster_history_snapshot_at (history, vm, i - 2)->name,
            cs_cluster_history_snapshot_at (history, vm, i - 1)->name, history->vms[vm].name);
        g_ptr_array_remove_index (snapshots, i - 2);
      }
  history->vms[vm].n_snapshots = snapshots->len;
  for (guint i = 0; i < snapshots->len; i++)
    cs_history_add_snapshot (history->graph, vm,
                             cs_cluster_history_snapshot_at (history, vm, i)->sequence);
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
      const CsHistorySnapshot *snapshot = cs_cluster_history_snapshot_at (history, vm, i);
      add_vector (history, vm, interval, snapshot->document, vector);
      interval = snapshot->sequence;
    }
  add_vector (history, vm, interval, history->live[vm], vector);
}

void
cs_cluster_history_read_snapshots (CsClusterHistory *history, json_object *manifests)
{
  gsize n = manifests != NULL ? json_object_array_length (manifests) : 0;
  for (gsize i = 0; i < n; i++)
    {
      json_object *manifest = json_object_array_get_idx (manifests, i);
      json_object *vms = cs_json_array (manifest, "vms");
      for (gsize k = 0; vms != NULL && k < json_object_array_length (vms); k++)
        add_snapshot (history, manifest, json_object_array_get_idx (vms, k));
    }
  for (guint i = 0; i < history->n; i++)
    place_snapshots (history, i);
}

void
cs_cluster_history_read_dependencies (CsClusterHistory *history)
{
  for (guint i = 0; i < history->n; i++)
    add_dependencies (history, i);
}
