/* clusnap rollback */
#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "common/fault.h"
#include "coord/cli-progress.h"
#include "coord/name.h"
#include "coord/rollback-job.h"

static const CsColumn vm_columns[] = {
  { "name", "VM", CS_COLUMN_TEXT },
  { "way", "Way", CS_COLUMN_TEXT },
  { "pause", "Pause", CS_COLUMN_TIME },
  { "stop", "Stop", CS_COLUMN_TIME },
  { "memory", "Memory", CS_COLUMN_TIME },
  { "disks", "Disks", CS_COLUMN_TIME },
  { "devices", "Devices", CS_COLUMN_TIME },
  { "fix-up", "Fix-up", CS_COLUMN_TIME },
  { "cont", "Cont", CS_COLUMN_TIME },
  { "pages", "Pages", CS_COLUMN_COUNT },
  { "disk-bytes", "Disk", CS_COLUMN_SIZE },
  { "reason", "Reason", CS_COLUMN_TEXT, true },
  { 0 },
};

const CsColumn cs_rollback_columns[] = {
  { "cluster", "Cluster", CS_COLUMN_TEXT },
  { "snapshot", "Snapshot", CS_COLUMN_TEXT },
  { "pause", "Pause (longest VM)", CS_COLUMN_TIME },
  { "skew", "Skew", CS_COLUMN_TIME },
  { "cold", "VMs started anew", CS_COLUMN_COUNT },
  { "vms", "VMs", CS_COLUMN_ROWS, false, vm_columns },
  { 0 },
};

typedef struct
{
  CsCli *cli;
  CsProgress *progress;
} Run;

static void
on_stage (CsRollbackStage stage, void *data)
{
  Run *run = data;
  cs_progress_stage (run->progress, stage, CS_N_ROLLBACK_STAGES, cs_rollback_stage_name (stage),
                     cs_rollback_stage_sentence (stage));
}

static void
on_progress (json_object *event, void *data)
{
  Run *run = data;
  cs_progress_event (event, run->progress);
}

static bool
on_answered (CsRollbackStage stage, void *data, GError **error)
{
  return cs_fault_point (cs_rollback_stage_name (stage), error);
}

static void
on_finishing (void *data)
{
  Run *run = data;
  cs_cli_note (run->cli, "\nThe VMs are being taken back already, which cannot be undone: it is "
                         "being finished.");
}

/* Sets *@vms to the names of --only, or to NULL for all. */
static bool
chosen_vms (CsCli *cli, json_object **vms, GError **error)
{
  g_autoptr (CsJson) names = json_object_new_array ();
  const char *const *given = cs_arguments_values (cli->arguments, CS_OPTION_ONLY);
  *vms = NULL;
  for (; *given != NULL; given++)
    {
      g_auto (GStrv) list = g_strsplit (*given, ",", -1);
      for (char **name = list; *name != NULL; name++)
        {
          if (!cs_name_check ("VM", *name, error))
            return false;
          json_object_array_add (names, json_object_new_string (*name));
        }
    }
  if (json_object_array_length (names) > 0)
    *vms = g_steal_pointer (&names);
  return true;
}

/* The snapshot of @cluster that was taken last.  One that is damaged does not say when. */
static char *
latest_snapshot (CsCli *cli, const char *store, const char *cluster, GError **error)
{
  json_object *latest = NULL;
  g_autoptr (CsJson) snapshots = cs_cli_snapshots (cli, store, cluster, error);
  if (snapshots == NULL)
    return NULL;
  for (gsize i = 0; i < json_object_array_length (snapshots); i++)
    {
      json_object *one = json_object_array_get_idx (snapshots, i);
      const char *created = cs_json_string (one, "created");
      if (created != NULL && g_strcmp0 (created, cs_json_string (latest, "created")) > 0)
        latest = one;
    }
  const char *name = cs_json_string (latest, "snapshot");
  if (name == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                 "cluster '%s' has no snapshot in the store at '%s': see 'clusnap snapshot list', "
                 "or name another store with --store",
                 cluster, store);
  return g_strdup (name);
}

static json_object *
run_job (CsCli *cli, const char *store, const char *cluster, const char *snapshot, guint64 deadline,
         json_object *vms, GError **error)
{
  g_autoptr (CsProgress) progress = cs_progress_new (cli->progress);
  Run run = { cli, progress };
  CsRollbackObserver observer = { on_stage, on_progress, on_answered, on_finishing, &run };
  g_autoptr (CsRollbackJob) job =
      cs_rollback_job_new (store, cluster, snapshot, deadline, cli->interrupt_fd, &observer);
  if (cs_arguments_has (cli->arguments, CS_OPTION_SET_TIME))
    cs_rollback_job_set_time (job);
  cs_rollback_job_add_host (job, cli->rpc, vms);
  json_object *report = cs_rollback_job_run (job, error);
  g_clear_pointer (&progress, cs_progress_free);
  if (report != NULL)
    cs_cli_note_times (cli, report);
  return report;
}

/* The rollback is done, and yet a user or a script must be told. */
static bool
check_cold (json_object *report, GError **error)
{
  json_object *vms = cs_json_array (report, "vms");
  g_autoptr (GString) text = g_string_new (NULL);
  for (gsize i = 0; i < json_object_array_length (vms); i++)
    {
      json_object *vm = json_object_array_get_idx (vms, i);
      const char *reason = cs_json_string (vm, "reason");
      if (reason != NULL)
        g_string_append_printf (text, "%sVM '%s': %s", text->len > 0 ? "; " : "",
                                cs_json_string (vm, "name"), reason);
    }
  if (cs_json_uint (report, "cold", 0) == 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_RESTARTED,
               "all VMs are as in snapshot '%s', but not all of them could be taken back in place "
               "and were started anew from it (connections to their consoles are lost): %s",
               cs_json_string (report, "snapshot"), text->str);
  return false;
}

bool
cs_cli_rollback (CsCli *cli, GError **error)
{
  const char *name = cs_cli_operand (cli, 0), *given = cs_cli_operand (cli, 1);
  guint64 deadline;
  json_object *chosen = NULL;
  if (!cs_name_check ("cluster", name, error)
      || (given != NULL && !cs_name_check ("snapshot", given, error))
      || !chosen_vms (cli, &chosen, error))
    return false;
  g_autoptr (CsJson) vms = chosen;
  g_autofree char *store = cs_cli_store_of (cli, name, error);
  if (store == NULL)
    return false;
  /* It need not be defined any more. */
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, name, NULL);
  if (!cs_cli_pause_deadline (cli, cluster, &deadline, error)
      || cs_cli_connect (cli, error) == NULL)
    return false;
  g_autofree char *snapshot =
      given != NULL ? g_strdup (given) : latest_snapshot (cli, store, name, error);
  if (snapshot == NULL)
    return false;
  g_autoptr (CsJson) report =
      run_job (cli, store, name, snapshot, deadline, g_steal_pointer (&vms), error);
  return report != NULL && cs_cli_print_record (cli, report, error) && check_cold (report, error);
}
