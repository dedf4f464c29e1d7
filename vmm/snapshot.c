/* The snapshot job: the methods snapshot.begin ... snapshot.seal, for this host's VMs.
 *
 * The coordinator calls them in the order of the stages; a method out of order is refused.  The job
 * belongs to the connection: when that ends at whatever point, snapshot_free undoes what is not
 * complete, and the VMs run.
 */
#include "config.h"

#include "common/error.h"
#include "common/fault.h"
#include "common/json.h"
#include "vmm/capture.h"
#include "vmm/daemon.h"
#include "vmm/fan-out.h"
#include "vmm/job-lines.h"

#include <string.h>

enum
{
  DEFAULT_PAUSE_DEADLINE = 2000000, /* us */
  MAX_PAUSE_DEADLINE = 60000000,
  DEFAULT_QUIESCE_DEADLINE = 2000000, /* us */
  MAX_QUIESCE_DEADLINE = 60000000,
  DEFAULT_ROUNDS = 4,
  MAX_SETTLE_PASSES = 6,
  MAX_ROUNDS = 32,
};

/* Methods that were answered, in order. */
typedef enum
{
  BEGUN,
  CHECKED,
  QUIESCED,
  PRECOPIED,
  PAUSED,
  RELEASED,
  STORED,
  SEALED,
} Progress;

typedef struct
{
  CsMember member; /* first */
  struct Snapshot *snapshot;
  CsCapture *capture;
  bool settled;
} Participant;

typedef struct Snapshot
{
  /* immutable */
  CsDaemon *daemon;
  CsRpcPeer *peer;
  CsStore *store;
  char *cluster;
  char *name;
  CsCaptureOptions options;
  bool partial; /* of some of the cluster's VMs only */
  gint64 begun_at;

  /* executing thread */
  GPtrArray *participants; /* of Participant; fixed after begin */
  bool claimed;
  CsJobLines *lines;
  gint64 flows; /* us for reading them while all stood */
  Progress progress;
  json_object *manifest_vms;
  json_object *images;

  /* under lock */
  GMutex lock;
  bool cancelled;
  bool cut_failed; /* a VM ran again before its capture was complete */
} Snapshot;

static Participant *
participant (const Snapshot *snapshot, guint i)
{
  return g_ptr_array_index (snapshot->participants, i);
}

/* ---- end of a job ---- */

static void
snapshot_cancel (gpointer job)
{
  Snapshot *snapshot = job;
  g_mutex_lock (&snapshot->lock);
  snapshot->cancelled = true;
  for (guint i = 0; i < snapshot->participants->len; i++)
    if (participant (snapshot, i)->capture != NULL)
      cs_capture_cancel (participant (snapshot, i)->capture);
  g_mutex_unlock (&snapshot->lock);
}

static bool
free_capture (gpointer data, GError **error)
{
  Participant *one = data;
  CsVm *vm = one->member.vm;
  CsMonitor *monitor = cs_vm_monitor (vm);
  /* What could not be resumed stays in the journal. */
  bool runs = monitor == NULL || cs_monitor_make_run (monitor, NULL);
  cs_capture_free (one->capture);
  if (runs)
    cs_journal_remove (one->snapshot->daemon->journal, "pause", vm->ref);
  return true;
}

/* Committed images that no manifest came to name. */
static void
discard_images (Snapshot *snapshot)
{
  if (snapshot->progress != STORED)
    return;
  for (guint i = 0; i < snapshot->participants->len; i++)
    cs_store_discard (snapshot->store, cs_capture_image (participant (snapshot, i)->capture));
}

static void
snapshot_free (gpointer job)
{
  Snapshot *snapshot = job;
  g_autoptr (GError) error = NULL;
  snapshot_cancel (snapshot);
  if (!cs_fan_out_end (snapshot->participants, &error))
    g_debug ("snapshot '%s/%s': %s", snapshot->cluster, snapshot->name, error->message);
  discard_images (snapshot);
  if (snapshot->claimed)
    {
      cs_fan_out (snapshot->participants, free_capture, NULL);
      for (guint i = 0; i < snapshot->participants->len; i++)
        cs_vm_release (participant (snapshot, i)->member.vm);
    }
  cs_job_lines_free (snapshot->lines);
  g_ptr_array_unref (snapshot->participants);
  json_object_put (snapshot->manifest_vms);
  json_object_put (snapshot->images);
  g_mutex_clear (&snapshot->lock);
  g_free (snapshot->cluster);
  g_free (snapshot->name);
  g_free (snapshot);
}

static const CsRpcJobClass snapshot_class = { snapshot_cancel, snapshot_free };

/* The connection's job, when it has come exactly as far as @expected. */
static Snapshot *
job_at (CsRpcPeer *peer, Progress expected, GError **error)
{
  Snapshot *snapshot = cs_rpc_peer_job (peer, &snapshot_class, error);
  if (snapshot == NULL)
    return NULL;
  if (snapshot->progress != expected)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "the methods of a snapshot come in the order of its stages, each once");
      return NULL;
    }
  return snapshot;
}

/* A step failed: nothing of the job is left.  Returns NULL for its caller. */
static json_object *
give_up (CsRpcPeer *peer)
{
  cs_rpc_peer_end_job (peer);
  return NULL;
}

/* ---- begin ---- */

static bool
check_name_is_free (Snapshot *snapshot, GError **error)
{
  g_autoptr (GError) own = NULL;
  g_autoptr (CsJson) manifest =
      cs_store_manifest_get (snapshot->store, snapshot->cluster, snapshot->name, &own);
  if (manifest == NULL && g_error_matches (own, CS_ERROR, CS_ERROR_NOT_FOUND))
    return true;
  if (manifest == NULL && !g_error_matches (own, CS_ERROR, CS_ERROR_CORRUPT))
    {
      g_propagate_error (error, g_steal_pointer (&own));
      return false;
    }
  g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
               "snapshot '%s/%s' exists already: choose another name, or delete it first",
               snapshot->cluster, snapshot->name);
  return false;
}

static bool
add_participants (Snapshot *snapshot, json_object *params, GError **error)
{
  g_autoptr (GPtrArray) refs = cs_rpc_vm_refs (params, "vms", error);
  if (refs == NULL)
    return false;
  for (guint i = 0; i < refs->len; i++)
    {
      Participant *one = g_new0 (Participant, 1);
      one->snapshot = snapshot;
      one->member.vm = cs_vm_table_get (snapshot->daemon->vms, g_ptr_array_index (refs, i));
      g_ptr_array_add (snapshot->participants, one);
    }
  g_autofree char *holder = g_strdup_printf ("snapshot '%s/%s'", snapshot->cluster, snapshot->name);
  snapshot->claimed = cs_fan_out_claim (snapshot->participants, holder, error);
  return snapshot->claimed;
}

/* Whether the cluster has VMs that are not of this snapshot. */
static bool
is_partial (json_object *params)
{
  json_object *all = cs_json_array (params, "cluster-vms");
  json_object *vms = cs_json_array (params, "vms");
  for (gsize i = 0; all != NULL && i < json_object_array_length (all); i++)
    {
      const char *name = cs_json_string (json_object_array_get_idx (all, i), "name");
      if (name != NULL && cs_json_find_named (vms, name) == NULL)
        return true;
    }
  return false;
}

/* Without "cluster-vms" the VMs of the snapshot are all that is known of the cluster; others that
 * were known before stay. */
static bool
add_lines (Snapshot *snapshot, json_object *params, GError **error)
{
  g_autoptr (GPtrArray) others = NULL;
  if (json_object_object_get_ex (params, "cluster-vms", NULL)
      && (others = cs_rpc_vm_refs (params, "cluster-vms", error)) == NULL)
    return false;
  snapshot->lines = cs_job_lines_new (snapshot->daemon, snapshot->store, snapshot->cluster,
                                      snapshot->participants, others, error);
  return snapshot->lines != NULL;
}

/* Member "agent" of @params. */
static bool
parse_policy (json_object *params, CsAgentPolicy *policy, GError **error)
{
  const char *name = cs_json_string (params, "agent");
  *policy = CS_AGENT_AUTO;
  if (name == NULL || cs_agent_policy_from_name (name, policy))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "\"agent\" is '%s': it must be auto, required or off", name);
  return false;
}

json_object *
cs_rpc_snapshot_begin (CsRpcPeer *peer, json_object *params, GError **error)
{
  const char *cluster = cs_rpc_string (params, "cluster", error);
  const char *name = cluster ? cs_rpc_string (params, "snapshot", error) : NULL;
  CsStore *store = name ? cs_rpc_store (peer, params, error) : NULL;
  CsAgentPolicy policy;
  if (store == NULL || !parse_policy (params, &policy, error))
    return NULL;
  Snapshot *snapshot = g_new0 (Snapshot, 1);
  snapshot->daemon = cs_rpc_peer_user_data (peer);
  snapshot->peer = peer;
  snapshot->store = store;
  snapshot->cluster = g_strdup (cluster);
  snapshot->name = g_strdup (name);
  snapshot->partial = is_partial (params);
  snapshot->begun_at = g_get_monotonic_time ();
  snapshot->participants = g_ptr_array_new_with_free_func (g_free);
  g_mutex_init (&snapshot->lock);
  snapshot->options = (CsCaptureOptions){
    .store = store,
    .scratch_directory = snapshot->daemon->scratch_directory,
    .pause_deadline = (gint64)MIN (cs_json_uint (params, "pause-deadline", DEFAULT_PAUSE_DEADLINE),
                                   MAX_PAUSE_DEADLINE),
    .max_rounds = (guint)MIN (cs_json_uint (params, "precopy-rounds", DEFAULT_ROUNDS), MAX_ROUNDS),
    .agent = policy,
    .quiesce_deadline = (gint64)MIN (
        cs_json_uint (params, "quiesce-deadline", DEFAULT_QUIESCE_DEADLINE), MAX_QUIESCE_DEADLINE),
  };
  if (!check_name_is_free (snapshot, error) || !add_participants (snapshot, params, error)
      || !add_lines (snapshot, params, error)
      || !cs_rpc_peer_set_job (peer, &snapshot_class, snapshot, error))
    {
      snapshot_free (snapshot);
      return NULL;
    }
  json_object *result = json_object_new_object ();
  cs_json_add_string (result, "job", "snapshot");
  return result;
}

/* ---- check, quiesce, precopy ---- */

static bool
check_one (gpointer data, GError **error)
{
  Participant *one = data;
  CsCapture *capture = cs_capture_new (one->member.vm, &one->snapshot->options, error);
  g_mutex_lock (&one->snapshot->lock);
  one->capture = capture;
  if (capture != NULL && one->snapshot->cancelled)
    cs_capture_cancel (capture);
  g_mutex_unlock (&one->snapshot->lock);
  return capture != NULL;
}

/* {"vms": [...]}: one object per VM, filled by @fill. */
static json_object *
per_vm (Snapshot *snapshot, void (*fill) (json_object *vm, const CsCapture *capture))
{
  json_object *result = json_object_new_object ();
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      json_object *vm = json_object_new_object ();
      cs_json_add_string (vm, "name", participant (snapshot, i)->member.vm->ref->name);
      fill (vm, participant (snapshot, i)->capture);
      json_object_array_add (vms, vm);
    }
  json_object_object_add (result, "vms", vms);
  return result;
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
set_intervals (Snapshot *snapshot)
{
  CsClusterLines *lines = cs_job_lines_cluster (snapshot->lines);
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      const char *vm = participant (snapshot, i)->member.vm->ref->name;
      cs_capture_set_intervals (participant (snapshot, i)->capture,
                                cs_cluster_lines_interval (lines, vm),
                                cs_cluster_lines_next_interval (lines, vm));
    }
}

/* What the guests say they depend on: before the cut.  What makes no sense harms nobody but the
 * guest that says it. */
static void
merge_agent_dependencies (Snapshot *snapshot)
{
  CsClusterLines *lines = cs_job_lines_cluster (snapshot->lines);
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      const Participant *one = participant (snapshot, i);
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
  Snapshot *snapshot = job_at (peer, BEGUN, error);
  if (snapshot == NULL)
    return NULL;
  if (!cs_fan_out (snapshot->participants, check_one, error)
      || !cs_job_lines_check (snapshot->lines, error) || !cs_fault_point ("check", error))
    return give_up (peer);
  set_intervals (snapshot);
  snapshot->progress = CHECKED;
  return per_vm (snapshot, fill_check);
}

/* One veto is enough: the other agents are not waited for. */
static bool
quiesce_one (gpointer data, GError **error)
{
  Participant *one = data;
  if (cs_capture_quiesce (one->capture, error))
    return true;
  snapshot_cancel (one->snapshot);
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
  Snapshot *snapshot = job_at (peer, CHECKED, error);
  if (snapshot == NULL)
    return NULL;
  if (!cs_fault_point ("quiesce", error)
      || !cs_fan_out (snapshot->participants, quiesce_one, error))
    return give_up (peer);
  merge_agent_dependencies (snapshot);
  snapshot->progress = QUIESCED;
  return per_vm (snapshot, fill_quiesced);
}

static bool
precopy_one (gpointer data, GError **error)
{
  Participant *one = data;
  CsVm *vm = one->member.vm;
  return cs_journal_add (one->snapshot->daemon->journal, "pause", vm->ref,
                         cs_monitor_pid (cs_vm_monitor (vm)), NULL, error)
         && cs_capture_precopy (one->capture, error) && cs_fault_point ("precopy", error);
}

static bool
settle_one (gpointer data, GError **error)
{
  return cs_capture_settle (((Participant *)data)->capture, error);
}

static bool
look_one (gpointer data, GError **error)
{
  Participant *one = data;
  return cs_capture_is_settled (one->capture, &one->settled, error);
}

/* While the rounds of one VM are copied the others write on, and on a busy host that is seconds. So
 * it takes passes over all of them, each shorter than the one before, until all are settled at the
 * same time; a VM that writes faster than it can be copied ends that too. */
static bool
settle_together (Snapshot *snapshot, GError **error)
{
  for (guint pass = 0; pass < MAX_SETTLE_PASSES; pass++)
    {
      if (!cs_fan_out (snapshot->participants, settle_one, error)
          || !cs_fan_out (snapshot->participants, look_one, error))
        return false;
      bool all = true;
      for (guint i = 0; i < snapshot->participants->len; i++)
        all = all && participant (snapshot, i)->settled;
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
  Snapshot *snapshot = job_at (peer, QUIESCED, error);
  if (snapshot == NULL)
    return NULL;
  if (!cs_fan_out (snapshot->participants, precopy_one, error)
      || !settle_together (snapshot, error))
    return give_up (peer);
  snapshot->progress = PRECOPIED;
  return per_vm (snapshot, fill_precopy);
}

/* ---- pause, release ---- */

/* The coordinator may be stuck: what the job has in the guests must go, and the VMs be free. */
static void
end_failed_cut (CsRpcPeer *peer)
{
  Snapshot *snapshot = cs_rpc_peer_job (peer, &snapshot_class, NULL);
  if (snapshot == NULL)
    return;
  g_mutex_lock (&snapshot->lock);
  bool failed = snapshot->cut_failed;
  g_mutex_unlock (&snapshot->lock);
  if (!failed)
    return;
  GError *reason = NULL;
  snapshot_cancel (snapshot);
  cs_fan_out_end (snapshot->participants, &reason);
  cs_rpc_peer_fail_job (peer, reason);
}

static bool
pause_one (gpointer data, GError **error)
{
  Snapshot *snapshot = ((Participant *)data)->snapshot;
  if (cs_capture_pause (((Participant *)data)->capture, error))
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

static guint64
skew (const Snapshot *snapshot)
{
  gint64 first = G_MAXINT64, last = 0;
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      gint64 at = cs_capture_stats (participant (snapshot, i)->capture)->paused_at;
      first = MIN (first, at);
      last = MAX (last, at);
    }
  return (guint64)(last - first);
}

json_object *
cs_rpc_snapshot_pause (CsRpcPeer *peer, json_object *params, GError **error)
{
  Snapshot *snapshot = job_at (peer, PRECOPIED, error);
  if (snapshot == NULL)
    return NULL;
  cs_fan_out_begin (snapshot->participants, pause_one);
  bool all = true;
  for (guint i = 0; i < snapshot->participants->len; i++)
    all = cs_capture_wait_paused (participant (snapshot, i)->capture) && all;
  if (!all)
    {
      /* The cut cannot be: nobody waits any longer. */
      snapshot_cancel (snapshot);
      cs_fan_out_end (snapshot->participants, error);
      return give_up (peer);
    }
  /* The workers capture meanwhile. */
  snapshot->flows = cs_job_lines_cut (snapshot->lines);
  snapshot->progress = PAUSED;
  json_object *result = per_vm (snapshot, fill_paused);
  cs_json_add_uint (result, "skew", skew (snapshot));
  return result;
}

static void
fill_released (json_object *vm, const CsCapture *capture)
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
  Snapshot *snapshot = job_at (peer, PAUSED, error);
  if (snapshot == NULL)
    return NULL;
  for (guint i = 0; i < snapshot->participants->len; i++)
    cs_capture_permit_resume (participant (snapshot, i)->capture);
  if (!cs_fan_out_end (snapshot->participants, error) || !cs_fault_point ("resume", error))
    return give_up (peer);
  cs_job_lines_settle (snapshot->lines);
  snapshot->progress = RELEASED;
  json_object *result = per_vm (snapshot, fill_released);
  cs_json_add_uint (result, "skew", skew (snapshot));
  cs_json_add_uint (result, "flows", (guint64)snapshot->flows);
  return result;
}

/* ---- store ---- */

static bool
report_stored (guint64 done, guint64 total, void *data)
{
  Participant *one = data;
  json_object *event = json_object_new_object ();
  cs_json_add_string (event, "event", "progress");
  cs_json_add_string (event, "vm", one->member.vm->ref->name);
  cs_json_add_string (event, "text", "storing pages");
  cs_json_add_uint (event, "done", done);
  cs_json_add_uint (event, "total", total);
  cs_rpc_peer_notify (one->snapshot->peer, event);
  return true;
}

static bool
store_one (gpointer data, GError **error)
{
  Participant *one = data;
  return cs_capture_store (one->capture, report_stored, one, error);
}

static void
fill_stored (json_object *vm, const CsCapture *capture)
{
  const CsCaptureStats *stats = cs_capture_stats (capture);
  cs_json_add_string (vm, "image", cs_capture_image (capture));
  cs_json_add_uint (vm, "pages-captured", stats->pages);
  cs_json_add_uint (vm, "bytes-captured", stats->pages * CS_PAGE_SIZE);
  cs_json_add_uint (vm, "disk-bytes", stats->disk_bytes);
  cs_json_add_uint (vm, "device-bytes", stats->device_bytes);
  cs_json_add_uint (vm, "pages-put", stats->image.pages_put);
  cs_json_add_uint (vm, "pages-zero", stats->image.pages_zero);
  cs_json_add_uint (vm, "pages-shared", stats->image.pages_shared);
  cs_json_add_uint (vm, "pages-stored", stats->image.pages_stored);
  cs_json_add_uint (vm, "bytes-stored", stats->image.bytes_stored);
  cs_capture_report_agent (capture, vm);
}

/* The VMs' documents for the manifest, with their statistics. */
static void
collect_documents (Snapshot *snapshot)
{
  snapshot->manifest_vms = json_object_new_array ();
  snapshot->images = json_object_new_array ();
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      const CsCapture *capture = participant (snapshot, i)->capture;
      json_object *document = cs_capture_document (capture);
      json_object *stats = json_object_new_object ();
      fill_released (stats, capture);
      fill_stored (stats, capture);
      cs_json_add_uint (stats, "flows", (guint64)snapshot->flows);
      json_object_object_add (document, "stats", stats);
      cs_job_lines_add_to (snapshot->lines, participant (snapshot, i)->member.vm->ref->name,
                           document);
      json_object_array_add (snapshot->manifest_vms, document);
      json_object_array_add (snapshot->images, json_object_new_string (cs_capture_image (capture)));
    }
}

json_object *
cs_rpc_snapshot_store (CsRpcPeer *peer, json_object *params, GError **error)
{
  Snapshot *snapshot = job_at (peer, RELEASED, error);
  if (snapshot == NULL)
    return NULL;
  if (!cs_fan_out (snapshot->participants, store_one, error)
      || !cs_store_commit (snapshot->store, error))
    return give_up (peer);
  collect_documents (snapshot);
  snapshot->progress = STORED;
  return per_vm (snapshot, fill_stored);
}

/* ---- seal ---- */

/* The snapshot that every VM's delta starts from, or NULL when they differ. */
static const char *
common_parent (const Snapshot *snapshot)
{
  const char *parent = NULL;
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      const CsVmBase *base = participant (snapshot, i)->member.vm->base;
      const char *own = cs_capture_is_incremental (participant (snapshot, i)->capture) && base
                            ? base->snapshot
                            : NULL;
      if (own == NULL || (i > 0 && g_strcmp0 (own, parent) != 0))
        return NULL;
      parent = own;
    }
  return parent;
}

static guint64
longest_pause (const Snapshot *snapshot)
{
  gint64 longest = 0;
  for (guint i = 0; i < snapshot->participants->len; i++)
    longest = MAX (longest, cs_capture_stats (participant (snapshot, i)->capture)->pause);
  return (guint64)longest;
}

static json_object *
manifest_new (const Snapshot *snapshot, json_object *coordinator)
{
  json_object *manifest = json_object_new_object ();
  g_autoptr (GDateTime) utc = g_date_time_new_now_utc ();
  g_autofree char *created = g_date_time_format (utc, "%Y-%m-%dT%H:%M:%S.%fZ");
  const char *parent = common_parent (snapshot);
  cs_json_add_string (manifest, "format", "clusnap-manifest");
  cs_json_add_uint (manifest, "version", 1);
  cs_json_add_string (manifest, "cluster", snapshot->cluster);
  cs_json_add_string (manifest, "snapshot", snapshot->name);
  if (snapshot->partial)
    json_object_object_add (manifest, "partial", json_object_new_boolean (true));
  json_object_object_add (manifest, "parent", parent ? json_object_new_string (parent) : NULL);
  cs_json_add_string (manifest, "created", created);
  json_object_object_add (manifest, "images", json_object_get (snapshot->images));
  cs_json_add_uint (manifest, "pause", longest_pause (snapshot));
  cs_json_add_uint (manifest, "skew", skew (snapshot));
  cs_json_add_uint (manifest, "total", (guint64)(g_get_monotonic_time () - snapshot->begun_at));
  json_object_object_add (manifest, "vms", json_object_get (snapshot->manifest_vms));
  json_object_object_add (manifest, "coordinator", json_object_get (coordinator));
  return manifest;
}

static bool
commit_one (gpointer data, GError **error)
{
  Participant *one = data;
  cs_capture_commit (one->capture);
  one->member.vm->base->snapshot = g_strdup (one->snapshot->name);
  return true;
}

json_object *
cs_rpc_snapshot_seal (CsRpcPeer *peer, json_object *params, GError **error)
{
  Snapshot *snapshot = job_at (peer, STORED, error);
  if (snapshot == NULL)
    return NULL;
  g_autoptr (CsJson) manifest = manifest_new (snapshot, cs_json_member_object (params, "manifest"));
  if (!cs_fault_point ("seal", error)
      || !cs_store_manifest_put (snapshot->store, snapshot->cluster, snapshot->name, manifest,
                                 error))
    return give_up (peer);
  cs_fan_out (snapshot->participants, commit_one, NULL);
  snapshot->progress = SEALED;
  json_object *result = json_object_new_object ();
  cs_json_add_uint (result, "total", (guint64)(g_get_monotonic_time () - snapshot->begun_at));
  cs_json_add_uint (result, "pause", longest_pause (snapshot));
  cs_json_add_uint (result, "skew", skew (snapshot));
  cs_rpc_peer_end_job (peer);
  return result;
}
