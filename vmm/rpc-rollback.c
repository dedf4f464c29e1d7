/* The methods rollback.begin ... rollback.release: a rollback job that belongs to a connection.
 *
 * A method out of order is refused.  When the connection ends before rollback.apply the VMs run on
 * untouched; after it the daemon finishes by itself. */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/host-rollback.h"

enum
{
  DEFAULT_PAUSE_DEADLINE = 2000000, /* us */
  MAX_PAUSE_DEADLINE = 60000000,
};

/* Methods that were answered, in order. */
typedef enum
{
  BEGUN,
  PREPARED,
  PAUSED,
  APPLIED,
} Progress;

typedef struct
{
  CsHostRollback *rollback;
  Progress progress;
} Job;

static void
job_cancel (gpointer data)
{
  cs_host_rollback_cancel (((Job *)data)->rollback);
}

static void
job_free (gpointer data)
{
  Job *job = data;
  cs_host_rollback_free (job->rollback);
  g_free (job);
}

static const CsRpcJobClass job_class = { job_cancel, job_free };

/* The connection's job, when it has come exactly as far as @expected. */
static Job *
job_at (CsRpcPeer *peer, Progress expected, GError **error)
{
  Job *job = cs_rpc_peer_job (peer, &job_class, error);
  if (job == NULL || job->progress == expected)
    return job;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "the methods of a rollback come in the order of its stages, each once");
  return NULL;
}

static json_object *
give_up (CsRpcPeer *peer)
{
  cs_rpc_peer_end_job (peer);
  return NULL;
}

/* {"vms": [...]}: one object per VM, filled by @fill. */
static json_object *
per_vm (const CsHostRollback *rollback, void (*fill) (json_object *vm, const CsRollbackVm *one))
{
  json_object *result = json_object_new_object ();
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < rollback->vms->len; i++)
    {
      const CsRollbackVm *one = cs_host_rollback_vm (rollback, i);
      json_object *vm = json_object_new_object ();
      cs_json_add_string (vm, "name", cs_rollback_vm_name (one));
      fill (vm, one);
      json_object_array_add (vms, vm);
    }
  json_object_object_add (result, "vms", vms);
  return result;
}

static void
fill_way (json_object *vm, const CsRollbackVm *one)
{
  bool lost = one->failure != NULL;
  cs_json_add_string (vm, "way", lost ? "lost" : one->reason != NULL ? "cold" : "in-place");
  cs_json_add_string (vm, "reason", lost ? one->failure->message : one->reason);
}

/* ---- begin, prepare ---- */

/* The guests' deadline has passed, or a VM did not stop: the coordinator may be stuck, and what the
 * job has in the guests must go. */
static void
end_failed_pause (CsRpcPeer *peer)
{
  GError *reason = NULL;
  Job *job = cs_rpc_peer_job (peer, &job_class, NULL);
  if (job == NULL || !cs_host_rollback_is_undone (job->rollback))
    return;
  cs_fan_out_end (job->rollback->vms, &reason);
  cs_rpc_peer_fail_job (peer, reason);
}

static void
post_end (gpointer peer)
{
  cs_rpc_peer_post (peer, end_failed_pause);
}

json_object *
cs_rpc_rollback_begin (CsRpcPeer *peer, json_object *params, GError **error)
{
  const char *cluster = cs_rpc_string (params, "cluster", error);
  json_object *wanted = cs_json_array (params, "vms");
  /* Each VM may name its own instead. */
  const char *snapshot = cs_json_string (params, "snapshot");
  if (cluster != NULL && wanted == NULL)
    snapshot = cs_rpc_string (params, "snapshot", error);
  CsStore *store = cluster != NULL && (snapshot != NULL || wanted != NULL)
                       ? cs_rpc_store (peer, params, error)
                       : NULL;
  CsHostRollback *rollback = store ? cs_host_rollback_new (cs_rpc_peer_user_data (peer), store,
                                                           cluster, snapshot, wanted, error)
                                   : NULL;
  if (rollback == NULL)
    return NULL;
  rollback->pause_deadline = (gint64)MIN (
      cs_json_uint (params, "pause-deadline", DEFAULT_PAUSE_DEADLINE), MAX_PAUSE_DEADLINE);
  rollback->failed = post_end;
  rollback->failed_data = peer;
  Job *job = g_new0 (Job, 1);
  job->rollback = rollback;
  if (!cs_host_rollback_begin (rollback, error)
      || !cs_rpc_peer_set_job (peer, &job_class, job, error))
    {
      job_free (job);
      return NULL;
    }
  json_object *result = per_vm (rollback, fill_way);
  cs_json_add_string (result, "job", "rollback");
  return result;
}

static void
fill_prepared (json_object *vm, const CsRollbackVm *one)
{
  if (one->rollback == NULL)
    return;
  const CsRollbackStats *stats = cs_rollback_stats (one->rollback);
  cs_json_add_uint (vm, "pages", stats->pages);
  cs_json_add_uint (vm, "disk-bytes", stats->disk_bytes);
}

json_object *
cs_rpc_rollback_prepare (CsRpcPeer *peer, json_object *params, GError **error)
{
  Job *job = job_at (peer, BEGUN, error);
  if (job == NULL)
    return NULL;
  if (!cs_host_rollback_prepare (job->rollback, error))
    return give_up (peer);
  job->progress = PREPARED;
  return per_vm (job->rollback, fill_prepared);
}

/* ---- pause, apply, release ---- */

static void
fill_paused (json_object *vm, const CsRollbackVm *one)
{
  if (one->paused_at != 0)
    cs_json_add_uint (vm, "paused-at", (guint64)one->paused_at);
}

static guint64
skew (const CsHostRollback *rollback)
{
  gint64 first = G_MAXINT64, last = 0;
  for (guint i = 0; i < rollback->vms->len; i++)
    {
      gint64 at = cs_host_rollback_vm (rollback, i)->paused_at;
      first = at != 0 ? MIN (first, at) : first;
      last = MAX (last, at);
    }
  return last > first ? (guint64)(last - first) : 0;
}

json_object *
cs_rpc_rollback_pause (CsRpcPeer *peer, json_object *params, GError **error)
{
  Job *job = job_at (peer, PREPARED, error);
  if (job == NULL)
    return NULL;
  cs_rpc_peer_hurry (peer, true);
  if (!cs_host_rollback_pause (job->rollback, error))
    return give_up (peer);
  job->progress = PAUSED;
  json_object *result = per_vm (job->rollback, fill_paused);
  cs_json_add_uint (result, "skew", skew (job->rollback));
  return result;
}

json_object *
cs_rpc_rollback_apply (CsRpcPeer *peer, json_object *params, GError **error)
{
  Job *job = job_at (peer, PAUSED, error);
  if (job == NULL)
    return NULL;
  if (!cs_host_rollback_apply (job->rollback, error))
    return give_up (peer);
  job->progress = APPLIED;
  return per_vm (job->rollback, fill_way);
}

static void
fill_released (json_object *vm, const CsRollbackVm *one)
{
  const CsRollbackStats *stats = &one->stats;
  fill_way (vm, one);
  cs_json_merge (vm, one->agent);
  cs_json_add_string (vm, "time", one->time);
  if (one->paused_at != 0 && one->resumed_at != 0)
    cs_json_add_uint (vm, "pause", (guint64)(one->resumed_at - one->paused_at));
  if (one->reason != NULL)
    return;
  const struct
  {
    const char *name;
    gint64 value;
  } times[] = {
    { "pause", stats->pause },   { "stop", stats->stop },   { "scan", stats->scan },
    { "memory", stats->memory }, { "disks", stats->disks }, { "devices", stats->devices },
    { "fix-up", stats->fix_up }, { "wait", stats->wait },   { "cont", stats->cont },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (times); i++)
    cs_json_add_uint (vm, times[i].name, (guint64)MAX (times[i].value, 0));
  cs_json_add_uint (vm, "pages", stats->pages);
  cs_json_add_uint (vm, "pages-ahead", stats->pages_ahead);
  cs_json_add_uint (vm, "pages-late", stats->pages_late);
  cs_json_add_uint (vm, "fix-up-pages", stats->fix_up_pages);
  cs_json_add_uint (vm, "disk-bytes", stats->disk_bytes);
  cs_json_add_uint (vm, "frames-dropped", stats->frames_dropped);
  json_object_object_add (vm, "whole", json_object_new_boolean (stats->whole));
}

static void
notify_running (gpointer peer)
{
  cs_rpc_peer_hurry (peer, false);
  cs_rpc_notify_running (peer);
}

json_object *
cs_rpc_rollback_release (CsRpcPeer *peer, json_object *params, GError **error)
{
  Job *job = job_at (peer, APPLIED, error);
  if (job == NULL)
    return NULL;
  job->rollback->set_time = cs_json_true (params, "set-time");
  job->rollback->running = notify_running;
  job->rollback->running_data = peer;
  if (!cs_host_rollback_release (job->rollback, error))
    return give_up (peer);
  json_object *result = per_vm (job->rollback, fill_released);
  cs_rpc_peer_end_job (peer);
  return result;
}
