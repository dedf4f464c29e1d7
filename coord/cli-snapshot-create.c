/* clusnap snapshot create */
#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "common/fault.h"
#include "coord/cli-progress.h"
#include "coord/name.h"
#include "coord/snapshot-job.h"

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
  { 0 },
};

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
      guint64 number = 0;
      const char *name = cs_json_string (json_object_array_get_idx (snapshots, i), "snapshot");
      if (name != NULL && name[0] == 's'
          && g_ascii_string_to_unsigned (name + 1, 10, 1, G_MAXINT64, &number, NULL))
        highest = MAX (highest, number);
    }
  return g_strdup_printf ("s%" G_GUINT64_FORMAT, highest + 1);
}

static json_object *
all_vms (const CsCluster *cluster)
{
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < cs_cluster_n_vms (cluster); i++)
    json_object_array_add (vms, cs_cluster_vm_ref (cluster, i));
  return vms;
}

static json_object *
run_job (CsCli *cli, const CsCluster *cluster, const char *store, const char *snapshot,
         guint64 deadline, GError **error)
{
  g_autoptr (CsProgress) progress = cs_progress_new (cli->progress);
  CsSnapshotObserver observer = { on_stage, cs_progress_event, on_answered, progress };
  g_autoptr (CsSnapshotJob) job = cs_snapshot_job_new (store, cs_cluster_name (cluster), snapshot,
                                                       deadline, cli->interrupt_fd, &observer);
  cs_snapshot_job_set_cluster_vms (job, all_vms (cluster));
  cs_snapshot_job_add_host (job, cli->rpc, all_vms (cluster));
  cs_snapshot_job_set_manifest (job, cs_cluster_to_json (cluster));
  return cs_snapshot_job_run (job, error);
}

bool
cs_cli_snapshot_create (CsCli *cli, GError **error)
{
  guint64 deadline;
  const char *given = cs_cli_operand (cli, 1);
  if (given != NULL && !cs_name_check ("snapshot", given, error))
    return false;
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, cs_cli_operand (cli, 0), error);
  if (cluster == NULL || !cs_cli_pause_deadline (cli, cluster, &deadline, error)
      || cs_cli_connect (cli, error) == NULL)
    return false;
  g_autofree char *store = cs_cli_store (cli, cluster);
  g_autofree char *name =
      given != NULL ? g_strdup (given) : next_name (cli, store, cs_cluster_name (cluster), error);
  if (name == NULL)
    return false;
  g_autoptr (CsJson) report = run_job (cli, cluster, store, name, deadline, error);
  return report != NULL && cs_cli_print_record (cli, report, error);
}
