/* clusnap rollback */
#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "common/fault.h"
#include "coord/cli-choose.h"
#include "coord/cli-progress.h"
#include "coord/cli-rollback.h"
#include "coord/name.h"
#include "coord/rollback-job.h"

static const CsColumn vm_columns[] = {
  { "name", "VM", CS_COLUMN_TEXT },           { "way", "Way", CS_COLUMN_TEXT },
  { "pause", "Pause", CS_COLUMN_TIME },       { "stop", "Stop", CS_COLUMN_TIME },
  { "memory", "Memory", CS_COLUMN_TIME },     { "disks", "Disks", CS_COLUMN_TIME },
  { "devices", "Devices", CS_COLUMN_TIME },   { "fix-up", "Fix-up", CS_COLUMN_TIME },
  { "cont", "Cont", CS_COLUMN_TIME },         { "pages", "Pages", CS_COLUMN_COUNT },
  { "disk-bytes", "Disk", CS_COLUMN_SIZE },   { "reason", "Reason", CS_COLUMN_TEXT, true },
  { "agent", "Agent", CS_COLUMN_TEXT, true }, { 0 },
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
  const CsCliRollback *rollback;
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
  const CsCliRollback *rollback = ((Run *)data)->rollback;
  if (stage == CS_ROLLBACK_STAGE_PAUSE && rollback->stand != NULL
      && !rollback->stand (rollback->data, error))
    return false;
  return cs_fault_point (cs_rollback_stage_name (stage), error);
}

static void
on_finishing (void *data)
{
  Run *run = data;
  cs_cli_note (run->cli, "\nThe VMs are being taken back already, which cannot be undone: it is "
                         "being finished.");
}

json_object *
cs_cli_rollback_run (CsCli *cli, const CsCliRollback *rollback, json_object *vms, GError **error)
{
  g_autoptr (CsProgress) progress = cs_progress_new (cli->progress);
  Run run = { cli, progress, rollback };
  CsRollbackObserver observer = { on_stage, on_progress, on_answered, on_finishing, &run };
  g_autoptr (CsRollbackJob) job =
      cs_rollback_job_new (rollback->store, rollback->cluster, rollback->snapshot,
                           rollback->pause_deadline, cli->interrupt_fd, &observer);
  if (cs_arguments_has (cli->arguments, CS_OPTION_SET_TIME))
    cs_rollback_job_set_time (job);
  cs_rollback_job_add_host (job, cli->rpc, vms);
  json_object *report = cs_rollback_job_run (job, error);
  g_clear_pointer (&progress, cs_progress_free);
  if (report != NULL)
    cs_cli_note_times (cli, report);
  return report;
}

bool
cs_cli_rollback_check_cold (json_object *report, GError **error)
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
  const char *snapshot = cs_json_string (report, "snapshot");
  g_set_error (error, CS_ERROR, CS_ERROR_RESTARTED,
               "all VMs are as in %s%s%s, but not all of them could be taken back in place "
               "and were started anew from it (connections to their consoles are lost): %s",
               snapshot != NULL ? "snapshot '" : "their line", snapshot != NULL ? snapshot : "",
               snapshot != NULL ? "'" : "", text->str);
  return false;
}

bool
cs_cli_rollback (CsCli *cli, GError **error)
{
  const char *name = cs_cli_operand (cli, 0), *given = cs_cli_operand (cli, 1);
  CsCliRollback rollback = { .cluster = name };
  json_object *chosen = NULL;
  if (!cs_name_check ("cluster", name, error)
      || (given != NULL && !cs_name_check ("snapshot", given, error))
      || !cs_cli_choose_vms (cli, CS_OPTION_ONLY, &chosen, error))
    return false;
  g_autoptr (CsJson) vms = chosen;
  g_autofree char *store = cs_cli_store_of (cli, name, error);
  if (store == NULL)
    return false;
  /* It need not be defined any more. */
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, name, NULL);
  if (!cs_cli_pause_deadline (cli, cluster, &rollback.pause_deadline, error)
      || cs_cli_connect (cli, error) == NULL)
    return false;
  g_autofree char *snapshot =
      given != NULL ? g_strdup (given) : cs_cli_choose_latest (cli, store, name, error);
  if (snapshot == NULL)
    return false;
  if (given != NULL && vms == NULL)
    cs_cli_note_partial (cli, store, name, given,
                         "the other VMs run on as they are, so that messages between them may then "
                         "contradict each other ('clusnap recover' takes back who must)");
  rollback.store = store;
  rollback.snapshot = snapshot;
  g_autoptr (CsJson) report = cs_cli_rollback_run (cli, &rollback, g_steal_pointer (&vms), error);
  return report != NULL && cs_cli_print_record (cli, report, error)
         && cs_cli_rollback_check_cold (report, error);
}
