/* snapshot.check ... snapshot.release: what is done while the guests run, and while they stand. */
#include "config.h"

#include "common/fault.h"
#include "common/json.h"
#include "vmm/snapshot-private.h"

enum
{
  MAX_SETTLE_PASSES = 6,
};

/* ---- check, quiesce, precopy ---- */

static bool
check_one (gpointer data, GError **error)
{
  CsSnapshotVm *one = data;
  CsCapture *capture = cs_capture_new (one->member.vm, &one->snapshot->options, error);
  g_mutex_lock (&one->snapshot->lock);
  one->capture = capture;
  if (capture != NULL && one->snapshot->cancelled)
    cs_capture_cancel (capture);
  g_mutex_unlock (&one->snapshot->lock);
  return capture != NULL;
}

static void
fill_check (json_object *vm, const CsCapture *capture)
{
  json_object_object_add (vm, "incremental",
                          json_object_new_boolean (cs_capture_is_incremental (capture)));
  cs_json_add_uint (vm, "memory", cs_capture_memory (capture));
  cs_json_add_uint (vm, "disks", cs_capture_n_disks (capture));
}

/* What the agents will tell their guests. */
static void
set_intervals (CsSnapshot *snapshot)
{
  CsClusterLines *lines = cs_job_lines_cluster (snapshot->lines);
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      const char *vm = cs_snapshot_vm (snapshot, i)->member.vm->ref->name;
      cs_capture_set_intervals (cs_snapshot_vm (snapshot, i)->capture,
                                cs_cluster_lines_interval (lines, vm),
                                cs_cluster_lines_next_interval (lines, vm));
    }
}

/* What the guests say they depend on: before the cut.  What makes no sense harms nobody but the
 * guest that says it. */
static void
merge_agent_dependencies (CsSnapshot *snapshot)
{
  CsClusterLines *lines = cs_job_lines_cluster (snapshot->lines);
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      const CsSnapshotVm *one = cs_snapshot_vm (snapshot, i);
      json_object *said = cs_capture_agent_dependencies (one->capture);
      for (gsize j = 0; said != NULL && j < json_object_array_length (said); j++)
        {
          json_object *on = json_object_array_get_idx (said, j);
          g_autoptr (GError) error = NULL;
          if (!cs_cluster_lines_merge (lines, one->member.vm->ref->name, cs_json_string (on, "vm"),
                                       cs_json_uint (on, "interval", 0), &error))
            g_info ("%s", error->message);
        }
    }
}

json_object *
cs_rpc_snapshot_check (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsSnapshot *snapshot = cs_snapshot_at (peer, CS_SNAPSHOT_BEGUN, error);
  if (snapshot == NULL)
    return NULL;
  if (!cs_fan_out (snapshot->participants, check_one, error)
      || !cs_job_lines_check (snapshot->lines, error) || !cs_fault_point ("check", error))
    return cs_snapshot_give_up (peer);
  set_intervals (snapshot);
  snapshot->progress = CS_SNAPSHOT_CHECKED;
  return cs_snapshot_per_vm (snapshot, fill_check);
}

/* One veto is enough: the other agents are not waited for. */
static bool
quiesce_one (gpointer data, GError **error)
{
  CsSnapshotVm *one = data;
  if (cs_capture_quiesce (one->capture, error))
    return true;
  cs_snapshot_cancel (one->snapshot);
  return false;
}

static void
fill_quiesced (json_object *vm, const CsCapture *capture)
{
  cs_capture_report_agent (capture, vm);
}

json_object *
cs_rpc_snapshot_quiesce (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsSnapshot *snapshot = cs_snapshot_at (peer, CS_SNAPSHOT_CHECKED, error);
  if (snapshot == NULL)
    return NULL;
  if (!cs_fault_point ("quiesce", error)
      || !cs_fan_out (snapshot->participants, quiesce_one, error))
    return cs_snapshot_give_up (peer);
  merge_agent_dependencies (snapshot);
  snapshot->progress = CS_SNAPSHOT_QUIESCED;
  return cs_snapshot_per_vm (snapshot, fill_quiesced);
}

static bool
precopy_one (gpointer data, GError **error)
{
  CsSnapshotVm *one = data;
  CsVm *vm = one->member.vm;
  return cs_journal_add (one->snapshot->daemon->journal, "pause", vm->ref,
                         cs_monitor_pid (cs_vm_monitor (vm)), NULL, error)
         && cs_capture_precopy (one->capture, error) && cs_fault_point ("precopy", error);
}

static bool
settle_one (gpointer data, GError **error)
{
  return cs_capture_settle (((CsSnapshotVm *)data)->capture, error);
}

static bool
look_one (gpointer data, GError **error)
{
  CsSnapshotVm *one = data;
  return cs_capture_is_settled (one->capture, &one->settled, error);
}

/* While the rounds of one VM are copied the others write on, and on a busy host that is seconds. So
 * it takes passes over all of them, each shorter than the one before, until all are settled at the
 * same time; a VM that writes faster than it can be copied ends that too. */
static bool
settle_together (CsSnapshot *snapshot, GError **error)
{
  for (guint pass = 0; pass < MAX_SETTLE_PASSES; pass++)
    {
      if (!cs_fan_out (snapshot->participants, settle_one, error)
          || !cs_fan_out (snapshot->participants, look_one, error))
        return false;
      bool all = true;
      for (guint i = 0; i < snapshot->participants->len; i++)
        all = all && cs_snapshot_vm (snapshot, i)->settled;
      if (all)
        break;
    }
  return true;
}

static void
fill_precopy (json_object *vm, const CsCapture *capture)
{
  const CsCaptureStats *stats = cs_capture_stats (capture);
  cs_json_add_uint (vm, "rounds", stats->rounds);
  cs_json_add_uint (vm, "micro-pause", (guint64)stats->micro_pause);
  cs_json_add_uint (vm, "stop-latency", (guint64)stats->stop_latency);
}

json_object *
cs_rpc_snapshot_precopy (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsSnapshot *snapshot = cs_snapshot_at (peer, CS_SNAPSHOT_QUIESCED, error);
  if (snapshot == NULL)
    return NULL;
  if (!cs_fan_out (snapshot->participants, precopy_one, error)
      || !settle_together (snapshot, error))
    return cs_snapshot_give_up (peer);
  snapshot->progress = CS_SNAPSHOT_PRECOPIED;
  return cs_snapshot_per_vm (snapshot, fill_precopy);
}

/* ---- pause, release ---- */

/* The coordinator may be stuck: what the job has in the guests must go, and the VMs be free. */
static void
end_failed_cut (CsRpcPeer *peer)
{
  CsSnapshot *snapshot = cs_rpc_peer_job (peer, &cs_snapshot_class, NULL);
  if (snapshot == NULL)
    return;
  g_mutex_lock (&snapshot->lock);
  bool failed = snapshot->cut_failed;
  g_mutex_unlock (&snapshot->lock);
  if (!failed)
    return;
  GError *reason = NULL;
  cs_snapshot_cancel (snapshot);
  cs_fan_out_end (snapshot->participants, &reason);
  cs_rpc_peer_fail_job (peer, reason);
}

static bool
pause_one (gpointer data, GError **error)
{
  CsSnapshot *snapshot = ((CsSnapshotVm *)data)->snapshot;
  if (cs_capture_pause (((CsSnapshotVm *)data)->capture, error))
    return true;
  g_mutex_lock (&snapshot->lock);
  snapshot->cut_failed = true;
  g_mutex_unlock (&snapshot->lock);
  cs_rpc_peer_post (snapshot->peer, end_failed_cut);
  return false;
}

static void
fill_paused (json_object *vm, const CsCapture *capture)
{
  cs_json_add_uint (vm, "paused-at", (guint64)cs_capture_stats (capture)->paused_at);
}

guint64
cs_snapshot_skew (const CsSnapshot *snapshot)
{
  gint64 first = G_MAXINT64, last = 0;
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      gint64 at = cs_capture_stats (cs_snapshot_vm (snapshot, i)->capture)->paused_at;
      first = MIN (first, at);
      last = MAX (last, at);
    }
  return (guint64)(last - first);
}

json_object *
cs_rpc_snapshot_pause (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsSnapshot *snapshot = cs_snapshot_at (peer, CS_SNAPSHOT_PRECOPIED, error);
  if (snapshot == NULL)
    return NULL;
  cs_rpc_peer_hurry (peer, true);
  cs_fan_out_begin (snapshot->participants, pause_one);
  bool all = true;
  for (guint i = 0; i < snapshot->participants->len; i++)
    all = cs_capture_wait_paused (cs_snapshot_vm (snapshot, i)->capture) && all;
  if (!all)
    {
      /* The cut cannot be: nobody waits any longer. */
      cs_snapshot_cancel (snapshot);
      cs_fan_out_end (snapshot->participants, error);
      return cs_snapshot_give_up (peer);
    }
  /* The workers capture meanwhile. */
  snapshot->flows = cs_job_lines_cut (snapshot->lines);
  snapshot->progress = CS_SNAPSHOT_PAUSED;
  json_object *result = cs_snapshot_per_vm (snapshot, fill_paused);
  cs_json_add_uint (result, "skew", cs_snapshot_skew (snapshot));
  return result;
}

void
cs_snapshot_fill_released (json_object *vm, const CsCapture *capture)
{
  const CsCaptureStats *stats = cs_capture_stats (capture);
  const struct
  {
    const char *name;
    gint64 value;
  } times[] = {
    { "paused-at", stats->paused_at },
    { "resumed-at", stats->resumed_at },
    { "pause", stats->pause },
    { "stop", stats->stop },
    { "devices", stats->devices },
    { "disks", stats->disks },
    { "scan", stats->scan },
    { "copy", stats->copy },
    { "wait", stats->wait },
    { "cont", stats->cont },
    { "micro-pause", stats->micro_pause },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (times); i++)
    cs_json_add_uint (vm, times[i].name, (guint64)MAX (times[i].value, 0));
  cs_json_add_uint (vm, "rounds", stats->rounds);
  cs_json_add_uint (vm, "pages", stats->cut_pages);
}

json_object *
cs_rpc_snapshot_release (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsSnapshot *snapshot = cs_snapshot_at (peer, CS_SNAPSHOT_PAUSED, error);
  if (snapshot == NULL)
    return NULL;
  for (guint i = 0; i < snapshot->participants->len; i++)
    cs_capture_permit_resume (cs_snapshot_vm (snapshot, i)->capture);
  if (!cs_fan_out_end (snapshot->participants, error) || !cs_fault_point ("resume", error))
    return cs_snapshot_give_up (peer);
  cs_rpc_peer_hurry (peer, false);
  cs_job_lines_settle (snapshot->lines);
  snapshot->progress = CS_SNAPSHOT_RELEASED;
  json_object *result = cs_snapshot_per_vm (snapshot, cs_snapshot_fill_released);
  cs_json_add_uint (result, "skew", cs_snapshot_skew (snapshot));
  cs_json_add_uint (result, "flows", (guint64)snapshot->flows);
  return result;
}
