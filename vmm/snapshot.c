/* The snapshot job: the methods snapshot.begin ... snapshot.seal, for this host's VMs.
 *
 * The coordinator calls them in the order of the stages; a method out of order is refused.  The job
 * belongs to the connection: when that ends at whatever point, snapshot_free undoes what is not
 * complete, and the VMs run.
 */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/snapshot-private.h"

enum
{
  DEFAULT_PAUSE_DEADLINE = 2000000, /* us */
  MAX_PAUSE_DEADLINE = 60000000,
  DEFAULT_QUIESCE_DEADLINE = 2000000, /* us */
  MAX_QUIESCE_DEADLINE = 60000000,
  DEFAULT_ROUNDS = 4,
  MAX_ROUNDS = 32,
};

CsSnapshotVm *
cs_snapshot_vm (const CsSnapshot *snapshot, guint i)
{
  return g_ptr_array_index (snapshot->participants, i);
}

/* ---- end of a job ---- */

void
cs_snapshot_cancel (gpointer job)
{
  CsSnapshot *snapshot = job;
  g_mutex_lock (&snapshot->lock);
  snapshot->cancelled = true;
  for (guint i = 0; i < snapshot->participants->len; i++)
    if (cs_snapshot_vm (snapshot, i)->capture != NULL)
      cs_capture_cancel (cs_snapshot_vm (snapshot, i)->capture);
  g_mutex_unlock (&snapshot->lock);
}

static bool
free_capture (gpointer data, GError **error)
{
  CsSnapshotVm *one = data;
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
discard_images (CsSnapshot *snapshot)
{
  if (snapshot->progress != CS_SNAPSHOT_STORED)
    return;
  for (guint i = 0; i < snapshot->participants->len; i++)
    cs_store_discard (snapshot->store, cs_capture_image (cs_snapshot_vm (snapshot, i)->capture));
}

static void
snapshot_free (gpointer job)
{
  CsSnapshot *snapshot = job;
  g_autoptr (GError) error = NULL;
  cs_snapshot_cancel (snapshot);
  if (!cs_fan_out_end (snapshot->participants, &error))
    g_debug ("snapshot '%s/%s': %s", snapshot->cluster, snapshot->name, error->message);
  discard_images (snapshot);
  if (snapshot->claimed)
    {
      cs_fan_out (snapshot->participants, free_capture, NULL);
      for (guint i = 0; i < snapshot->participants->len; i++)
        cs_vm_release (cs_snapshot_vm (snapshot, i)->member.vm);
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

const CsRpcJobClass cs_snapshot_class = { cs_snapshot_cancel, snapshot_free };

CsSnapshot *
cs_snapshot_at (CsRpcPeer *peer, CsSnapshotProgress expected, GError **error)
{
  CsSnapshot *snapshot = cs_rpc_peer_job (peer, &cs_snapshot_class, error);
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

json_object *
cs_snapshot_give_up (CsRpcPeer *peer)
{
  cs_rpc_peer_end_job (peer);
  return NULL;
}

json_object *
cs_snapshot_per_vm (CsSnapshot *snapshot, void (*fill) (json_object *vm, const CsCapture *capture))
{
  json_object *result = json_object_new_object ();
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      json_object *vm = json_object_new_object ();
      cs_json_add_string (vm, "name", cs_snapshot_vm (snapshot, i)->member.vm->ref->name);
      fill (vm, cs_snapshot_vm (snapshot, i)->capture);
      json_object_array_add (vms, vm);
    }
  json_object_object_add (result, "vms", vms);
  return result;
}

/* ---- begin ---- */

static bool
check_name_is_free (CsSnapshot *snapshot, GError **error)
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
add_participants (CsSnapshot *snapshot, json_object *params, GError **error)
{
  g_autoptr (GPtrArray) refs = cs_rpc_vm_refs (params, "vms", error);
  if (refs == NULL)
    return false;
  for (guint i = 0; i < refs->len; i++)
    {
      CsSnapshotVm *one = g_new0 (CsSnapshotVm, 1);
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
add_lines (CsSnapshot *snapshot, json_object *params, GError **error)
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
  CsSnapshot *snapshot = g_new0 (CsSnapshot, 1);
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
      || !cs_rpc_peer_set_job (peer, &cs_snapshot_class, snapshot, error))
    {
      snapshot_free (snapshot);
      return NULL;
    }
  json_object *result = json_object_new_object ();
  cs_json_add_string (result, "job", "snapshot");
  return result;
}
