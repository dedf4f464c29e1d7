/* Theory of operation
 *
 * One loop walks the stages in the table's order; a stage is a request to all hosts, and ends when
 * all have answered.  enter_stage alone changes the stage.  CAPTURE and RESUME are one request,
 * snapshot.release: the daemon resumes each VM as soon as its own capture is done.
 *
 * The barrier (DESIGN: one cut) is the end of PAUSE: release goes out only when every host has
 * reported every one of its VMs paused.  It is checked from what the hosts said (all_stand), not
 * from where the program is, and asserted before release is sent.
 *
 * The coordinator keeps no deadline of the guests: the daemons do, alone.  Its own limit on PAUSE
 * and CAPTURE is later than theirs, only so that it does not wait for a hung daemon for ever.
 *
 * A failure in SEAL is special: the manifest may have been written before the abort arrived.  If
 * all hosts answered seal with success after all, the snapshot exists and the job has succeeded.
 */
#include "config.h"

#include "coord/snapshot-job.h"

#include "common/error.h"
#include "common/realtime.h"
#include "coord/hosts.h"
#include "coord/snapshot-report.h"

#define DEFAULT_PAUSE_DEADLINE (2 * G_USEC_PER_SEC)
#define GRACE (10 * G_USEC_PER_SEC)

struct CsSnapshotJob
{
  char *store;
  char *cluster;
  char *snapshot;
  guint64 pause_deadline;
  char *agent; /* or NULL */
  guint64 quiesce_deadline;
  int interrupt_fd;
  CsSnapshotObserver observer;
  CsHosts *hosts;
  GPtrArray *vms;           /* json_object: each host's array of references */
  GArray *stands;           /* bool per host: it reported all of its VMs paused */
  json_object *cluster_vms; /* NULL: those of the job */
  json_object *coordinator;
  CsStage stage;
  bool entered; /* @stage is valid */
  gint64 began; /* g_get_monotonic_time */
};

static const char *const methods[CS_N_STAGES] = {
  [CS_STAGE_CHECK] = "snapshot.check",     [CS_STAGE_QUIESCE] = "snapshot.quiesce",
  [CS_STAGE_PRECOPY] = "snapshot.precopy", [CS_STAGE_PAUSE] = "snapshot.pause",
  [CS_STAGE_CAPTURE] = "snapshot.release", [CS_STAGE_RESUME] = NULL, /* release's answer says so */
  [CS_STAGE_STORE] = "snapshot.store",     [CS_STAGE_SEAL] = "snapshot.seal",
};

static void
vms_destroy (gpointer vms)
{
  json_object_put (vms);
}

CsSnapshotJob *
cs_snapshot_job_new (const char *store, const char *cluster, const char *snapshot,
                     guint64 pause_deadline, int interrupt_fd, const CsSnapshotObserver *observer)
{
  CsSnapshotJob *job = g_new0 (CsSnapshotJob, 1);
  job->store = g_strdup (store);
  job->cluster = g_strdup (cluster);
  job->snapshot = g_strdup (snapshot);
  job->pause_deadline = pause_deadline;
  job->interrupt_fd = interrupt_fd;
  job->observer = *observer;
  CsRpcWait wait = { .interrupt_fd = interrupt_fd };
  wait.event = observer->progress;
  wait.data = observer->data;
  job->hosts = cs_hosts_new (&wait);
  job->vms = g_ptr_array_new_with_free_func (vms_destroy);
  job->stands = g_array_new (FALSE, TRUE, sizeof (bool));
  return job;
}

void
cs_snapshot_job_free (CsSnapshotJob *job)
{
  if (job == NULL)
    return;
  cs_hosts_free (job->hosts);
  g_ptr_array_unref (job->vms);
  g_array_unref (job->stands);
  json_object_put (job->coordinator);
  json_object_put (job->cluster_vms);
  g_free (job->agent);
  g_free (job->store);
  g_free (job->cluster);
  g_free (job->snapshot);
  g_free (job);
}

void
cs_snapshot_job_add_host (CsSnapshotJob *job, CsRpc *rpc, json_object *vms)
{
  json_object *begin = json_object_new_object ();
  cs_json_add_string (begin, "store", job->store);
  cs_json_add_string (begin, "cluster", job->cluster);
  cs_json_add_string (begin, "snapshot", job->snapshot);
  json_object_object_add (begin, "vms", json_object_get (vms));
  if (job->cluster_vms != NULL)
    json_object_object_add (begin, "cluster-vms", json_object_get (job->cluster_vms));
  if (job->pause_deadline > 0)
    cs_json_add_uint (begin, "pause-deadline", job->pause_deadline);
  cs_json_add_string (begin, "agent", job->agent);
  if (job->quiesce_deadline > 0)
    cs_json_add_uint (begin, "quiesce-deadline", job->quiesce_deadline);
  bool stands = false;
  cs_hosts_add (job->hosts, rpc, begin);
  g_ptr_array_add (job->vms, vms);
  g_array_append_val (job->stands, stands);
}

void
cs_snapshot_job_set_cluster_vms (CsSnapshotJob *job, json_object *vms)
{
  json_object_put (job->cluster_vms);
  job->cluster_vms = vms;
}

void
cs_snapshot_job_set_agent (CsSnapshotJob *job, const char *policy, guint64 deadline)
{
  g_free (job->agent);
  job->agent = g_strdup (policy);
  job->quiesce_deadline = deadline;
}

void
cs_snapshot_job_set_manifest (CsSnapshotJob *job, json_object *coordinator)
{
  json_object_put (job->coordinator);
  job->coordinator = coordinator;
}

/* The only place where the stage changes. */
static void
enter_stage (CsSnapshotJob *job, CsStage stage)
{
  g_assert (stage == (job->entered ? job->stage + 1 : CS_STAGE_CHECK));
  job->stage = stage;
  job->entered = true;
  if (stage == CS_STAGE_PAUSE)
    cs_realtime_raise (CS_REALTIME_SELF);
  else if (stage == CS_STAGE_RESUME)
    cs_realtime_drop (CS_REALTIME_SELF);
  g_info ("snapshot '%s' of cluster '%s': stage %s (%s)", job->snapshot, job->cluster,
          cs_stage_name (stage), cs_stage_participants (stage));
  if (job->observer.stage != NULL)
    job->observer.stage (stage, job->observer.data);
}

static bool
all_stand (CsSnapshotJob *job, GError **error)
{
  for (guint i = 0; i < job->stands->len; i++)
    {
      bool stands = cs_hosts_check_paused (job->hosts, i, g_ptr_array_index (job->vms, i), error);
      g_array_index (job->stands, bool, i) = stands;
      if (!stands)
        return false;
    }
  return true;
}

/* The barrier's invariant. */
static void
assert_barrier (CsSnapshotJob *job)
{
  g_assert (job->stage == CS_STAGE_CAPTURE);
  for (guint i = 0; i < job->stands->len; i++)
    g_assert (g_array_index (job->stands, bool, i));
}

static gint64
deadline_of (CsSnapshotJob *job, CsStage stage)
{
  if (stage != CS_STAGE_PAUSE && stage != CS_STAGE_CAPTURE)
    return 0;
  guint64 limit = job->pause_deadline > 0 ? job->pause_deadline : DEFAULT_PAUSE_DEADLINE;
  return g_get_monotonic_time () + (gint64)limit + GRACE;
}

static bool
run_stage (CsSnapshotJob *job, CsSnapshotReport *report, CsStage stage, GError **error)
{
  g_autoptr (CsJson) extra = NULL;
  enter_stage (job, stage);
  if (stage == CS_STAGE_CAPTURE)
    assert_barrier (job);
  if (stage == CS_STAGE_SEAL && job->coordinator != NULL)
    {
      extra = json_object_new_object ();
      json_object_object_add (extra, "manifest", json_object_get (job->coordinator));
    }
  const char *method = methods[stage];
  if (method != NULL
      && !cs_hosts_request (job->hosts, method, extra, deadline_of (job, stage), error))
    return false;
  if (stage == CS_STAGE_PAUSE && !all_stand (job, error))
    return false;
  if (method != NULL)
    cs_snapshot_report_add (report, stage, job->hosts);
  return job->observer.answered == NULL
         || job->observer.answered (stage, job->observer.data, error);
}

static bool
run_all (CsSnapshotJob *job, CsSnapshotReport *report, GError **error)
{
  if (!cs_hosts_begin (job->hosts, "snapshot", error))
    return false;
  for (int stage = 0; stage < CS_N_STAGES; stage++)
    if (!run_stage (job, report, (CsStage)stage, error))
      return false;
  return true;
}

/* Undoes; the failure then says what became of the guests.  True: it was sealed all the same. */
static bool
undo (CsSnapshotJob *job, CsSnapshotReport *report, GError **failure)
{
  bool sealing = job->entered && job->stage == CS_STAGE_SEAL;
  bool sealed = sealing && cs_hosts_all_succeeded (job->hosts);
  bool undone = sealed || cs_hosts_abort (job->hosts, GRACE);
  if (sealed || (sealing && cs_hosts_all_succeeded (job->hosts)))
    {
      cs_snapshot_report_add (report, CS_STAGE_SEAL, job->hosts);
      return true;
    }
  const char *cancelled =
      g_error_matches (*failure, CS_ERROR, CS_ERROR_CANCELLED) ? "was cancelled" : "failed";
  if (!job->entered)
    g_prefix_error (failure, "snapshot '%s' of cluster '%s' %s before it began: ", job->snapshot,
                    job->cluster, cancelled);
  else
    g_prefix_error (failure, "snapshot '%s' of cluster '%s' %s in stage '%s': ", job->snapshot,
                    job->cluster, cancelled, cs_stage_name (job->stage));
  GError *told =
      g_error_new ((*failure)->domain, (*failure)->code, "%s; %s%s", (*failure)->message,
                   undone ? "the guests run on: "
                          : "clusnapd could not be told and undoes it by itself, at the latest "
                            "when it is started again: ",
                   job->entered ? cs_stage_undo (job->stage) : cs_stage_undo (CS_STAGE_CHECK));
  g_error_free (*failure);
  *failure = told;
  g_info ("%s", told->message);
  return false;
}

json_object *
cs_snapshot_job_run (CsSnapshotJob *job, GError **error)
{
  g_assert (cs_hosts_count (job->hosts) > 0 && !job->entered);
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsSnapshotReport) report = cs_snapshot_report_new (job->cluster, job->snapshot);
  job->began = g_get_monotonic_time ();
  bool done = run_all (job, report, &failure) || undo (job, report, &failure);
  cs_realtime_drop (CS_REALTIME_SELF);
  if (!done)
    {
      g_propagate_error (error, g_steal_pointer (&failure));
      return NULL;
    }
  return cs_snapshot_report_finish (report, (guint64)(g_get_monotonic_time () - job->began));
}
