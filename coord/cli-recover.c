/* clusnap recover
 *
 * Who must go back is known from the manifests and from what the daemons say of the VMs as they
 * are. That may change until the VMs of the line stand: one that is not of the line may still get
 * something that is undone.  So it is asked once more while they stand, and when the line has
 * become another one they run on, and it is done again with that. */
#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "coord/cli-choose.h"
#include "coord/cli-dot.h"
#include "coord/cli-history.h"
#include "coord/cli-recover-graph.h"
#include "coord/cli-rollback.h"
#include "coord/recover-plan.h"

#define MAX_ATTEMPTS 5

static const CsColumn vm_columns[] = {
  { "name", "VM", CS_COLUMN_TEXT },
  { "action", "Action", CS_COLUMN_TEXT },
  { "snapshot", "Snapshot", CS_COLUMN_TEXT },
  { "lost", "Work lost", CS_COLUMN_TIME },
  { "way", "Way", CS_COLUMN_TEXT },
  { "pause", "Pause", CS_COLUMN_TIME },
  { "pages", "Pages", CS_COLUMN_COUNT, true },
  { "disk-bytes", "Disk", CS_COLUMN_SIZE, true },
  { "frames-dropped", "Frames dropped", CS_COLUMN_COUNT, true },
  { "reason", "Reason", CS_COLUMN_TEXT },
  { 0 },
};

const CsColumn cs_recover_columns[] = {
  { "cluster", "Cluster", CS_COLUMN_TEXT },
  { "policy", "Policy", CS_COLUMN_TEXT },
  { "failed", "Failed", CS_COLUMN_LIST },
  { "back", "VMs taken back", CS_COLUMN_COUNT },
  { "kept", "VMs not touched", CS_COLUMN_COUNT },
  { "lost", "Work lost (most)", CS_COLUMN_TIME },
  { "pause", "Pause (longest VM)", CS_COLUMN_TIME },
  { "total", "Time to recovered", CS_COLUMN_TIME },
  { "attempts", "Attempts", CS_COLUMN_COUNT, true },
  { "cold", "VMs started anew", CS_COLUMN_COUNT, true },
  { "vms", "VMs", CS_COLUMN_ROWS, false, vm_columns },
  { 0 },
};

typedef struct
{
  CsCli *cli;
  const CsCluster *cluster;
  CsCliHistory *source;
  GArray *failed; /* of guint */
  CsRecoverPlan *plan;
  bool changed; /* the line has become another one */
} Recovery;

static void
clear_recovery (Recovery *recovery)
{
  g_clear_pointer (&recovery->source, cs_cli_history_free);
  g_clear_pointer (&recovery->failed, g_array_unref);
  g_clear_pointer (&recovery->plan, cs_recover_plan_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Recovery, clear_recovery)

/* ---- who failed ---- */

/* Those of --failed, or those that do not run. */
static bool
find_failed (Recovery *recovery, const CsClusterHistory *history, GError **error)
{
  json_object *chosen = NULL;
  if (!cs_cli_choose_vms (recovery->cli, CS_OPTION_FAILED, &chosen, error))
    return false;
  g_autoptr (CsJson) names = chosen;
  if (names != NULL)
    {
      recovery->failed = cs_cli_choose_numbers (recovery->cluster, names, error);
      return recovery->failed != NULL;
    }
  recovery->failed = g_array_new (FALSE, FALSE, sizeof (guint));
  for (guint i = 0; i < cs_cluster_history_n_vms (history); i++)
    if (!cs_cluster_history_vm (history, i)->running)
      g_array_append_val (recovery->failed, i);
  if (recovery->failed->len > 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_STATE,
               "all VMs of cluster '%s' run: name those that failed with --failed",
               cs_cluster_name (recovery->cluster));
  return false;
}

static CsRecoverPlan *
make_plan (Recovery *recovery, const CsClusterHistory *history)
{
  return cs_recover_plan_new (history, (const guint *)(void *)recovery->failed->data,
                              recovery->failed->len);
}

/* Asks how the VMs are now, and plans with it. */
static bool
plan (Recovery *recovery, GError **error)
{
  g_autoptr (CsClusterHistory) history = cs_cli_history_now (recovery->source, error);
  if (history == NULL || (recovery->failed == NULL && !find_failed (recovery, history, error)))
    return false;
  const GPtrArray *notes = cs_cluster_history_notes (history);
  for (guint i = 0; recovery->plan == NULL && i < notes->len; i++)
    cs_cli_note (recovery->cli, "clusnap: %s", (const char *)g_ptr_array_index (notes, i));
  g_clear_pointer (&recovery->plan, cs_recover_plan_free);
  recovery->plan = make_plan (recovery, history);
  return true;
}

static bool
check_lost (const Recovery *recovery, GError **error)
{
  guint lost = cs_recover_plan_count (recovery->plan, CS_RECOVER_LOST);
  if (lost == 0 || cs_arguments_has (recovery->cli->arguments, CS_OPTION_ALLOW_LOST))
    return true;
  g_autoptr (CsJson) rows = cs_recover_plan_rows (recovery->plan, 0);
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < cs_cluster_n_vms (recovery->cluster); i++)
    if (cs_recover_plan_action (recovery->plan, i) == CS_RECOVER_LOST)
      {
        json_object *row = json_object_array_get_idx (rows, i);
        g_string_append_printf (text, "%sVM '%s': %s", text->len > 0 ? "; " : "",
                                cs_json_string (row, "name"), cs_json_string (row, "reason"));
      }
  const char *name = cs_cluster_name (recovery->cluster);
  g_set_error (
      error, CS_ERROR, CS_ERROR_REFUSED,
      "%u VMs of cluster '%s' have nothing to go back to: %s.  Take the whole cluster back "
      "with 'clusnap rollback %s SNAPSHOT', or start those VMs anew and recover the "
      "others with --allow-lost",
      lost, name, text->str, name);
  return false;
}

/* ---- the run ---- */

/* All VMs of the line stand: whether it is still the line. */
static bool
check_line (void *data, GError **error)
{
  Recovery *recovery = data;
  g_autoptr (CsClusterHistory) history = cs_cli_history_now (recovery->source, error);
  if (history == NULL)
    return false;
  g_autoptr (CsRecoverPlan) now = make_plan (recovery, history);
  recovery->changed = !cs_recover_plan_equal (recovery->plan, now);
  if (!recovery->changed)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
               "a VM that was not to go back has got something that is to be undone meanwhile");
  return false;
}

/* NULL without @error: nothing is to be done any more. */
static json_object *
attempt (Recovery *recovery, const CsCliRollback *rollback, guint n, GError **error)
{
  g_autoptr (GError) own = NULL;
  recovery->changed = false;
  json_object *report =
      cs_cli_rollback_run (recovery->cli, rollback, cs_recover_plan_vms (recovery->plan), &own);
  if (report != NULL)
    {
      cs_json_add_uint (report, "attempts", n);
      return report;
    }
  if (!recovery->changed || n == MAX_ATTEMPTS)
    {
      g_propagate_error (error, g_steal_pointer (&own));
      return NULL;
    }
  cs_cli_note (recovery->cli,
               "clusnap: the line has changed while its VMs were being stopped; they "
               "run on, and it is tried again with the new one");
  if (!plan (recovery, error) || !check_lost (recovery, error))
    return NULL;
  return attempt (recovery, rollback, n + 1, error);
}

/* ---- the report ---- */

static json_object *
report_new (const Recovery *recovery)
{
  json_object *report = json_object_new_object (), *failed = json_object_new_array ();
  json_object *rows = cs_recover_plan_rows (recovery->plan, g_get_real_time ());
  cs_json_add_string (report, "cluster", cs_cluster_name (recovery->cluster));
  cs_json_add_string (report, "policy", cs_cluster_policy (recovery->cluster));
  for (guint i = 0; i < recovery->failed->len; i++)
    {
      guint vm = g_array_index (recovery->failed, guint, i);
      json_object_array_add (failed,
                             json_object_new_string (cs_cluster_vm (recovery->cluster, vm)->name));
    }
  guint64 lost = 0;
  for (gsize i = 0; i < json_object_array_length (rows); i++)
    lost = MAX (lost, cs_json_uint (json_object_array_get_idx (rows, i), "lost", 0));
  json_object_object_add (report, "failed", failed);
  cs_json_add_uint (report, "back",
                    cs_recover_plan_count (recovery->plan, CS_RECOVER_START)
                        + cs_recover_plan_count (recovery->plan, CS_RECOVER_ROLL_BACK));
  cs_json_add_uint (report, "kept", cs_recover_plan_count (recovery->plan, CS_RECOVER_KEEP));
  cs_json_add_uint (report, "lost", lost);
  json_object_object_add (report, "vms", rows);
  return report;
}

/* What the job says of the VMs, but for why they were started: the plan says that. */
static void
add_job (json_object *report, json_object *job)
{
  static const char *const copied[] = { "way", "pause", "pages", "disk-bytes", "frames-dropped" };
  static const char *const totals[] = { "pause", "cold", "attempts" };
  json_object *rows = cs_json_array (report, "vms"), *member = NULL;
  for (gsize i = 0; i < json_object_array_length (rows); i++)
    {
      json_object *row = json_object_array_get_idx (rows, i);
      json_object *done =
          cs_json_find_named (cs_json_array (job, "vms"), cs_json_string (row, "name"));
      for (gsize k = 0; done != NULL && k < G_N_ELEMENTS (copied); k++)
        if (json_object_object_get_ex (done, copied[k], &member))
          json_object_object_add (row, copied[k], json_object_get (member));
    }
  for (gsize k = 0; k < G_N_ELEMENTS (totals); k++)
    if (json_object_object_get_ex (job, totals[k], &member))
      json_object_object_add (report, totals[k], json_object_get (member));
}

/* @begun: g_get_monotonic_time. */
static bool
run (Recovery *recovery, const CsCliRollback *rollback, gint64 begun, GError **error)
{
  if (!check_lost (recovery, error))
    return false;
  if (cs_recover_plan_count (recovery->plan, CS_RECOVER_START)
          + cs_recover_plan_count (recovery->plan, CS_RECOVER_ROLL_BACK)
      == 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
                   "no VM of cluster '%s' has a snapshot to go back to",
                   cs_cluster_name (recovery->cluster));
      return false;
    }
  g_autoptr (CsJson) job = attempt (recovery, rollback, 1, error);
  if (job == NULL)
    return false;
  g_autoptr (CsJson) report = report_new (recovery);
  add_job (report, job);
  cs_json_add_uint (report, "total", (guint64)(g_get_monotonic_time () - begun));
  return cs_cli_print_record (recovery->cli, report, error)
         && cs_cli_rollback_check_cold (job, error);
}

static bool
print_plan (const Recovery *recovery, GError **error)
{
  if (recovery->cli->format == CS_FORMAT_DOT)
    {
      g_autoptr (GString) dot = cs_recover_graph (cs_cluster_name (recovery->cluster),
                                                  recovery->plan, g_get_real_time ());
      return cs_dot_print (dot, error);
    }
  g_autoptr (CsJson) report = report_new (recovery);
  return cs_cli_print_record (recovery->cli, report, error);
}

static bool
check_format (const CsCli *cli, GError **error)
{
  if (cli->format != CS_FORMAT_DOT || cs_arguments_has (cli->arguments, CS_OPTION_DRY_RUN))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "the graph is that of a plan: use it with --dry-run");
  return false;
}

bool
cs_cli_recover (CsCli *cli, GError **error)
{
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, cs_cli_operand (cli, 0), error);
  CsCliRollback rollback = { 0 };
  gint64 begun = g_get_monotonic_time ();
  if (cluster == NULL || !check_format (cli, error)
      || !cs_cli_pause_deadline (cli, cluster, &rollback.pause_deadline, error)
      || cs_cli_connect (cli, error) == NULL)
    return false;
  g_autofree char *store = cs_cli_store (cli, cluster);
  g_auto (Recovery) recovery = { .cli = cli, .cluster = cluster };
  recovery.source = cs_cli_history_new (cli, cluster, store);
  if (!cs_cli_history_read (recovery.source, error) || !plan (&recovery, error))
    return false;
  if (cs_arguments_has (cli->arguments, CS_OPTION_DRY_RUN))
    return print_plan (&recovery, error);
  rollback.store = store;
  rollback.cluster = cs_cluster_name (cluster);
  rollback.stand = check_line;
  rollback.data = &recovery;
  return run (&recovery, &rollback, begun, error);
}
