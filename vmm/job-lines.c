#include "config.h"

#include "vmm/job-lines.h"

#include "common/error.h"

#include <string.h>

struct CsJobLines
{
  CsDaemon *daemon;
  CsClusterLines *lines; /* the daemon's */
  GPtrArray *members;    /* of CsMember */
  GPtrArray *others;     /* of CsVm: not of the job */
  GPtrArray *names;      /* of the job's VMs, borrowed from them */
  CsCut *cut;
};

static const char *
name_of (const CsVm *vm)
{
  return vm->ref->name;
}

static bool
is_of_job (const CsJobLines *job, const char *name)
{
  return g_ptr_array_find_with_equal_func (job->names, name, g_str_equal, NULL);
}

CsJobLines *
cs_job_lines_new (CsDaemon *daemon, CsStore *store, const char *cluster, GPtrArray *members,
                  const GPtrArray *others, GError **error)
{
  CsClusterLines *lines = cs_daemon_lines (daemon, store, cluster, error);
  if (lines == NULL)
    return NULL;
  CsJobLines *job = g_new0 (CsJobLines, 1);
  g_autoptr (GPtrArray) all = g_ptr_array_new ();
  job->daemon = daemon;
  job->lines = lines;
  job->members = g_ptr_array_ref (members);
  job->others = g_ptr_array_new ();
  job->names = g_ptr_array_new ();
  for (guint i = 0; i < members->len; i++)
    {
      const CsVm *vm = ((CsMember *)g_ptr_array_index (members, i))->vm;
      g_ptr_array_add (job->names, (gpointer)name_of (vm));
      g_ptr_array_add (all, (gpointer)name_of (vm));
    }
  for (guint i = 0; others != NULL && i < others->len; i++)
    {
      const CsVmRef *ref = g_ptr_array_index (others, i);
      if (is_of_job (job, ref->name))
        continue;
      CsVm *vm = cs_vm_table_get (daemon->vms, ref);
      g_ptr_array_add (job->others, vm);
      g_ptr_array_add (all, ref->name);
    }
  cs_cluster_lines_set_vms (lines, all, others != NULL);
  return job;
}

void
cs_job_lines_free (CsJobLines *job)
{
  if (job == NULL)
    return;
  cs_cut_unref (job->cut);
  g_ptr_array_unref (job->members);
  g_ptr_array_unref (job->others);
  g_ptr_array_unref (job->names);
  g_free (job);
}

CsClusterLines *
cs_job_lines_cluster (const CsJobLines *job)
{
  return job->lines;
}

/* ---- looking ---- */

static void
look (CsJobLines *job, const char *vm, CsMonitor *monitor, bool fresh)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsVmNetwork) network = cs_vm_network_look (monitor, &error);
  if (network == NULL || !cs_cluster_lines_look (job->lines, vm, network, fresh, &error))
    g_warning ("VM '%s' is taken for dependent on all others: %s", vm, error->message);
}

void
cs_job_lines_look (CsJobLines *job, const char *vm, CsMonitor *monitor)
{
  look (job, vm, monitor, false);
}

void
cs_job_lines_sweep (CsJobLines *job)
{
  cs_cluster_lines_sweep (job->lines);
}

void
cs_job_lines_look_fresh (CsJobLines *job, const char *vm, CsMonitor *monitor)
{
  look (job, vm, monitor, true);
}

typedef struct
{
  CsJobLines *job;
  CsVm *vm;
} Look;

static bool
look_one (gpointer data, GError **error)
{
  const Look *one = data;
  look (one->job, name_of (one->vm), cs_vm_monitor (one->vm), false);
  return true;
}

static bool
look_other (gpointer data, GError **error)
{
  const Look *one = data;
  if (!cs_vm_open (one->vm, error))
    return false;
  look_one (data, NULL);
  cs_vm_close (one->vm);
  return true;
}

/* One that does not run sends nothing; of one that another job has, what is known of it may do. */
static void
not_looked_at (CsJobLines *job, const char *vm, const GError *reason)
{
  g_debug ("%s", reason->message);
  bool runs = !g_error_matches (reason, CS_ERROR, CS_ERROR_NOT_FOUND)
              && !g_error_matches (reason, CS_ERROR, CS_ERROR_STATE);
  if (runs && !cs_cluster_lines_knows (job->lines, vm))
    cs_cluster_lines_missed (job->lines, vm);
}

static void
look_at_others (CsJobLines *job)
{
  for (guint i = 0; i < job->others->len; i++)
    {
      g_autoptr (GError) error = NULL;
      Look one = { job, g_ptr_array_index (job->others, i) };
      if (!cs_vm_claim_briefly (one.vm, "a look at its network", &error))
        {
          not_looked_at (job, name_of (one.vm), error);
          continue;
        }
      if (!cs_worker_run (one.vm->worker, look_other, &one, &error))
        not_looked_at (job, name_of (one.vm), error);
      cs_vm_release (one.vm);
    }
}

bool
cs_job_lines_check (CsJobLines *job, GError **error)
{
  cs_job_lines_sweep (job);
  for (guint i = 0; i < job->members->len; i++)
    {
      Look one = { job, ((CsMember *)g_ptr_array_index (job->members, i))->vm };
      cs_worker_run (one.vm->worker, look_one, &one, NULL);
    }
  look_at_others (job);
  return cs_cluster_lines_reserve (job->lines, job->names, error);
}

/* ---- the cut ---- */

gint64
cs_job_lines_cut (CsJobLines *job)
{
  job->cut = cs_cluster_lines_cut (job->lines, job->names);
  return cs_cut_time (job->cut);
}

void
cs_job_lines_go_back (CsJobLines *job, const GPtrArray *documents)
{
  cs_cut_unref (job->cut);
  job->cut = cs_cluster_lines_go_back (job->lines, documents);
}

void
cs_job_lines_settle (CsJobLines *job)
{
  g_autoptr (GError) error = NULL;
  if (!cs_cluster_lines_settle (job->lines, &error))
    g_warning ("who depends on whom is not written down: %s", error->message);
}

void
cs_job_lines_add_to (const CsJobLines *job, const char *vm, json_object *document)
{
  if (job->cut != NULL)
    cs_cut_add_to (job->cut, vm, document);
}
