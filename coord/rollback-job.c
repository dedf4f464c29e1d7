/* Theory of operation
 *
 * As in a snapshot, one loop walks the stages, and a stage is a request to all hosts.  What differs
 * is the point of no return: once rollback.apply has gone out, nothing is undone.  An interrupt
 * before that undoes all; one after it is told to the user, and the job goes on.  Whatever fails
 * after it, the daemons finish by themselves when the job is aborted or the connection closes.
 *
 * The barrier is checked from what the hosts said: apply goes out only when every host has reported
 * every VM paused that it had called "in-place" at the beginning (VMs that did not run cannot
 * stand).
 */
#include "config.h"

#include "coord/rollback-job.h"

#include "common/error.h"
#include "common/realtime.h"
#include "coord/vm-report.h"

#include <errno.h>

#define DEFAULT_PAUSE_DEADLINE (2 * G_USEC_PER_SEC)
#define GRACE (10 * G_USEC_PER_SEC)

struct CsRollbackJob
{
  char *store;
  char *cluster;
  char *snapshot; /* or NULL */
  char *target;   /* for messages */
  guint64 pause_deadline;
  CsRollbackObserver observer;
  CsHosts *hosts;
  GPtrArray *in_place; /* json_object per host: the VMs that must stand */
  bool set_time;
  CsRollbackStage stage;
  bool entered; /* @stage is valid */
  bool applied; /* rollback.apply went out: nothing is undone */
};

static void
vms_destroy (gpointer vms)
{
  json_object_put (vms);
}

CsRollbackJob *
cs_rollback_job_new (const char *store, const char *cluster, const char *snapshot,
                     guint64 pause_deadline, int interrupt_fd, const CsRollbackObserver *observer)
{
  CsRollbackJob *job = g_new0 (CsRollbackJob, 1);
  job->store = g_strdup (store);
  job->cluster = g_strdup (cluster);
  job->snapshot = g_strdup (snapshot);
  job->target = snapshot != NULL ? g_strdup_printf ("snapshot '%s'", snapshot)
                                 : g_strdup ("its recovery line");
  job->pause_deadline = pause_deadline;
  job->observer = *observer;
  CsRpcWait wait = { .interrupt_fd = interrupt_fd };
  wait.event = observer->progress;
  wait.data = observer->data;
  job->hosts = cs_hosts_new (&wait);
  job->in_place = g_ptr_array_new_with_free_func (vms_destroy);
  return job;
}

void
cs_rollback_job_free (CsRollbackJob *job)
{
  if (job == NULL)
    return;
  cs_hosts_free (job->hosts);
  g_ptr_array_unref (job->in_place);
  g_free (job->store);
  g_free (job->cluster);
  g_free (job->snapshot);
  g_free (job->target);
  g_free (job);
}

void
cs_rollback_job_set_time (CsRollbackJob *job)
{
  job->set_time = true;
}

void
cs_rollback_job_add_host (CsRollbackJob *job, CsRpc *rpc, json_object *vms)
{
  json_object *begin = json_object_new_object ();
  cs_json_add_string (begin, "store", job->store);
  cs_json_add_string (begin, "cluster", job->cluster);
  cs_json_add_string (begin, "snapshot", job->snapshot);
  if (vms != NULL)
    json_object_object_add (begin, "vms", vms);
  if (job->pause_deadline > 0)
    cs_json_add_uint (begin, "pause-deadline", job->pause_deadline);
  cs_hosts_add (job->hosts, rpc, begin);
}

/* The VMs that the host's answer to rollback.begin says run; INVALID when it names none at all. */
static bool
keep_in_place (CsRollbackJob *job, GError **error)
{
  for (guint i = 0; i < cs_hosts_count (job->hosts); i++)
    {
      json_object *in_place = json_object_new_array ();
      json_object *vms = cs_json_array (cs_hosts_answer (job->hosts, i), "vms");
      gsize n = vms != NULL ? json_object_array_length (vms) : 0;
      g_ptr_array_add (job->in_place, in_place);
      for (gsize k = 0; k < n; k++)
        {
          json_object *vm = json_object_array_get_idx (vms, k);
          const char *way = cs_json_string (vm, "way");
          if (cs_json_string (vm, "name") == NULL || way == NULL)
            return cs_error_set_errno (error, EPROTO, "clusnapd did not say how it takes VMs back");
          if (g_strcmp0 (way, "cold") != 0)
            json_object_array_add (in_place, json_object_get (vm));
        }
      if (n == 0)
        return cs_error_set_errno (error, EPROTO, "clusnapd did not say which VMs it takes back");
    }
  return true;
}

static bool
all_stand (CsRollbackJob *job, GError **error)
{
  for (guint i = 0; i < job->in_place->len; i++)
    if (!cs_hosts_check_paused (job->hosts, i, g_ptr_array_index (job->in_place, i), error))
      return false;
  return true;
}

/* The only place where the stage changes. */
static void
enter_stage (CsRollbackJob *job, CsRollbackStage stage)
{
  g_assert (stage == (job->entered ? job->stage + 1 : CS_ROLLBACK_STAGE_PREPARE));
  job->stage = stage;
  job->entered = true;
  /* Until the end of the job: after the guests run again we only wait. */
  if (stage == CS_ROLLBACK_STAGE_PAUSE)
    cs_realtime_raise (CS_REALTIME_SELF);
  g_info ("rollback of cluster '%s' to %s: stage %s", job->cluster, job->target,
          cs_rollback_stage_name (stage));
  if (job->observer.stage != NULL)
    job->observer.stage (stage, job->observer.data);
}

/* Not a limit on the guests' pause, that is the daemons': only so as not to wait for a hung daemon
 * for ever.  What is past the point of no return is waited for. */
static gint64
deadline_of (const CsRollbackJob *job, CsRollbackStage stage)
{
  if (stage != CS_ROLLBACK_STAGE_PAUSE)
    return 0;
  guint64 limit = job->pause_deadline > 0 ? job->pause_deadline : DEFAULT_PAUSE_DEADLINE;
  return g_get_monotonic_time () + (gint64)limit + GRACE;
}

static bool
request (CsRollbackJob *job, CsRollbackStage stage, GError **error)
{
  g_autoptr (GError) own = NULL;
  const char *method = cs_rollback_stage_method (stage);
  g_autoptr (CsJson) extra = json_object_new_object ();
  if (stage == CS_ROLLBACK_STAGE_RELEASE && job->set_time)
    json_object_object_add (extra, "set-time", json_object_new_boolean (true));
  bool answered = cs_hosts_request (job->hosts, method, extra, deadline_of (job, stage), &own);
  bool sent = cs_hosts_was_sent (job->hosts);
  /* A host that refuses it has changed nothing. */
  if (stage == CS_ROLLBACK_STAGE_APPLY && sent && (answered || !cs_hosts_all_refused (job->hosts)))
    job->applied = true;
  if (answered)
    return true;
  if (!job->applied || !g_error_matches (own, CS_ERROR, CS_ERROR_CANCELLED)
      || !cs_hosts_take_interrupt (job->hosts))
    {
      g_propagate_error (error, g_steal_pointer (&own));
      return false;
    }
  if (job->observer.finishing != NULL)
    job->observer.finishing (job->observer.data);
  return sent ? cs_hosts_wait (job->hosts, error)
              : cs_hosts_request (job->hosts, method, extra, 0, error);
}

static bool
run_stage (CsRollbackJob *job, json_object *report, CsRollbackStage stage, GError **error)
{
  static const char *const longest[CS_N_ROLLBACK_STAGES] = {
    [CS_ROLLBACK_STAGE_PAUSE] = NULL, [CS_ROLLBACK_STAGE_RELEASE] = "pause"
  };
  enter_stage (job, stage);
  if (!request (job, stage, error) || (stage == CS_ROLLBACK_STAGE_PAUSE && !all_stand (job, error)))
    return false;
  cs_vm_report_add (report, job->hosts, longest[stage]);
  for (guint i = 0; stage == CS_ROLLBACK_STAGE_PAUSE && i < cs_hosts_count (job->hosts); i++)
    cs_vm_report_keep_largest (report, "skew",
                               cs_json_uint (cs_hosts_answer (job->hosts, i), "skew", 0));
  return job->observer.answered == NULL
         || job->observer.answered (stage, job->observer.data, error);
}

static bool
run_all (CsRollbackJob *job, json_object *report, GError **error)
{
  if (!cs_hosts_begin (job->hosts, "rollback", error) || !keep_in_place (job, error))
    return false;
  cs_vm_report_add (report, job->hosts, NULL);
  for (int stage = 0; stage < CS_N_ROLLBACK_STAGES; stage++)
    if (!run_stage (job, report, (CsRollbackStage)stage, error))
      return false;
  return true;
}

/* VMs that ran, and had to be started anew. */
static void
count_cold (const CsRollbackJob *job, json_object *report)
{
  guint64 cold = 0;
  json_object *vms = cs_json_array (report, "vms");
  for (guint i = 0; i < job->in_place->len; i++)
    {
      json_object *in_place = g_ptr_array_index (job->in_place, i);
      for (gsize k = 0; k < json_object_array_length (in_place); k++)
        {
          const char *name = cs_json_string (json_object_array_get_idx (in_place, k), "name");
          const char *way = cs_json_string (cs_json_find_named (vms, name), "way");
          cold += g_strcmp0 (way, "cold") == 0;
        }
    }
  cs_json_add_uint (report, "cold", cold);
}

static void
tell_fate (CsRollbackJob *job, const GError *failure, GError **error)
{
  bool told = cs_hosts_abort (job->hosts, GRACE);
  const char *how =
      g_error_matches (failure, CS_ERROR, CS_ERROR_CANCELLED) ? "was cancelled" : "failed";
  const char *fate = told ? "the guests run on"
                          : "clusnapd could not be told and undoes it by itself, at the latest "
                            "when it is started again";
  if (job->applied)
    fate = told ? "clusnapd has finished what was begun"
                : "clusnapd could not be told and finishes by itself, at the latest when it is "
                  "started again";
  g_autofree char *where =
      job->entered ? g_strdup_printf (" in stage '%s'", cs_rollback_stage_name (job->stage))
                   : g_strdup (" before it began");
  g_set_error (
      error, failure->domain, failure->code, "rollback of cluster '%s' to %s %s%s: %s; %s: %s",
      job->cluster, job->target, how, where, failure->message, fate,
      cs_rollback_stage_undo (job->applied ? CS_ROLLBACK_STAGE_APPLY : CS_ROLLBACK_STAGE_PREPARE));
}

json_object *
cs_rollback_job_run (CsRollbackJob *job, GError **error)
{
  g_assert (cs_hosts_count (job->hosts) > 0 && !job->entered);
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsJson) report = json_object_new_object ();
  cs_json_add_string (report, "cluster", job->cluster);
  cs_json_add_string (report, "snapshot", job->snapshot);
  json_object_object_add (report, "vms", json_object_new_array ());
  bool done = run_all (job, report, &failure);
  if (!done)
    tell_fate (job, failure, error);
  cs_realtime_drop (CS_REALTIME_SELF);
  if (!done)
    return NULL;
  count_cold (job, report);
  return g_steal_pointer (&report);
}
