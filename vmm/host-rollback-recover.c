/* After a crash.  What was not changed runs on; what may be half rolled back is taken back again,
 * all VMs of the job together, before any of them runs: the journal does not say which of them were
 * back already, and to do it again does no harm.  Theory: host-rollback-journal.c. */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/host-rollback.h"
#include "vmm/rollback-network.h"

enum
{
  RECOVERY_DEADLINE = 60000000, /* us; nobody waits who could give up */
};

static bool
has_phase (json_object *entry, const char *phase)
{
  return g_strcmp0 (cs_json_string (entry, "phase"), phase) == 0;
}

/* The entries of the job of @first, which is the one at @from. */
static GPtrArray *
entries_of_job (const GPtrArray *all, guint from)
{
  GPtrArray *entries = g_ptr_array_new ();
  const char *job = cs_json_string (g_ptr_array_index (all, from), "job");
  for (guint i = 0; i < all->len; i++)
    if (g_strcmp0 (cs_json_string (g_ptr_array_index (all, i), "job"), job) == 0)
      g_ptr_array_add (entries, g_ptr_array_index (all, i));
  return entries;
}

/* Whether a VM of the job may be half rolled back. */
static bool
needs_redo (const GPtrArray *entries)
{
  json_object *names = cs_json_array (g_ptr_array_index (entries, 0), "vms");
  for (guint i = 0; i < entries->len; i++)
    if (!has_phase (g_ptr_array_index (entries, i), CS_ROLLBACK_PHASE_APPLY))
      return false;
  return names != NULL && json_object_array_length (names) == entries->len;
}

/* The job that @entry tells of. */
static CsHostRollback *
job_of (CsDaemon *daemon, json_object *entry, GError **error)
{
  const char *path = cs_json_string (entry, "store");
  const char *cluster = cs_json_string (entry, "cluster");
  CsStore *store = cs_daemon_store (daemon, path ? path : "", error);
  return store != NULL ? cs_host_rollback_new (daemon, store, cluster ? cluster : "",
                                               cs_json_string (entry, "snapshot"),
                                               cs_json_array (entry, "vms"), error)
                       : NULL;
}

static bool
redo (CsDaemon *daemon, json_object *entry, GError **error)
{
  g_autoptr (CsHostRollback) job = job_of (daemon, entry, error);
  if (job == NULL)
    return false;
  job->pause_deadline = RECOVERY_DEADLINE;
  if (!cs_host_rollback_redo (job, error) || !cs_host_rollback_release (job, error))
    return false;
  g_message ("took %u VM(s) back to %s of cluster '%s', as a clusnapd before us had begun",
             job->vms->len, job->target, job->cluster);
  return true;
}

/* One that was let go before has sent and got what nobody can tell from what came before: it is
 * bound to all others.  One that stands has not.  One that cannot be asked may have. */
static bool
look_at_line (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  CsVm *own = vm->member.vm;
  g_autoptr (GError) reason = NULL;
  bool running = true;
  if (cs_vm_open (own, &reason))
    {
      cs_job_lines_look (vm->job->lines, cs_rollback_vm_name (vm), cs_vm_monitor (own));
      cs_monitor_status (cs_vm_monitor (own), &running, NULL, NULL);
      cs_vm_close (own);
    }
  bool is_there = !g_error_matches (reason, CS_ERROR, CS_ERROR_NOT_FOUND)
                  && !g_error_matches (reason, CS_ERROR, CS_ERROR_STATE);
  if (running && is_there)
    cs_cluster_lines_missed (cs_job_lines_cluster (vm->job->lines), cs_rollback_vm_name (vm));
  return true;
}

/* All were back when the daemon was killed, and their lines were not, or that was not written down.
 */
static void
redo_lines (CsDaemon *daemon, const GPtrArray *entries)
{
  g_autoptr (GError) error = NULL;
  json_object *entry = g_ptr_array_index (entries, 0);
  g_autoptr (CsHostRollback) job = job_of (daemon, entry, &error);
  if (job == NULL)
    {
      g_warning ("who depends on whom in cluster '%s' is as before its rollback: %s",
                 cs_json_string (entry, "cluster"), error->message);
      return;
    }
  cs_host_rollback_begin_branches (job);
  cs_job_lines_settle (job->lines);
  cs_fan_out (job->vms, look_at_line, NULL);
  cs_job_lines_settle (job->lines);
}

static bool
any_has_phase (const GPtrArray *entries, const char *phase)
{
  for (guint i = 0; i < entries->len; i++)
    if (has_phase (g_ptr_array_index (entries, i), phase))
      return true;
  return false;
}

/* A VM that is whole: it is one that was paused, like others. */
static void
leave_to_resume (CsJournal *journal, json_object *entry)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsVmRef) ref = cs_vm_ref_from_json (cs_json_member_object (entry, "vm"), &error);
  pid_t pid = (pid_t)cs_json_uint (entry, "pid", 0);
  if (ref != NULL && cs_journal_is_current (entry))
    cs_rollback_network_unblock (pid);
  if (ref == NULL
      || (cs_journal_is_current (entry)
          && !cs_journal_add (journal, "pause", ref, pid, NULL, &error)))
    {
      g_warning ("a rollback that was interrupted may have left a VM paused: %s", error->message);
      return;
    }
  cs_journal_remove (journal, "rollback", ref);
}

static void
recover_job (CsDaemon *daemon, const GPtrArray *entries)
{
  g_autoptr (GError) error = NULL;
  json_object *first = g_ptr_array_index (entries, 0);
  if (needs_redo (entries))
    {
      /* The VMs go on standing then, and their entries stay. */
      if (!redo (daemon, first, &error))
        g_warning ("a rollback of cluster '%s' could not be finished: %s",
                   cs_json_string (first, "cluster"), error->message);
      return;
    }
  if (any_has_phase (entries, CS_ROLLBACK_PHASE_RESUME))
    redo_lines (daemon, entries);
  for (guint i = 0; i < entries->len; i++)
    leave_to_resume (daemon->journal, g_ptr_array_index (entries, i));
}

void
cs_host_rollback_recover (CsDaemon *daemon)
{
  g_autoptr (GPtrArray) all = cs_journal_read (daemon->journal);
  for (guint i = 0; i < all->len; i++)
    {
      json_object *entry = g_ptr_array_index (all, i);
      if (g_strcmp0 (cs_json_string (entry, "kind"), "rollback") != 0
          || cs_json_string (entry, "job") == NULL
          || json_object_get_boolean (json_object_object_get (entry, "seen")))
        continue;
      g_autoptr (GPtrArray) entries = entries_of_job (all, i);
      for (guint k = 0; k < entries->len; k++)
        json_object_object_add (g_ptr_array_index (entries, k), "seen",
                                json_object_new_boolean (true));
      recover_job (daemon, entries);
    }
}
