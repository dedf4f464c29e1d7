#include "config.h"

#include "coord/snapshot-report.h"

#include "coord/vm-report.h"

#define PAGE_BYTES 4096

struct CsSnapshotReport
{
  json_object *root;
  json_object *vms; /* root's member */
};

CsSnapshotReport *
cs_snapshot_report_new (const char *cluster, const char *snapshot)
{
  CsSnapshotReport *report = g_new0 (CsSnapshotReport, 1);
  report->root = json_object_new_object ();
  report->vms = json_object_new_array ();
  cs_json_add_string (report->root, "cluster", cluster);
  cs_json_add_string (report->root, "snapshot", snapshot);
  json_object_object_add (report->root, "vms", report->vms);
  return report;
}

void
cs_snapshot_report_free (CsSnapshotReport *report)
{
  if (report == NULL)
    return;
  json_object_put (report->root);
  g_free (report);
}

/* check and precopy have a place of their own: "disks" there is a number, not a time, and "pages"
 * are not those of the pause. */
static void
add_vm (CsSnapshotReport *report, CsStage stage, json_object *answer)
{
  const char *name = cs_json_string (answer, "name");
  if (name == NULL)
    return;
  json_object *incremental = NULL;
  json_object *vm = cs_vm_report_of (report->vms, name);
  if (stage == CS_STAGE_CHECK || stage == CS_STAGE_PRECOPY)
    json_object_object_add (vm, cs_stage_name (stage), json_object_get (answer));
  if (stage == CS_STAGE_CHECK && json_object_object_get_ex (answer, "incremental", &incremental))
    json_object_object_add (vm, "incremental", json_object_get (incremental));
  if (stage != CS_STAGE_CHECK && stage != CS_STAGE_PRECOPY)
    cs_json_merge (vm, answer);
}

/* "paused-at" is when the VM stood; its pause began when it was told to stop. */
static guint64
stopped_at (json_object *vm)
{
  guint64 resumed_at = cs_json_uint (vm, "resumed-at", 0);
  guint64 pause = cs_json_uint (vm, "pause", 0);
  return resumed_at > pause ? resumed_at - pause : G_MAXUINT64;
}

/* Clocks of two hosts cannot be compared: the longest of the hosts' own spans counts. */
static void
add_host_times (CsSnapshotReport *report, CsStage stage, json_object *answer)
{
  if (stage == CS_STAGE_PAUSE)
    cs_vm_report_keep_largest (report->root, "skew", cs_json_uint (answer, "skew", 0));
  json_object *vms = cs_json_array (answer, "vms");
  if (stage != CS_STAGE_CAPTURE || vms == NULL)
    return;
  guint64 first = G_MAXUINT64, last = 0;
  for (gsize i = 0; i < json_object_array_length (vms); i++)
    {
      json_object *vm = json_object_array_get_idx (vms, i);
      first = MIN (first, stopped_at (vm));
      last = MAX (last, cs_json_uint (vm, "resumed-at", 0));
      cs_vm_report_keep_largest (report->root, "pause", cs_json_uint (vm, "pause", 0));
    }
  if (first <= last)
    cs_vm_report_keep_largest (report->root, "cluster-pause", last - first);
}

void
cs_snapshot_report_add (CsSnapshotReport *report, CsStage stage, const CsHosts *hosts)
{
  for (guint i = 0; i < cs_hosts_count (hosts); i++)
    add_host_times (report, stage, cs_hosts_answer (hosts, i));
  g_autoptr (CsJson) vms = cs_hosts_answer_vms (hosts);
  for (gsize i = 0; i < json_object_array_length (vms); i++)
    add_vm (report, stage, json_object_array_get_idx (vms, i));
}

static guint64
sum (CsSnapshotReport *report, const char *name)
{
  guint64 total = 0;
  for (gsize i = 0; i < json_object_array_length (report->vms); i++)
    total += cs_json_uint (json_object_array_get_idx (report->vms, i), name, 0);
  cs_json_add_uint (report->root, name, total);
  return total;
}

json_object *
cs_snapshot_report_finish (CsSnapshotReport *report, guint64 total)
{
  static const char *const sums[] = { "pages-captured", "bytes-captured", "pages-zero",
                                      "disk-bytes" };
  cs_json_add_uint (report->root, "total", total);
  guint64 shared = sum (report, "pages-shared");
  guint64 stored = sum (report, "pages-stored");
  guint64 bytes = sum (report, "bytes-stored");
  for (gsize i = 0; i < G_N_ELEMENTS (sums); i++)
    sum (report, sums[i]);
  if (stored > 0)
    cs_json_add_double (report->root, "dedup-ratio", (double)(shared + stored) / (double)stored);
  if (bytes > 0)
    cs_json_add_double (report->root, "compression-ratio",
                        (double)stored * PAGE_BYTES / (double)bytes);
  return g_steal_pointer (&report->root);
}
