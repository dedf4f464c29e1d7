/* The restore job: the methods restore.begin ... restore.wait, for this host's VMs.
 *
 * Until restore.release has resumed the VMs the end of the connection undoes everything (QEMUs
 * ended, old disks back in place).  After that nothing is undone: memory that is still arriving is
 * the daemon's business (cs_daemon_watch_filling), whether or not anybody waits for it.
 */
#include "config.h"

#include "common/error.h"
#include "common/fault.h"
#include "common/json.h"
#include "vmm/daemon.h"
#include "vmm/fan-out.h"
#include "vmm/guest-agent.h"

#include <string.h>

/* What a guest agent may take for setting the time. */
#define SET_TIME_LIMIT (10 * G_USEC_PER_SEC)
#define FILL_RATE_MAX 1000000

typedef struct
{
  CsMember member; /* first */
  struct RestoreJob *job;
  json_object *document; /* of the manifest, borrowed from it */
  CsRestore *restore;    /* until released */
  CsRestoreTimes times;
  gint64 running_at;
  char *time; /* "set", or why not; NULL: not asked for */
} Participant;

typedef struct RestoreJob
{
  /* immutable */
  CsDaemon *daemon;
  CsStore *store;
  json_object *manifest;
  char *name; /* of the snapshot */
  bool lazy;
  int fill_rate; /* MiB/s, 0, or CS_LAZY_RATE_ADAPTIVE */
  gint64 begun_at;
  GCancellable *cancellable;
  GPtrArray *participants; /* of Participant */

  /* executing thread */
  bool claimed;
  bool loaded;
  bool released;
} RestoreJob;

static Participant *
participant (const RestoreJob *job, guint i)
{
  return g_ptr_array_index (job->participants, i);
}

static const char *
participant_name (const Participant *one)
{
  return cs_json_string (one->document, "name");
}

static void
participant_free (gpointer data)
{
  g_free (((Participant *)data)->time);
  g_free (data);
}

static void
job_cancel (gpointer data)
{
  g_cancellable_cancel (((RestoreJob *)data)->cancellable);
}

static bool
undo_one (gpointer data, GError **error)
{
  Participant *one = data;
  if (one->restore == NULL)
    return true;
  g_clear_pointer (&one->restore, cs_restore_free);
  cs_journal_remove (one->job->daemon->journal, "fill", one->member.vm->ref);
  cs_vm_reset (one->member.vm);
  return true;
}

static void
job_release_claims (RestoreJob *job)
{
  for (guint i = 0; job->claimed && i < job->participants->len; i++)
    cs_vm_release (participant (job, i)->member.vm);
  job->claimed = false;
}

static void
job_free (gpointer data)
{
  RestoreJob *job = data;
  if (job->claimed)
    cs_fan_out (job->participants, undo_one, NULL);
  job_release_claims (job);
  g_ptr_array_unref (job->participants);
  json_object_put (job->manifest);
  g_object_unref (job->cancellable);
  g_free (job->name);
  g_free (job);
}

static const CsRpcJobClass job_class = { job_cancel, job_free };

/* ---- begin ---- */

/* Whether the request's "vms" (absent: all) names @name. */
static bool
is_wanted (json_object *names, const char *name)
{
  if (names == NULL)
    return true;
  for (gsize i = 0; i < json_object_array_length (names); i++)
    if (g_strcmp0 (json_object_get_string (json_object_array_get_idx (names, i)), name) == 0)
      return true;
  return false;
}

/* Where the VM is to run: the manifest's source says. */
static CsVmRef *
ref_of_document (json_object *document, GError **error)
{
  json_object *source = cs_json_member_object (document, "source");
  g_autoptr (CsJson) ref = json_object_new_object ();
  cs_json_add_string (ref, "name", cs_json_string (document, "name"));
  cs_json_add_string (ref, "uri", cs_json_string (source, "uri"));
  cs_json_add_string (ref, "domain", cs_json_string (source, "domain"));
  cs_json_add_string (ref, "qmp", cs_json_string (source, "socket"));
  return cs_vm_ref_from_json (ref, error);
}

static bool
add_participant (RestoreJob *job, json_object *document, GError **error)
{
  g_autoptr (CsVmRef) ref = ref_of_document (document, error);
  if (ref == NULL)
    {
      g_prefix_error (error, "snapshot '%s': ", job->name);
      return false;
    }
  Participant *one = g_new0 (Participant, 1);
  one->job = job;
  one->document = document;
  one->member.vm = cs_vm_table_get (job->daemon->vms, ref);
  g_ptr_array_add (job->participants, one);
  return true;
}

static bool
add_participants (RestoreJob *job, json_object *params, GError **error)
{
  json_object *names = cs_json_array (params, "vms");
  json_object *documents = cs_json_array (job->manifest, "vms");
  gsize n = documents ? json_object_array_length (documents) : 0;
  for (gsize i = 0; names != NULL && i < json_object_array_length (names); i++)
    {
      const char *name = json_object_get_string (json_object_array_get_idx (names, i));
      if (cs_json_find_named (documents, name ? name : "") != NULL)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "snapshot '%s' has no VM '%s'", job->name,
                   name ? name : "");
      return false;
    }
  for (gsize i = 0; i < n; i++)
    {
      json_object *document = json_object_array_get_idx (documents, i);
      if (is_wanted (names, cs_json_string (document, "name"))
          && !add_participant (job, document, error))
        return false;
    }
  if (job->participants->len > 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "snapshot '%s' names no VM", job->name);
  return false;
}

static bool
check_one (gpointer data, GError **error)
{
  Participant *one = data;
  return cs_source_check_absent (cs_json_member_object (one->document, "source"), error);
}

/* Member "fill-rate" of @params. */
static bool
parse_fill_rate (json_object *params, int *rate, GError **error)
{
  json_object *member;
  *rate = CS_LAZY_RATE_ADAPTIVE;
  if (!json_object_object_get_ex (params, "fill-rate", &member))
    return true;
  gint64 value = json_object_is_type (member, json_type_int) ? json_object_get_int64 (member) : -1;
  *rate = (int)value;
  if (value >= 0 && value <= FILL_RATE_MAX)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "\"fill-rate\" must be a number of MiB/s from 0 (as fast as possible) to %d",
               FILL_RATE_MAX);
  return false;
}

static RestoreJob *
job_new (CsRpcPeer *peer, json_object *params, GError **error)
{
  const char *cluster = cs_rpc_string (params, "cluster", error);
  const char *snapshot = cluster ? cs_rpc_string (params, "snapshot", error) : NULL;
  CsStore *store = snapshot ? cs_rpc_store (peer, params, error) : NULL;
  int fill_rate;
  if (store == NULL || !parse_fill_rate (params, &fill_rate, error))
    return NULL;
  json_object *manifest = cs_store_manifest_get (store, cluster, snapshot, error);
  if (manifest == NULL)
    return NULL;
  RestoreJob *job = g_new0 (RestoreJob, 1);
  job->daemon = cs_rpc_peer_user_data (peer);
  job->store = store;
  job->manifest = manifest;
  job->name = g_strdup (snapshot);
  job->lazy = g_strcmp0 (cs_json_string (params, "mode"), "eager") != 0;
  job->fill_rate = fill_rate;
  job->begun_at = g_get_monotonic_time ();
  job->cancellable = g_cancellable_new ();
  job->participants = g_ptr_array_new_with_free_func (participant_free);
  return job;
}

json_object *
cs_rpc_restore_begin (CsRpcPeer *peer, json_object *params, GError **error)
{
  RestoreJob *job = job_new (peer, params, error);
  if (job == NULL)
    return NULL;
  g_autofree char *holder = g_strdup_printf ("a restore of snapshot '%s'", job->name);
  bool begun = add_participants (job, params, error);
  if (begun)
    begun = job->claimed = cs_fan_out_claim (job->participants, holder, error);
  begun = begun && cs_fan_out (job->participants, check_one, error)
          && cs_rpc_peer_set_job (peer, &job_class, job, error);
  if (!begun)
    {
      job_free (job);
      return NULL;
    }
  json_object *result = json_object_new_object ();
  json_object *names = json_object_new_array ();
  for (guint i = 0; i < job->participants->len; i++)
    json_object_array_add (names, json_object_new_string (participant_name (participant (job, i))));
  cs_json_add_string (result, "job", "restore");
  json_object_object_add (result, "vms", names);
  return result;
}

/* ---- load ---- */

/* What the restored VM's next snapshot is a delta to. */
static CsVmBase *
base_of (const Participant *one, const char *bitmap, GError **error)
{
  g_autoptr (GPtrArray) disks = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_disk_free);
  json_object *documents = cs_json_array (one->document, "disks");
  for (gsize i = 0; documents != NULL && i < json_object_array_length (documents); i++)
    {
      CsDisk *disk = cs_disk_from_json (json_object_array_get_idx (documents, i), error);
      if (disk == NULL)
        return NULL;
      g_ptr_array_add (disks, disk);
    }
  CsVmBase *base = cs_vm_base_new (one->job->store, cs_json_string (one->document, "image"),
                                   cs_restore_tracker (one->restore), bitmap, disks);
  base->snapshot = g_strdup (one->job->name);
  return base;
}

static bool
load_one (gpointer data, GError **error)
{
  Participant *one = data;
  RestoreJob *job = one->job;
  g_autofree char *bitmap = g_strdup_printf ("clusnap-%08x%08x", g_random_int (), g_random_int ());
  CsRestoreOptions options = { .lazy = job->lazy,
                               .fill_rate = job->fill_rate,
                               .log_directory = job->daemon->log_directory,
                               .serve_directory = job->daemon->serve_directory,
                               .disk_bitmap = bitmap };
  cs_vm_reset (one->member.vm);
  one->restore = cs_restore_new (job->store, one->document, &options, error);
  if (one->restore == NULL || !cs_restore_load (one->restore, job->cancellable, error)
      || !cs_fault_point ("load", error))
    return false;
  CsVmBase *base = base_of (one, bitmap, error);
  if (base == NULL)
    return false;
  cs_vm_adopt (one->member.vm, cs_restore_monitor (one->restore), base);
  cs_restore_times (one->restore, &one->times);
  return true;
}

static json_object *
give_up (CsRpcPeer *peer)
{
  cs_rpc_peer_end_job (peer);
  return NULL;
}

json_object *
cs_rpc_restore_load (CsRpcPeer *peer, json_object *params, GError **error)
{
  RestoreJob *job = cs_rpc_peer_job (peer, &job_class, error);
  if (job == NULL)
    return NULL;
  if (job->loaded)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the VMs are loaded already");
      return NULL;
    }
  if (!cs_fan_out (job->participants, load_one, error))
    return give_up (peer);
  job->loaded = true;
  json_object *result = json_object_new_object ();
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < job->participants->len; i++)
    {
      const Participant *one = participant (job, i);
      json_object *vm = json_object_new_object ();
      cs_json_add_string (vm, "name", participant_name (one));
      cs_json_add_uint (vm, "disks", (guint64)one->times.disks);
      cs_json_add_uint (vm, "launch", (guint64)one->times.launch);
      cs_json_add_uint (vm, "load", (guint64)one->times.load);
      json_object_array_add (vms, vm);
    }
  json_object_object_add (result, "vms", vms);
  return result;
}

/* ---- release ---- */

/* Before the VM runs, and again when it does: what is to be done with it differs. */
static bool
journal_filling (Participant *one, GError **error)
{
  json_object *state = cs_restore_to_json (one->restore);
  if (state == NULL)
    return true;
  json_object *extra = json_object_new_object ();
  cs_json_add_string (extra, "store", cs_store_path (one->job->store));
  cs_json_add_string (extra, "snapshot", one->job->name);
  json_object_object_add (extra, "restore", state);
  return cs_journal_add (one->job->daemon->journal, "fill", one->member.vm->ref,
                         one->member.vm->pid, extra, error);
}

static bool
journal_one (gpointer data, GError **error)
{
  return journal_filling (data, error);
}

static bool
resume_one (gpointer data, GError **error)
{
  Participant *one = data;
  if (!cs_restore_resume (one->restore, error))
    return false;
  one->running_at = g_get_monotonic_time ();
  g_autoptr (GError) unsaid = NULL;
  if (!journal_filling (one, &unsaid))
    g_warning ("VM '%s': %s", participant_name (one), unsaid->message);
  return true;
}

/* A guest without an agent is no failure. */
static bool
set_time_one (gpointer data, GError **error)
{
  Participant *one = data;
  g_autoptr (GError) reason = NULL;
  bool set = cs_guest_agent_set_time (cs_restore_monitor (one->restore),
                                      g_get_monotonic_time () + SET_TIME_LIMIT, &reason);
  one->time = g_strdup (set ? "set" : reason->message);
  return true;
}

static bool
wants_time (json_object *params)
{
  json_object *value = NULL;
  return json_object_object_get_ex (params, "set-time", &value)
         && json_object_is_type (value, json_type_boolean) && json_object_get_boolean (value);
}

json_object *
cs_rpc_restore_release (CsRpcPeer *peer, json_object *params, GError **error)
{
  RestoreJob *job = cs_rpc_peer_job (peer, &job_class, error);
  if (job == NULL)
    return NULL;
  if (!job->loaded || job->released)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "restore.release comes once, after restore.load");
      return NULL;
    }
  if (!cs_fan_out (job->participants, journal_one, error)
      || !cs_fan_out (job->participants, resume_one, error))
    return give_up (peer);
  job->released = true;
  if (wants_time (params))
    cs_fan_out (job->participants, set_time_one, NULL);
  json_object *result = json_object_new_object ();
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < job->participants->len; i++)
    {
      Participant *one = participant (job, i);
      json_object *vm = json_object_new_object ();
      cs_json_add_string (vm, "name", participant_name (one));
      cs_json_add_uint (vm, "running", (guint64)(one->running_at - job->begun_at));
      cs_json_add_string (vm, "time", one->time);
      json_object_array_add (vms, vm);
      cs_vm_set_filling (one->member.vm, g_steal_pointer (&one->restore));
    }
  job_release_claims (job);
  for (guint i = 0; i < job->participants->len; i++)
    cs_daemon_watch_filling (job->daemon, participant (job, i)->member.vm);
  json_object_object_add (result, "vms", vms);
  return result;
}

/* ---- wait ---- */

static void
report_filling (CsRpcPeer *peer, const RestoreJob *job)
{
  guint64 done = 0, total = 0, disk_done = 0, disk_total = 0;
  for (guint i = 0; i < job->participants->len; i++)
    {
      CsVmFill fill;
      cs_vm_fill (participant (job, i)->member.vm, &fill);
      done += fill.done;
      total += fill.total;
      disk_done += fill.disk_done;
      disk_total += fill.disk_total;
    }
  bool disks = done == total && disk_total > 0;
  json_object *event = json_object_new_object ();
  cs_json_add_string (event, "event", "progress");
  cs_json_add_string (event, "text", disks ? "filling disks" : "filling memory");
  cs_json_add_uint (event, "done", disks ? disk_done : done);
  cs_json_add_uint (event, "total", disks ? disk_total : total);
  cs_rpc_peer_notify (peer, event);
}

static bool
wait_filled (CsRpcPeer *peer, const RestoreJob *job, GError **error)
{
  for (guint i = 0; i < job->participants->len; i++)
    while (!cs_vm_wait_filled (participant (job, i)->member.vm, 200000))
      {
        if (g_cancellable_is_cancelled (job->cancellable))
          {
            g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED,
                         "no longer waiting; the VMs run and their memory goes on arriving");
            return false;
          }
        report_filling (peer, job);
      }
  return true;
}

json_object *
cs_rpc_restore_wait (CsRpcPeer *peer, json_object *params, GError **error)
{
  RestoreJob *job = cs_rpc_peer_job (peer, &job_class, error);
  if (job == NULL)
    return NULL;
  if (!job->released)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "restore.wait comes after restore.release");
      return NULL;
    }
  if (!wait_filled (peer, job, error))
    return give_up (peer);
  json_object *result = json_object_new_object ();
  json_object *vms = json_object_new_array ();
  g_autoptr (GString) failures = g_string_new (NULL);
  for (guint i = 0; i < job->participants->len; i++)
    {
      const Participant *one = participant (job, i);
      CsVmFill fill;
      cs_vm_fill (one->member.vm, &fill);
      json_object *vm = json_object_new_object ();
      cs_json_add_string (vm, "name", participant_name (one));
      cs_json_add_uint (vm, "resident", (guint64)MAX (fill.ended_at - job->begun_at, 0));
      cs_json_add_uint (vm, "faults", fill.faults);
      cs_json_add_uint (vm, "prefetched", fill.prefetched);
      cs_json_add_uint (vm, "pages", fill.total);
      cs_json_add_uint (vm, "disk-bytes", fill.disk_total);
      json_object_array_add (vms, vm);
      if (fill.failure != NULL)
        g_string_append_printf (failures, "%s%s", failures->len > 0 ? "; " : "", fill.failure);
      g_free (fill.failure);
    }
  json_object_object_add (result, "vms", vms);
  cs_rpc_peer_end_job (peer);
  if (failures->len == 0)
    return result;
  json_object_put (result);
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "%s", failures->str);
  return NULL;
}
