#include "config.h"

#include "coord/restore-job.h"

#include "common/error.h"
#include "coord/vm-report.h"

#define ABORT_LIMIT (10 * G_USEC_PER_SEC)

struct CsRestoreJob
{
  char *store;
  char *cluster;
  char *snapshot;
  bool eager;
  bool wait;
  bool set_time;
  bool bounded; /* by fill_rate */
  guint fill_rate;
  CsRestoreObserver observer;
  CsHosts *hosts;
  bool begun;   /* every host has begun */
  bool running; /* release was answered: nothing is undone any more */
};

static const struct
{
  const char *name;
  const char *method;
  const char *sentence;
} table[] = {
#define X(symbol, name, method, sentence) [CS_RESTORE_STAGE_##symbol] = { name, method, sentence },
  CS_RESTORE_STAGE_TABLE (X)
#undef X
};

const char *
cs_restore_stage_name (CsRestoreStage stage)
{
  g_assert (stage < CS_N_RESTORE_STAGES);
  return table[stage].name;
}

const char *
cs_restore_stage_sentence (CsRestoreStage stage)
{
  g_assert (stage < CS_N_RESTORE_STAGES);
  return table[stage].sentence;
}

CsRestoreJob *
cs_restore_job_new (const char *store, const char *cluster, const char *snapshot, bool eager,
                    bool wait, int interrupt_fd, const CsRestoreObserver *observer)
{
  CsRestoreJob *job = g_new0 (CsRestoreJob, 1);
  job->store = g_strdup (store);
  job->cluster = g_strdup (cluster);
  job->snapshot = g_strdup (snapshot);
  job->eager = eager;
  job->wait = wait;
  job->observer = *observer;
  CsRpcWait rpc_wait = { .interrupt_fd = interrupt_fd };
  rpc_wait.event = observer->progress;
  rpc_wait.data = observer->data;
  job->hosts = cs_hosts_new (&rpc_wait);
  return job;
}

void
cs_restore_job_set_time (CsRestoreJob *job)
{
  job->set_time = true;
}

void
cs_restore_job_free (CsRestoreJob *job)
{
  if (job == NULL)
    return;
  cs_hosts_free (job->hosts);
  g_free (job->store);
  g_free (job->cluster);
  g_free (job->snapshot);
  g_free (job);
}

void
cs_restore_job_set_fill_rate (CsRestoreJob *job, guint rate)
{
  job->bounded = true;
  job->fill_rate = rate;
}

static json_object *
begin_new (const CsRestoreJob *job, json_object *vms)
{
  json_object *begin = json_object_new_object ();
  cs_json_add_string (begin, "store", job->store);
  cs_json_add_string (begin, "cluster", job->cluster);
  cs_json_add_string (begin, "snapshot", job->snapshot);
  cs_json_add_string (begin, "mode", job->eager ? "eager" : "lazy");
  if (job->bounded)
    cs_json_add_uint (begin, "fill-rate", job->fill_rate);
  if (vms != NULL)
    json_object_object_add (begin, "vms", vms);
  return begin;
}

void
cs_restore_job_add_host (CsRestoreJob *job, CsRpc *rpc, json_object *vms)
{
  cs_hosts_add (job->hosts, rpc, begin_new (job, vms));
}

void
cs_restore_job_add_clone (CsRestoreJob *job, CsRpc *rpc, json_object *vms, const char *clone,
                          const char *directory)
{
  json_object *begin = begin_new (job, vms), *asked = json_object_new_object ();
  cs_json_add_string (asked, "name", clone);
  cs_json_add_string (asked, "directory", directory);
  json_object_object_add (begin, "clone", asked);
  cs_hosts_add (job->hosts, rpc, begin);
}

bool
cs_restore_job_is_running (const CsRestoreJob *job)
{
  return job->running;
}

static json_object *
report_new (const CsRestoreJob *job)
{
  json_object *report = json_object_new_object ();
  cs_json_add_string (report, "cluster", job->cluster);
  cs_json_add_string (report, "snapshot", job->snapshot);
  cs_json_add_string (report, "mode", job->eager ? "eager" : "lazy");
  json_object_object_add (report, "vms", json_object_new_array ());
  return report;
}

static bool
run_stage (CsRestoreJob *job, json_object *report, CsRestoreStage stage, GError **error)
{
  static const char *const longest[CS_N_RESTORE_STAGES] = { NULL, "running", "resident" };
  g_info ("restore of snapshot '%s' of cluster '%s': stage %s", job->snapshot, job->cluster,
          table[stage].name);
  if (job->observer.stage != NULL)
    job->observer.stage (stage, job->observer.data);
  g_autoptr (CsJson) extra = json_object_new_object ();
  if (stage == CS_RESTORE_STAGE_RELEASE && job->set_time)
    json_object_object_add (extra, "set-time", json_object_new_boolean (true));
  if (!cs_hosts_request (job->hosts, table[stage].method, extra, 0, error))
    return false;
  job->running = job->running || stage == CS_RESTORE_STAGE_RELEASE;
  cs_vm_report_add (report, job->hosts, longest[stage]);
  return job->observer.answered == NULL
         || job->observer.answered (stage, job->observer.data, error);
}

static bool
run_all (CsRestoreJob *job, json_object *report, GError **error)
{
  if (!cs_hosts_begin (job->hosts, "restore", error))
    return false;
  job->begun = true;
  for (guint i = 0; job->observer.begun != NULL && i < cs_hosts_count (job->hosts); i++)
    if (!job->observer.begun (i, cs_hosts_answer (job->hosts, i), job->observer.data, error))
      return false;
  int end = job->wait ? CS_N_RESTORE_STAGES : CS_RESTORE_STAGE_WAIT;
  for (int stage = 0; stage < end; stage++)
    if (!run_stage (job, report, (CsRestoreStage)stage, error))
      return false;
  return true;
}

json_object *
cs_restore_job_run (CsRestoreJob *job, GError **error)
{
  g_assert (cs_hosts_count (job->hosts) > 0 && !job->running);
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsJson) report = report_new (job);
  if (run_all (job, report, &failure))
    return g_steal_pointer (&report);
  const char *fate = "the VMs run; clusnapd goes on filling their memory by itself";
  if (!job->running)
    fate = cs_hosts_abort (job->hosts, ABORT_LIMIT)
               ? "the VMs that were started are ended again"
               : "clusnapd could not be told and ends the VMs that it started by itself";
  if (!job->begun)
    fate = "no VM was started";
  g_set_error (error, failure->domain, failure->code,
               "restore of snapshot '%s' of cluster '%s' failed: %s; %s", job->snapshot,
               job->cluster, failure->message, fate);
  return NULL;
}
