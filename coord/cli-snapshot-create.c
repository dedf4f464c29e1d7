/* clusnap snapshot create
 *
 * The policy of the cluster says which VMs share a barrier; each such set is a snapshot of its own,
 * a job of its own, taken one after the other.  A set that fails does not hide what the others did:
 * they are taken all the same, and all of them are reported. */
#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "common/fault.h"
#include "coord/cli-choose.h"
#include "coord/cli-history.h"
#include "coord/cli-progress.h"
#include "coord/duration.h"
#include "coord/name.h"
#include "coord/policy.h"
#include "coord/snapshot-job.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static const CsColumn set_columns[] = {
  { "snapshot", "Snapshot", CS_COLUMN_TEXT },   { "only", "VMs", CS_COLUMN_LIST },
  { "pause", "Pause", CS_COLUMN_TIME },         { "cluster-pause", "Pause (all)", CS_COLUMN_TIME },
  { "bytes-stored", "Stored", CS_COLUMN_SIZE }, { "total", "Time to durable", CS_COLUMN_TIME },
  { "message", "Problem", CS_COLUMN_TEXT },     { 0 },
};

static const CsColumn domino_columns[] = {
  { "name", "If it failed", CS_COLUMN_TEXT },
  { "others", "VMs back with it", CS_COLUMN_COUNT },
  { "depth", "Snapshots lost (most)", CS_COLUMN_COUNT },
  { 0 },
};

static const CsColumn vm_columns[] = {
  { "name", "VM", CS_COLUMN_TEXT },
  { "incremental", "Incremental", CS_COLUMN_BOOL },
  { "pause", "Pause", CS_COLUMN_TIME },
  { "pages", "Pages in pause", CS_COLUMN_COUNT },
  { "pages-captured", "Pages", CS_COLUMN_COUNT },
  { "bytes-captured", "Captured", CS_COLUMN_SIZE },
  { "disk-bytes", "Disk", CS_COLUMN_SIZE },
  { "bytes-stored", "Stored", CS_COLUMN_SIZE },
  { 0 },
};

const CsColumn cs_snapshot_create_columns[] = {
  { "cluster", "Cluster", CS_COLUMN_TEXT },
  { "snapshot", "Snapshot", CS_COLUMN_TEXT },
  { "policy", "Policy", CS_COLUMN_TEXT },
  { "only", "Only", CS_COLUMN_LIST },
  { "pause", "Pause (longest VM)", CS_COLUMN_TIME },
  { "cluster-pause", "Pause (cluster)", CS_COLUMN_TIME },
  { "skew", "Skew", CS_COLUMN_TIME },
  { "pages-captured", "Pages captured", CS_COLUMN_COUNT },
  { "bytes-captured", "Bytes captured", CS_COLUMN_SIZE },
  { "pages-zero", "Pages zero", CS_COLUMN_COUNT, true },
  { "pages-shared", "Pages shared", CS_COLUMN_COUNT, true },
  { "pages-stored", "Pages stored", CS_COLUMN_COUNT, true },
  { "disk-bytes", "Disk bytes", CS_COLUMN_SIZE, true },
  { "bytes-stored", "Bytes stored", CS_COLUMN_SIZE },
  { "dedup-ratio", "Dedup ratio", CS_COLUMN_RATIO },
  { "compression-ratio", "Compression ratio", CS_COLUMN_RATIO },
  { "total", "Time to durable", CS_COLUMN_TIME },
  { "vms", "VMs", CS_COLUMN_ROWS, false, vm_columns },
  { "snapshots", "Snapshots", CS_COLUMN_ROWS, false, set_columns },
  { "domino", "Domino effect", CS_COLUMN_ROWS, false, domino_columns },
  { 0 },
};

typedef struct
{
  CsCli *cli;
  CsCluster *cluster;
  const CsPolicy *policy;
  char *store;
  char *name; /* of the snapshot, or what those of several sets begin with */
  guint64 deadline, stagger;
  CsCliHistory *history; /* or NULL: the policy does not need it, or the daemon cannot tell */
  CsPolicyPlan *plan;
} Creation;

static void
clear_creation (Creation *creation)
{
  g_clear_pointer (&creation->cluster, cs_cluster_free);
  g_clear_pointer (&creation->history, cs_cli_history_free);
  g_clear_pointer (&creation->plan, cs_policy_plan_free);
  g_clear_pointer (&creation->store, g_free);
  g_clear_pointer (&creation->name, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Creation, clear_creation)

static void
on_stage (CsStage stage, void *data)
{
  cs_progress_stage (data, stage, CS_N_STAGES, cs_stage_name (stage), cs_stage_sentence (stage));
}

static bool
on_answered (CsStage stage, void *data, GError **error)
{
  return cs_fault_point (cs_stage_name (stage), error);
}

/* The number of "s5" and of "s5.2", or 0. */
static guint64
number_of (const char *name)
{
  guint64 number = 0;
  if (name == NULL || name[0] != 's')
    return 0;
  g_autofree char *digits = g_strndup (name + 1, strspn (name + 1, "0123456789"));
  const char *rest = name + 1 + strlen (digits);
  return (*rest == '\0' || *rest == '.')
                 && g_ascii_string_to_unsigned (digits, 10, 1, G_MAXINT64, &number, NULL)
             ? number
             : 0;
}

/* "s" and one more than the highest such number in the store. */
static char *
next_name (CsCli *cli, const char *store, const char *cluster, GError **error)
{
  g_autoptr (CsJson) snapshots = cs_cli_snapshots (cli, store, cluster, error);
  if (snapshots == NULL)
    return NULL;
  guint64 highest = 0;
  for (gsize i = 0; i < json_object_array_length (snapshots); i++)
    {
      const char *name = cs_json_string (json_object_array_get_idx (snapshots, i), "snapshot");
      highest = MAX (highest, number_of (name));
    }
  return g_strdup_printf ("s%" G_GUINT64_FORMAT, highest + 1);
}

/* ---- one set ---- */

static json_object *
names_of (const Creation *creation, const GArray *set)
{
  json_object *names = json_object_new_array ();
  for (guint i = 0; i < set->len; i++)
    json_object_array_add (
        names, json_object_new_string (
                   cs_cluster_vm (creation->cluster, g_array_index (set, guint, i))->name));
  return names;
}

static json_object *
coordinator_of (const Creation *creation)
{
  json_object *coordinator = json_object_new_object ();
  json_object_object_add (coordinator, "cluster", cs_cluster_to_json (creation->cluster));
  return coordinator;
}

static json_object *
run_job (const Creation *creation, const GArray *set, const char *snapshot, GError **error)
{
  CsCli *cli = creation->cli;
  g_autoptr (CsProgress) progress = cs_progress_new (cli->progress);
  CsSnapshotObserver observer = { on_stage, cs_progress_event, on_answered, progress };
  g_autoptr (CsSnapshotJob) job =
      cs_snapshot_job_new (creation->store, cs_cluster_name (creation->cluster), snapshot,
                           creation->deadline, cli->interrupt_fd, &observer);
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < set->len; i++)
    json_object_array_add (vms,
                           cs_cluster_vm_ref (creation->cluster, g_array_index (set, guint, i)));
  cs_snapshot_job_set_cluster_vms (job, cs_cluster_vm_refs (creation->cluster));
  cs_snapshot_job_add_host (job, cli->rpc, vms);
  cs_snapshot_job_set_manifest (job, coordinator_of (creation));
  json_object *report = cs_snapshot_job_run (job, error);
  if (report != NULL && set->len < cs_cluster_n_vms (creation->cluster))
    json_object_object_add (report, "only", names_of (creation, set));
  return report;
}

/* ---- several sets ---- */

static bool
wait_stagger (const Creation *creation, GError **error)
{
  struct pollfd interrupt = { .fd = creation->cli->interrupt_fd, .events = POLLIN };
  gint64 end = g_get_monotonic_time () + (gint64)creation->stagger, left;
  while ((left = end - g_get_monotonic_time ()) > 0)
    {
      int ready = poll (&interrupt, 1, (int)((left + 999) / 1000));
      if (ready < 0 && errno != EINTR)
        return cs_error_set_errno (error, errno, "cannot wait");
      if (ready <= 0)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "interrupted between two snapshots");
      return false;
    }
  return true;
}

/* Adds to @sums what @report has: times are the longest, the rest is added up. */
static void
add_totals (json_object *sums, json_object *report)
{
  static const char *const longest[] = { "pause", "cluster-pause", "skew" };
  static const char *const summed[] = { "pages-captured", "bytes-captured", "pages-zero",
                                        "pages-shared",   "pages-stored",   "disk-bytes",
                                        "bytes-stored",   "total" };
  for (gsize i = 0; i < G_N_ELEMENTS (longest); i++)
    cs_json_add_uint (
        sums, longest[i],
        MAX (cs_json_uint (sums, longest[i], 0), cs_json_uint (report, longest[i], 0)));
  for (gsize i = 0; i < G_N_ELEMENTS (summed); i++)
    cs_json_add_uint (sums, summed[i],
                      cs_json_uint (sums, summed[i], 0) + cs_json_uint (report, summed[i], 0));
  json_object *vms = cs_json_array (report, "vms");
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    json_object_array_add (cs_json_array (sums, "vms"),
                           json_object_get (json_object_array_get_idx (vms, i)));
}

/* The row of set @i; false with @error when the others are not to be tried. */
static bool
take_set (const Creation *creation, guint i, json_object *sums, guint *failed, GError **first)
{
  const GArray *set = g_ptr_array_index (creation->plan->sets, i);
  g_autoptr (GError) own = NULL;
  g_autofree char *snapshot = g_strdup_printf ("%s.%u", creation->name, i + 1);
  json_object *row = json_object_new_object ();
  json_object_array_add (cs_json_array (sums, "snapshots"), row);
  cs_json_add_string (row, "snapshot", snapshot);
  json_object_object_add (row, "only", names_of (creation, set));
  g_autoptr (CsJson) report =
      (i == 0 || wait_stagger (creation, &own)) ? run_job (creation, set, snapshot, &own) : NULL;
  if (report != NULL)
    {
      cs_json_merge (row, report);
      json_object_object_del (row, "vms");
      add_totals (sums, report);
      return true;
    }
  bool cancelled = g_error_matches (own, CS_ERROR, CS_ERROR_CANCELLED);
  bool gone = cs_rpc_is_broken (creation->cli->rpc);
  cs_json_add_string (row, "message", own->message);
  *failed += 1;
  if (*first == NULL)
    *first = g_steal_pointer (&own);
  return !cancelled && !gone;
}

/* False with @error when a set failed; @sums says which. */
static bool
take_sets (const Creation *creation, json_object *sums, GError **error)
{
  guint n = creation->plan->sets->len, failed = 0, taken = 0;
  GError *first = NULL;
  json_object_object_add (sums, "vms", json_object_new_array ());
  json_object_object_add (sums, "snapshots", json_object_new_array ());
  while (taken < n && take_set (creation, taken, sums, &failed, &first))
    taken++;
  if (first == NULL)
    return true;
  g_propagate_prefixed_error (error, first, "%u of %u snapshots were not taken: ",
                              failed + (taken < n ? n - taken - 1 : 0), n);
  return false;
}

/* ---- the policy ---- */

/* What a failure of each VM would cost as of now. */
static json_object *
domino_rows (const Creation *creation)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsClusterHistory) history = cs_cli_history_read (creation->history, &error)
                                             ? cs_cli_history_now (creation->history, &error)
                                             : NULL;
  if (history == NULL)
    {
      cs_cli_note (creation->cli, "clusnap: what a failure would cost is not known: %s",
                   error->message);
      return NULL;
    }
  json_object *rows = json_object_new_array ();
  for (guint i = 0; i < cs_cluster_history_n_vms (history); i++)
    {
      guint others, depth;
      json_object *row = json_object_new_object ();
      cs_history_domino (cs_cluster_history_graph (history), i, &others, &depth);
      cs_json_add_string (row, "name", cs_cluster_history_vm (history, i)->name);
      cs_json_add_uint (row, "others", others);
      cs_json_add_uint (row, "depth", depth);
      json_object_array_add (rows, row);
    }
  return rows;
}

/* A clusnapd that cannot tell leaves @creation without history. */
static bool
ask_history (Creation *creation, CsClusterHistory **now, GError **error)
{
  g_autoptr (GError) own = NULL;
  creation->history = cs_cli_history_new (creation->cli, creation->cluster, creation->store);
  *now = cs_cli_history_read (creation->history, &own)
             ? cs_cli_history_now (creation->history, &own)
             : NULL;
  if (*now != NULL)
    return true;
  g_clear_pointer (&creation->history, cs_cli_history_free);
  if (g_error_matches (own, CS_ERROR, CS_ERROR_UNSUPPORTED))
    return true;
  g_propagate_error (error, g_steal_pointer (&own));
  return false;
}

static bool
plan_by_policy (Creation *creation, GError **error)
{
  CsClusterHistory *now = NULL;
  CsPolicyView view = { .n = cs_cluster_n_vms (creation->cluster),
                        .domino_limit = cs_cluster_domino_limit (creation->cluster) };
  if (creation->policy->needs_history && !ask_history (creation, &now, error))
    return false;
  g_autoptr (CsClusterHistory) history = now;
  g_autofree bool *exchanged = history != NULL ? cs_cluster_history_exchanged (history) : NULL;
  view.exchanged = exchanged;
  view.history = history != NULL ? cs_cluster_history_graph (history) : NULL;
  creation->plan = creation->policy->plan (&view);
  if (creation->plan->note != NULL)
    cs_cli_note (creation->cli, "policy '%s': %s", creation->policy->name, creation->plan->note);
  return true;
}

/* The VMs of --only, whatever the policy says; else what it says. */
static bool
make_plan (Creation *creation, GError **error)
{
  json_object *chosen = NULL;
  if (!cs_cli_choose_vms (creation->cli, CS_OPTION_ONLY, &chosen, error))
    return false;
  if (chosen == NULL)
    return plan_by_policy (creation, error);
  g_autoptr (CsJson) names = chosen;
  GArray *set = cs_cli_choose_numbers (creation->cluster, names, error);
  if (set == NULL)
    return false;
  creation->plan = cs_policy_plan_new ();
  g_ptr_array_add (creation->plan->sets, set);
  return true;
}

static bool
check_options (Creation *creation, GError **error)
{
  const char *given = cs_cli_operand (creation->cli, 1);
  const char *stagger = cs_arguments_value (creation->cli->arguments, CS_OPTION_STAGGER);
  if (given != NULL && !cs_name_check ("snapshot", given, error))
    return false;
  return stagger == NULL || strcmp (stagger, "0s") == 0
         || cs_duration_parse (stagger, &creation->stagger, error);
}

static bool
create (Creation *creation, GError **error)
{
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsJson) report = NULL;
  if (creation->plan->sets->len == 1)
    report = run_job (creation, g_ptr_array_index (creation->plan->sets, 0), creation->name, error);
  else
    {
      report = json_object_new_object ();
      cs_json_add_string (report, "cluster", cs_cluster_name (creation->cluster));
      take_sets (creation, report, &failure);
    }
  if (report == NULL)
    return false;
  cs_json_add_string (report, "policy", creation->policy->name);
  bool asks = creation->policy->has_domino && creation->history != NULL && failure == NULL;
  json_object *domino = asks ? domino_rows (creation) : NULL;
  if (domino != NULL)
    json_object_object_add (report, "domino", domino);
  if (!cs_cli_print_record (creation->cli, report, error))
    return false;
  if (failure == NULL)
    return true;
  g_propagate_error (error, g_steal_pointer (&failure));
  return false;
}

bool
cs_cli_snapshot_create (CsCli *cli, GError **error)
{
  g_auto (Creation) creation = { .cli = cli };
  const char *given = cs_cli_operand (cli, 1);
  if (!check_options (&creation, error))
    return false;
  creation.cluster = cs_cli_cluster (cli, cs_cli_operand (cli, 0), error);
  if (creation.cluster == NULL
      || !cs_cli_pause_deadline (cli, creation.cluster, &creation.deadline, error)
      || cs_cli_connect (cli, error) == NULL)
    return false;
  creation.policy = cs_policy_find (cs_cluster_policy (creation.cluster));
  creation.store = cs_cli_store (cli, creation.cluster);
  if (!make_plan (&creation, error))
    return false;
  creation.name = given != NULL
                      ? g_strdup (given)
                      : next_name (cli, creation.store, cs_cluster_name (creation.cluster), error);
  return creation.name != NULL && create (&creation, error);
}
