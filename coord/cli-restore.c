/* clusnap restore */
#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "common/fault.h"
#include "coord/cli-choose.h"
#include "coord/cli-clone.h"
#include "coord/cli-progress.h"
#include "coord/name.h"
#include "coord/restore-job.h"

#include <string.h>

#define FILL_RATE_MAX 1000000

static const CsColumn vm_columns[] = {
  { "name", "VM", CS_COLUMN_TEXT },
  { "disks", "Disks", CS_COLUMN_TIME },
  { "launch", "Start", CS_COLUMN_TIME },
  { "load", "Load", CS_COLUMN_TIME },
  { "running", "Time to running", CS_COLUMN_TIME },
  { "resident", "Time to resident", CS_COLUMN_TIME },
  { "faults", "Faults", CS_COLUMN_COUNT },
  { "prefetched", "Prefetched", CS_COLUMN_COUNT },
  { "agent", "Agent", CS_COLUMN_TEXT, true },
  { 0 },
};

const CsColumn cs_restore_columns[] = {
  { "cluster", "Cluster", CS_COLUMN_TEXT },
  { "snapshot", "Snapshot", CS_COLUMN_TEXT },
  { "mode", "Mode", CS_COLUMN_TEXT },
  { "running", "Time to running", CS_COLUMN_TIME },
  { "resident", "Time to resident", CS_COLUMN_TIME },
  { "vms", "VMs", CS_COLUMN_ROWS, false, vm_columns },
  { "clones", "Clones", CS_COLUMN_ROWS, false, cs_clone_columns },
  { 0 },
};

typedef struct
{
  CsProgress *progress;
  guint n_stages;
  CsCliClones *clones; /* or NULL */
} Run;

static void
on_stage (CsRestoreStage stage, void *data)
{
  Run *run = data;
  cs_progress_stage (run->progress, stage, run->n_stages, cs_restore_stage_name (stage),
                     cs_restore_stage_sentence (stage));
}

static void
on_progress (json_object *event, void *data)
{
  Run *run = data;
  cs_progress_event (event, run->progress);
}

static bool
on_answered (CsRestoreStage stage, void *data, GError **error)
{
  return cs_fault_point (cs_restore_stage_name (stage), error);
}

static bool
on_begun (guint i, json_object *answer, void *data, GError **error)
{
  Run *run = data;
  return run->clones == NULL || cs_cli_clones_define (run->clones, i, answer, error);
}

/* Sets *@vms to the names given, or to NULL for all. */
static bool
chosen_vms (CsCli *cli, json_object **vms, GError **error)
{
  g_autoptr (CsJson) names = json_object_new_array ();
  const char *const *given = cs_arguments_values (cli->arguments, CS_OPTION_VM);
  *vms = NULL;
  for (; *given != NULL; given++)
    {
      if (!cs_name_check ("VM", *given, error))
        return false;
      json_object_array_add (names, json_object_new_string (*given));
    }
  if (json_object_array_length (names) > 0)
    *vms = g_steal_pointer (&names);
  return true;
}

/* Sets *@rate to the fill rate given, or to -1. */
static bool
parse_fill_rate (CsCli *cli, bool eager, gint64 *rate, GError **error)
{
  const char *text = cs_arguments_value (cli->arguments, CS_OPTION_FILL_RATE);
  guint64 value;
  *rate = -1;
  if (text == NULL)
    return true;
  if (!g_ascii_string_to_unsigned (text, 10, 0, FILL_RATE_MAX, &value, NULL))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "'--fill-rate %s' is not a number of MiB/s from 0 (as fast as possible) to %d",
                   text, FILL_RATE_MAX);
      return false;
    }
  if (eager)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "'--eager' leaves nothing to fill: give either it or '--fill-rate'");
      return false;
    }
  *rate = (gint64)value;
  return true;
}

bool
cs_cli_restore (CsCli *cli, GError **error)
{
  const char *cluster = cs_cli_operand (cli, 0), *given = cs_cli_operand (cli, 1);
  bool eager = cs_arguments_has (cli->arguments, CS_OPTION_EAGER);
  bool wait = !cs_arguments_has (cli->arguments, CS_OPTION_NO_WAIT);
  json_object *chosen = NULL;
  gint64 fill_rate;
  if (!parse_fill_rate (cli, eager, &fill_rate, error))
    return false;
  if (!cs_name_check ("cluster", cluster, error)
      || (given != NULL && !cs_name_check ("snapshot", given, error))
      || !chosen_vms (cli, &chosen, error))
    return false;
  g_autoptr (CsJson) vms = chosen;
  g_autofree char *store = cs_cli_store_of (cli, cluster, error);
  if (store == NULL || cs_cli_connect (cli, error) == NULL)
    return false;
  g_autofree char *snapshot =
      given != NULL ? g_strdup (given) : cs_cli_choose_latest (cli, store, cluster, error);
  if (snapshot == NULL)
    return false;
  if (given != NULL && vms == NULL)
    cs_cli_note_partial (cli, store, cluster, given, "the other VMs are not touched");
  CsCliClones *made = NULL;
  if (!cs_cli_clones_new (cli, store, cluster, snapshot, &made, error))
    return false;
  g_autoptr (CsCliClones) clones = made;
  g_autoptr (CsProgress) progress = cs_progress_new (cli->progress);
  Run run = { progress, wait ? CS_N_RESTORE_STAGES : CS_RESTORE_STAGE_WAIT, clones };
  CsRestoreObserver observer = { on_stage, on_progress, on_answered, &run, on_begun };
  g_autoptr (CsRestoreJob) job =
      cs_restore_job_new (store, cluster, snapshot, eager, wait, cli->interrupt_fd, &observer);
  if (cs_arguments_has (cli->arguments, CS_OPTION_SET_TIME))
    cs_restore_job_set_time (job);
  if (fill_rate >= 0)
    cs_restore_job_set_fill_rate (job, (guint)fill_rate);
  if (clones != NULL)
    cs_cli_clones_add (clones, job, vms);
  else
    cs_restore_job_add_host (job, cli->rpc, g_steal_pointer (&vms));
  g_autoptr (CsJson) report = cs_restore_job_run (job, error);
  g_clear_pointer (&progress, cs_progress_free);
  if (report != NULL)
    cs_cli_note_times (cli, report);
  if (clones != NULL && report != NULL)
    cs_cli_clones_report (clones, report);
  else if (clones != NULL && !cs_restore_job_is_running (job))
    cs_cli_clones_forget (clones);
  return report != NULL && cs_cli_print_record (cli, report, error);
}
