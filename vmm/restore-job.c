/* The restore job: the methods restore.begin ... restore.wait, for this host's VMs.
 *
 * Until restore.release has resumed the VMs the end of the connection undoes everything (QEMUs
 * ended, old disks back in place).  After that nothing is undone: memory that is still arriving is
 * the daemon's business (cs_daemon_watch_filling), whether or not anybody waits for it.
 *
 * With "clone" the same VMs are restored from rewritten documents (clone.h), beside those that run.
 */
#include "config.h"

#include "common/error.h"
#include "common/fault.h"
#include "common/json.h"
#include "vmm/agent.h"
#include "vmm/clone.h"
#include "vmm/cold-restore.h"
#include "vmm/fan-out.h"
#include "vmm/guest-agent.h"
#include "vmm/job-lines.h"
#include "vmm/manifest-vms.h"

#define FILL_RATE_MAX 1000000

typedef struct
{
  CsMember member; /* first */
  struct RestoreJob *job;
  json_object *document; /* of the manifest, borrowed from it */
  char *label;           /* in reports: its name, or CLONE/NAME */
  guint number;          /* of its document */
  CsColdRestore *restore;
  gint64 made; /* us for a clone's disks */
  gint64 running_at;
  char *time;         /* "set", or why not; NULL: not asked for */
  json_object *agent; /* cs_agent_after_restore's report */
  guint64 interval;   /* that begins here (docs/dependencies.md); 0: not known */
} Participant;

typedef struct RestoreJob
{
  /* immutable */
  CsDaemon *daemon;
  CsStore *store;
  json_object *manifest;
  char *name;        /* of the snapshot */
  char *id;          /* in the journal */
  CsJobLines *lines; /* NULL: of a clone, which is a cluster of its own */
  CsClone *clone;    /* NULL: the VMs themselves are restored */
  bool lazy;
  int fill_rate; /* MiB/s, 0, or CS_LAZY_RATE_ADAPTIVE */
  gint64 begun_at;
  GCancellable *cancellable;
  GPtrArray *participants; /* of Participant */

  /* executing thread */
  bool clone_claimed;
  bool clone_begun;
  bool claimed;
  bool loaded;
  bool released;
} RestoreJob;

static Participant *
participant (const RestoreJob *job, guint i)
{
  return g_ptr_array_index (job->participants, i);
}

static void
participant_free (gpointer data)
{
  json_object_put (((Participant *)data)->agent);
  g_free (((Participant *)data)->time);
  g_free (((Participant *)data)->label);
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
  g_clear_pointer (&((Participant *)data)->restore, cs_cold_restore_free);
  return true;
}

static void
job_release_claims (RestoreJob *job)
{
  for (guint i = 0; job->claimed && i < job->participants->len; i++)
    cs_vm_release (participant (job, i)->member.vm);
  job->claimed = false;
}

/* After the QEMUs: unless it runs, nothing of it stays. */
static void
job_end_clone (RestoreJob *job)
{
  g_autoptr (GError) error = NULL;
  if (job->clone_begun && !job->released
      && !cs_clone_remove (job->daemon->clones_directory, cs_clone_record (job->clone), job->store,
                           &error))
    g_warning ("%s", error->message);
  if (job->clone_claimed)
    cs_daemon_release_clone (job->daemon, cs_clone_name (job->clone));
  g_clear_pointer (&job->clone, cs_clone_free);
}

static void
job_free (gpointer data)
{
  RestoreJob *job = data;
  if (job->claimed)
    cs_fan_out (job->participants, undo_one, NULL);
  job_end_clone (job);
  cs_job_lines_free (job->lines);
  job_release_claims (job);
  /* What is left holds nothing of a VM. */
  for (guint i = 0; i < job->participants->len; i++)
    undo_one (participant (job, i), NULL);
  g_ptr_array_unref (job->participants);
  json_object_put (job->manifest);
  g_object_unref (job->cancellable);
  g_free (job->name);
  g_free (job->id);
  g_free (job);
}

static const CsRpcJobClass job_class = { job_cancel, job_free };

/* ---- begin ---- */

static void
add_participant (json_object *document, const CsVmRef *ref, gpointer data)
{
  RestoreJob *job = data;
  Participant *one = g_new0 (Participant, 1);
  one->job = job;
  one->document = document;
  one->number = job->participants->len;
  one->label = job->clone != NULL ? g_strdup_printf ("%s/%s", cs_clone_name (job->clone), ref->name)
                                  : g_strdup (ref->name);
  one->member.vm = cs_vm_table_get (job->daemon->vms, ref);
  CsColdRestoreOptions options = { .daemon = job->daemon,
                                   .vm = one->member.vm,
                                   .store = job->store,
                                   .document = document,
                                   .snapshot = job->name,
                                   .clone_directory =
                                       job->clone != NULL ? cs_clone_directory (job->clone) : NULL,
                                   .job = job->id,
                                   .lazy = job->lazy,
                                   .fill_rate = job->fill_rate };
  one->restore = cs_cold_restore_new (&options);
  g_ptr_array_add (job->participants, one);
}

static void
take_document (json_object *document, const CsVmRef *ref, gpointer array)
{
  json_object_array_add (array, json_object_get (document));
}

/* The documents of the VMs that are asked for become the clone's. */
static bool
plan_clone (RestoreJob *job, json_object *params, GError **error)
{
  json_object *asked = cs_json_member_object (params, "clone");
  if (asked == NULL)
    return true;
  const char *name = cs_rpc_string (asked, "name", error);
  if (name == NULL)
    return false;
  g_autoptr (CsJson) wanted = json_object_new_array ();
  if (!cs_manifest_vms_choose (job->manifest, job->name, cs_json_array (params, "vms"),
                               take_document, wanted, error))
    return false;
  CsCloneRequest request = { .clones = job->daemon->clones_directory,
                             .name = name,
                             .directory = cs_json_string (asked, "directory"),
                             .cluster = cs_json_string (params, "cluster"),
                             .snapshot = job->name };
  job->clone = cs_clone_new (job->store, &request, wanted, error);
  if (job->clone == NULL)
    return false;
  json_object_object_add (job->manifest, "vms", json_object_get (cs_clone_documents (job->clone)));
  return job->clone_claimed = cs_daemon_claim_clone (job->daemon, name, error);
}

static bool
begin_clone (RestoreJob *job, GError **error)
{
  return job->clone == NULL || (job->clone_begun = cs_clone_begin (job->clone, error));
}

static void
describe_clone (const RestoreJob *job, json_object *result)
{
  if (job->clone == NULL)
    return;
  json_object *clone = json_object_new_object ();
  cs_json_add_string (clone, "name", cs_clone_name (job->clone));
  cs_json_add_string (clone, "directory", cs_clone_directory (job->clone));
  json_object_object_add (clone, "vms", cs_clone_refs (cs_clone_record (job->clone)));
  json_object_object_add (result, "clone", clone);
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
  job->id = g_uuid_string_random ();
  job->lazy = g_strcmp0 (cs_json_string (params, "mode"), "eager") != 0;
  job->fill_rate = fill_rate;
  job->begun_at = g_get_monotonic_time ();
  job->cancellable = g_cancellable_new ();
  job->participants = g_ptr_array_new_with_free_func (participant_free);
  return job;
}

/* A clone's VMs are first looked at when it is snapshotted. */
static bool
begin_lines (RestoreJob *job, GError **error)
{
  if (job->clone != NULL)
    return true;
  job->lines = cs_job_lines_new (job->daemon, job->store, cs_json_string (job->manifest, "cluster"),
                                 job->participants, NULL, error);
  return job->lines != NULL;
}

json_object *
cs_rpc_restore_begin (CsRpcPeer *peer, json_object *params, GError **error)
{
  RestoreJob *job = job_new (peer, params, error);
  if (job == NULL)
    return NULL;
  g_autofree char *holder = g_strdup_printf ("a restore of snapshot '%s'", job->name);
  bool begun = plan_clone (job, params, error)
               && cs_manifest_vms_choose (job->manifest, job->name, cs_json_array (params, "vms"),
                                          add_participant, job, error);
  if (begun)
    begun = job->claimed = cs_fan_out_claim (job->participants, holder, error);
  begun = begun && cs_fan_out (job->participants, check_one, error) && begin_clone (job, error)
          && begin_lines (job, error) && cs_rpc_peer_set_job (peer, &job_class, job, error);
  if (!begun)
    {
      job_free (job);
      return NULL;
    }
  json_object *result = json_object_new_object ();
  json_object *names = json_object_new_array ();
  for (guint i = 0; i < job->participants->len; i++)
    json_object_array_add (names, json_object_new_string (participant (job, i)->label));
  cs_json_add_string (result, "job", "restore");
  json_object_object_add (result, "vms", names);
  describe_clone (job, result);
  return result;
}

/* ---- load ---- */

static bool
load_one (gpointer data, GError **error)
{
  Participant *one = data;
  RestoreJob *job = one->job;
  gint64 since = g_get_monotonic_time ();
  if (job->clone != NULL && !cs_clone_make_vm (job->clone, one->number, error))
    return false;
  one->made = g_get_monotonic_time () - since;
  if (!cs_cold_restore_load (one->restore, job->cancellable, error))
    return false;
  /* The kernel takes its time; here it passes while other VMs are still loaded. */
  if (job->lines != NULL)
    cs_job_lines_look_fresh (job->lines, one->member.vm->ref->name,
                             cs_cold_restore_monitor (one->restore));
  return cs_fault_point ("load", error);
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
  if (job->lines != NULL)
    cs_job_lines_sweep (job->lines);
  if (!cs_fan_out (job->participants, load_one, error))
    return give_up (peer);
  job->loaded = true;
  json_object *result = json_object_new_object ();
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < job->participants->len; i++)
    {
      const Participant *one = participant (job, i);
      const CsRestoreTimes *times = cs_cold_restore_times (one->restore);
      json_object *vm = json_object_new_object ();
      cs_json_add_string (vm, "name", one->label);
      cs_json_add_uint (vm, "disks", (guint64)(times->disks + one->made));
      cs_json_add_uint (vm, "launch", (guint64)times->launch);
      cs_json_add_uint (vm, "load", (guint64)times->load);
      json_object_array_add (vms, vm);
    }
  json_object_object_add (result, "vms", vms);
  return result;
}

/* ---- release ---- */

static bool
journal_one (gpointer data, GError **error)
{
  return cs_cold_restore_journal (((Participant *)data)->restore, error);
}

static bool
resume_one (gpointer data, GError **error)
{
  Participant *one = data;
  if (!cs_cold_restore_resume (one->restore, error) || !cs_fault_point ("release", error))
    return false;
  one->running_at = cs_monitor_resumed_at (cs_cold_restore_monitor (one->restore));
  return true;
}

/* A guest without an agent is no failure. */
static bool
set_time_one (gpointer data, GError **error)
{
  Participant *one = data;
  g_autoptr (GError) reason = NULL;
  bool set = cs_guest_agent_set_time (cs_cold_restore_monitor (one->restore),
                                      g_get_monotonic_time () + CS_GUEST_AGENT_TIME_LIMIT, &reason);
  one->time = g_strdup (set ? "set" : reason->message);
  return true;
}

static bool
after_restore_one (gpointer data, GError **error)
{
  Participant *one = data;
  one->agent = cs_agent_after_restore (cs_cold_restore_monitor (one->restore),
                                       one->member.vm->ref->name, one->interval, !one->job->lazy);
  return true;
}

static bool
commit_one (gpointer data, GError **error)
{
  cs_cold_restore_commit (((Participant *)data)->restore);
  return true;
}

/* The VMs do not run yet. */
static void
begin_branches (RestoreJob *job)
{
  g_autoptr (GPtrArray) documents = g_ptr_array_new ();
  if (job->lines == NULL)
    return;
  for (guint i = 0; i < job->participants->len; i++)
    g_ptr_array_add (documents, participant (job, i)->document);
  cs_job_lines_go_back (job->lines, documents);
  cs_job_lines_settle (job->lines);
  for (guint i = 0; i < job->participants->len; i++)
    participant (job, i)->interval = cs_cluster_lines_interval (
        cs_job_lines_cluster (job->lines), participant (job, i)->member.vm->ref->name);
}

/* All of them run, or none: the mark is what a crash in between is judged by.  It goes when the
 * last of the old disks has gone (cs_daemon_watch_filling). */
static bool
release_all (RestoreJob *job, GError **error)
{
  if (!cs_fan_out (job->participants, journal_one, error)
      || !cs_journal_mark (job->daemon->journal, job->id, error))
    return false;
  if (cs_fan_out (job->participants, resume_one, error))
    return cs_fan_out (job->participants, commit_one, error);
  cs_journal_unmark (job->daemon->journal, job->id);
  return false;
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
  begin_branches (job);
  if ((job->clone != NULL && !cs_clone_release (job->clone, error)) || !release_all (job, error))
    return give_up (peer);
  job->released = true;
  cs_rpc_notify_running (peer);
  cs_fan_out (job->participants, after_restore_one, NULL);
  if (cs_json_true (params, "set-time"))
    cs_fan_out (job->participants, set_time_one, NULL);
  json_object *result = json_object_new_object ();
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < job->participants->len; i++)
    {
      Participant *one = participant (job, i);
      json_object *vm = json_object_new_object ();
      cs_json_add_string (vm, "name", one->label);
      cs_json_add_uint (vm, "running", (guint64)(one->running_at - job->begun_at));
      cs_json_add_string (vm, "time", one->time);
      cs_json_merge (vm, one->agent);
      json_object_array_add (vms, vm);
      cs_cold_restore_hand_over (one->restore);
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
      cs_json_add_string (vm, "name", one->label);
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
