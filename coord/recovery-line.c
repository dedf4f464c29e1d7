/* Theory of operation
 *
 * Interval x of VM i is undone when i goes back to a snapshot with a number of at most x.  Two
 * rules spread that over the rollback-dependency graph, whose nodes are intervals:
 *
 *   1. going back to snapshot s undoes every interval from s on (a VM's intervals follow each
 * other);
 *   2. a dependency (i, x) -> (j, y) whose source is undone undoes its target.
 *
 * The recovery line is what is reachable from the failed VMs' last intervals: j goes back to the
 * beginning of its earliest interval that is reached, and a VM of which none is reached stays. This
 * is the maximum of all consistent lines: each step is forced, and the consistent lines form a
 * lattice (componentwise maxima of consistent lines are consistent).  Where the snapshot at the
 * beginning of the earliest undone interval is gone, the VM goes further back to the latest one
 * that is there, which undoes more of its intervals: rule 1 again.
 *
 * The reachability form with intervals and direct dependencies is that of Badrinath, Morin and
 * Vallee, "Checkpointing and Recovery of Shared Memory Parallel Applications in a Cluster" (CCGrid
 * 2003) and, for the rollback-dependency graph itself, Y.-M. Wang, "Consistent Global Checkpoints
 * that Contain a Given Set of Local Checkpoints" (IEEE Trans. Computers 46(4), 1997); the domino
 * effect is Randell's (1975).
 *
 * Each VM's dependencies are sorted by source interval, latest first, so that lowering its line
 * only looks at those that have become undone: each is looked at once.
 */
#include "config.h"

#include "coord/recovery-line.h"

#include <stdlib.h>

struct CsHistory
{
  guint n;
  GArray **snapshots;   /* per VM: guint64 in rising order */
  GArray *dependencies; /* of CsDependency */
};

CsHistory *
cs_history_new (guint n)
{
  CsHistory *history = g_new0 (CsHistory, 1);
  history->n = n;
  history->snapshots = g_new0 (GArray *, n + 1);
  for (guint i = 0; i < n; i++)
    history->snapshots[i] = g_array_new (FALSE, FALSE, sizeof (guint64));
  history->dependencies = g_array_new (FALSE, FALSE, sizeof (CsDependency));
  return history;
}

void
cs_history_free (CsHistory *history)
{
  if (history == NULL)
    return;
  for (guint i = 0; i < history->n; i++)
    g_array_unref (history->snapshots[i]);
  g_free (history->snapshots);
  g_array_unref (history->dependencies);
  g_free (history);
}

static guint64
snapshot_at (const CsHistory *history, guint vm, guint i)
{
  return g_array_index (history->snapshots[vm], guint64, i);
}

void
cs_history_add_snapshot (CsHistory *history, guint vm, guint64 sequence)
{
  g_return_if_fail (vm < history->n && sequence > 0 && sequence < CS_RECOVERY_STAYS);
  const GArray *snapshots = history->snapshots[vm];
  g_return_if_fail (snapshots->len == 0
                    || snapshot_at (history, vm, snapshots->len - 1) < sequence);
  g_array_append_val (history->snapshots[vm], sequence);
}

void
cs_history_add_dependency (CsHistory *history, const CsDependency *dependency)
{
  g_return_if_fail (dependency->from < history->n && dependency->to < history->n);
  if (dependency->from != dependency->to)
    g_array_append_vals (history->dependencies, dependency, 1);
}

const CsDependency *
cs_history_dependency (const CsHistory *history, guint i)
{
  return &g_array_index (history->dependencies, CsDependency, i);
}

/* The latest snapshot of @vm with a number of at most @limit, or LOST. */
static guint64
snapshot_at_most (const CsHistory *history, guint vm, guint64 limit)
{
  guint low = 0, high = history->snapshots[vm]->len;
  while (low < high)
    {
      guint middle = low + (high - low) / 2;
      if (snapshot_at (history, vm, middle) <= limit)
        low = middle + 1;
      else
        high = middle;
    }
  return low > 0 ? snapshot_at (history, vm, low - 1) : CS_RECOVERY_LOST;
}

/* ---- the search ---- */

/* Numbers of dependencies: those of VM i are order[first[i]] ... order[first[i + 1] - 1], by source
 * interval, latest first. */
typedef struct
{
  const CsHistory *history;
  guint *order;
  guint *first;
  guint *next;   /* per VM: how far its dependencies were looked at */
  GQueue queue;  /* of VM numbers: their line was lowered */
  bool *waiting; /* per VM: in the queue */
  CsRecoveryLine *line;
} Search;

static gint
compare_sources (gconstpointer a, gconstpointer b, gpointer data)
{
  const CsHistory *history = data;
  const CsDependency *one = cs_history_dependency (history, *(const guint *)a);
  const CsDependency *two = cs_history_dependency (history, *(const guint *)b);
  if (one->from != two->from)
    return one->from < two->from ? -1 : 1;
  if (one->from_interval != two->from_interval)
    return one->from_interval > two->from_interval ? -1 : 1;
  return 0;
}

static void
search_init (Search *search, const CsHistory *history, CsRecoveryLine *line)
{
  guint n = history->n, d = history->dependencies->len;
  *search = (Search){ .history = history, .line = line, .queue = G_QUEUE_INIT };
  search->order = g_new (guint, d + 1);
  search->first = g_new0 (guint, n + 2);
  search->next = g_new (guint, n + 1);
  search->waiting = g_new0 (bool, n + 1);
  for (guint i = 0; i < d; i++)
    {
      search->order[i] = i;
      search->first[cs_history_dependency (history, i)->from + 1]++;
    }
  for (guint i = 0; i < n; i++)
    search->first[i + 1] += search->first[i];
  for (guint i = 0; i < n; i++)
    search->next[i] = search->first[i];
  g_qsort_with_data (search->order, (gint)d, sizeof (guint), compare_sources, (gpointer)history);
}

static void
search_clear (Search *search)
{
  g_free (search->order);
  g_free (search->first);
  g_free (search->next);
  g_free (search->waiting);
  g_queue_clear (&search->queue);
}

/* Interval @interval of @vm is undone. */
static void
undo_interval (Search *search, guint vm, guint64 interval, CsRecoveryReason reason,
               guint dependency)
{
  CsRecoveryMember *member = &search->line->members[vm];
  if (member->position <= interval)
    return;
  member->position = snapshot_at_most (search->history, vm, interval);
  if (member->reason != CS_RECOVERY_FAILED)
    member->reason = reason;
  member->dependency = dependency;
  if (!search->waiting[vm])
    g_queue_push_tail (&search->queue, GUINT_TO_POINTER (vm));
  search->waiting[vm] = true;
}

/* Follows the dependencies of @vm whose source has become undone. */
static void
follow (Search *search, guint vm)
{
  guint64 position = search->line->members[vm].position;
  for (guint end = search->first[vm + 1]; search->next[vm] < end; search->next[vm]++)
    {
      guint number = search->order[search->next[vm]];
      const CsDependency *dependency = cs_history_dependency (search->history, number);
      if (dependency->from_interval < position)
        break;
      undo_interval (search, dependency->to, dependency->to_interval, CS_RECOVERY_DEPENDENT,
                     number);
    }
}

CsRecoveryLine *
cs_recovery_line (const CsHistory *history, const guint *failed, guint n_failed)
{
  CsRecoveryLine *line = g_new0 (CsRecoveryLine, 1);
  line->n = history->n;
  line->members = g_new0 (CsRecoveryMember, history->n + 1);
  for (guint i = 0; i < history->n; i++)
    {
      line->members[i].position = CS_RECOVERY_STAYS;
      line->members[i].dependency = CS_RECOVERY_NO_DEPENDENCY;
    }
  Search search;
  search_init (&search, history, line);
  for (guint i = 0; i < n_failed; i++)
    {
      g_return_val_if_fail (failed[i] < history->n, line);
      line->members[failed[i]].reason = CS_RECOVERY_FAILED;
      undo_interval (&search, failed[i], CS_RECOVERY_STAYS - 1, CS_RECOVERY_FAILED,
                     CS_RECOVERY_NO_DEPENDENCY);
    }
  while (!g_queue_is_empty (&search.queue))
    {
      guint vm = GPOINTER_TO_UINT (g_queue_pop_head (&search.queue));
      search.waiting[vm] = false;
      follow (&search, vm);
    }
  search_clear (&search);
  return line;
}

void
cs_recovery_line_free (CsRecoveryLine *line)
{
  if (line == NULL)
    return;
  g_free (line->members);
  g_free (line);
}

bool
cs_history_is_consistent (const CsHistory *history, const guint64 *positions)
{
  for (guint i = 0; i < history->dependencies->len; i++)
    {
      const CsDependency *dependency = cs_history_dependency (history, i);
      bool undone = dependency->from_interval >= positions[dependency->from];
      bool kept = dependency->to_interval < positions[dependency->to];
      if (undone && kept)
        return false;
    }
  return true;
}

/* How many snapshots of @vm are later than @position. */
static guint
snapshots_lost (const CsHistory *history, guint vm, guint64 position)
{
  guint lost = 0;
  for (guint i = history->snapshots[vm]->len; i > 0; i--)
    lost += snapshot_at (history, vm, i - 1) > position;
  return lost;
}

void
cs_history_domino (const CsHistory *history, guint vm, guint *others, guint *depth)
{
  g_autoptr (CsRecoveryLine) line = cs_recovery_line (history, &vm, 1);
  *others = *depth = 0;
  for (guint i = 0; i < line->n; i++)
    {
      if (line->members[i].position == CS_RECOVERY_STAYS)
        continue;
      *others += i != vm;
      *depth = MAX (*depth, snapshots_lost (history, i, line->members[i].position));
    }
}
