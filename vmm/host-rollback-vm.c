#include "config.h"

#include "vmm/host-rollback.h"

#include "common/error.h"
#include "common/fault.h"
#include "common/json.h"
#include "vmm/agent.h"
#include "vmm/guest-agent.h"

enum
{
  READ_AHEAD = 256 * 1024 * 1024,
  ENGINE_GRACE = 30000000, /* us: the job keeps the deadline; none drops out once it has decided */
};

const char *
cs_rollback_vm_name (const CsRollbackVm *vm)
{
  return vm->member.vm->ref->name;
}

/* cs_host_rollback_cancel may come at any time. */
static void
set_rollback (CsRollbackVm *vm, CsRollback *rollback)
{
  CsHostRollback *job = vm->job;
  g_mutex_lock (&job->lock);
  CsRollback *old = vm->rollback;
  vm->rollback = rollback;
  if (rollback != NULL && job->decision == CS_ROLLBACK_UNDO)
    cs_rollback_cancel (rollback);
  g_mutex_unlock (&job->lock);
  cs_rollback_free (old);
}

static void
make_cold (CsRollbackVm *vm, const char *reason)
{
  CsHostRollback *job = vm->job;
  CsColdRestoreOptions options = { .daemon = job->daemon,
                                   .vm = vm->member.vm,
                                   .store = job->store,
                                   .document = vm->document,
                                   .snapshot = vm->snapshot,
                                   .job = job->id,
                                   .lazy = true,
                                   .fill_rate = CS_LAZY_RATE_ADAPTIVE };
  g_free (vm->reason);
  vm->reason = g_strdup (reason);
  vm->cold = cs_cold_restore_new (&options);
}

/* @standing: as a clusnapd before us left it. */
static bool
begin_in_place (CsRollbackVm *vm, bool standing, GError **error)
{
  CsHostRollback *job = vm->job;
  CsRollbackOptions options = { .store = job->store,
                                .snapshot = vm->snapshot,
                                .scratch_directory = job->daemon->scratch_directory,
                                .read_ahead = READ_AHEAD,
                                .kept = job->daemon->kept,
                                .pause_deadline = job->pause_deadline + ENGINE_GRACE,
                                .standing = standing };
  CsRollback *rollback = cs_rollback_new (vm->member.vm, vm->document, &options, error);
  if (rollback != NULL)
    set_rollback (vm, rollback);
  return rollback != NULL;
}

bool
cs_rollback_vm_look (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  g_autoptr (GError) own = NULL;
  if (cs_source_check_absent (cs_json_member_object (vm->document, "source"), &own))
    {
      make_cold (vm, "it did not run");
      return true;
    }
  if (g_error_matches (own, CS_ERROR, CS_ERROR_STATE))
    return begin_in_place (vm, false, error);
  g_propagate_error (error, g_steal_pointer (&own));
  return false;
}

/* Whether the engine micro-pauses or only reads: from here on a crash leaves something to undo. */
bool
cs_rollback_vm_prepare (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  return cs_rollback_vm_journal (vm, CS_ROLLBACK_PHASE_PREPARE, error)
         && (vm->rollback == NULL || cs_rollback_prepare (vm->rollback, error))
         && cs_fault_point ("rollback-prepare", error);
}

/* ---- while the VM stands ---- */

/* Waits, at most until @end, for what becomes of the VM that stands (or did not: @stopped). */
static CsRollbackDecision
wait_for_decision (CsRollbackVm *vm, bool stopped, gint64 end, bool *late)
{
  CsHostRollback *job = vm->job;
  g_mutex_lock (&job->lock);
  vm->answered = true;
  if (!stopped && job->decision == CS_ROLLBACK_UNDECIDED)
    job->decision = CS_ROLLBACK_UNDO;
  g_cond_broadcast (&job->changed);
  while (job->decision == CS_ROLLBACK_UNDECIDED || job->decision == CS_ROLLBACK_DECIDING)
    if (job->decision == CS_ROLLBACK_DECIDING)
      g_cond_wait (&job->changed, &job->lock);
    else if (!g_cond_wait_until (&job->changed, &job->lock, end)
             && job->decision == CS_ROLLBACK_UNDECIDED)
      {
        *late = true;
        job->decision = CS_ROLLBACK_UNDO;
        g_cond_broadcast (&job->changed);
      }
  CsRollbackDecision decision = job->decision;
  g_mutex_unlock (&job->lock);
  return decision;
}

static bool
run_on (CsRollbackVm *vm, bool stopped, bool late, GError **error)
{
  CsHostRollback *job = vm->job;
  set_rollback (vm, NULL);
  if (late)
    g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE,
                 "VM '%s' stood for its deadline of %" G_GINT64_FORMAT
                 " ms and runs on untouched: give more with --pause-deadline",
                 cs_rollback_vm_name (vm), job->pause_deadline / 1000);
  else if (stopped)
    g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "the rollback was given up");
  if (job->failed != NULL)
    job->failed (job->failed_data);
  return false;
}

bool
cs_rollback_vm_stand (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  bool late = false;
  gint64 end = g_get_monotonic_time () + vm->job->pause_deadline;
  bool stopped = cs_rollback_stop (vm->rollback, error) && cs_fault_point ("rollback-pause", error);
  vm->paused_at = g_get_monotonic_time ();
  if (wait_for_decision (vm, stopped, end, &late) != CS_ROLLBACK_GO)
    return run_on (vm, stopped, late, error);
  cs_rollback_apply (vm->rollback, &vm->failure);
  return true;
}

bool
cs_rollback_vm_redo (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  vm->paused_at = g_get_monotonic_time ();
  if (vm->failure == NULL && begin_in_place (vm, true, &vm->failure)
      && cs_rollback_prepare (vm->rollback, &vm->failure)
      && cs_rollback_stop (vm->rollback, &vm->failure))
    cs_rollback_apply (vm->rollback, &vm->failure);
  return true;
}

/* ---- from nothing ---- */

bool
cs_rollback_vm_load (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  if (!cs_fault_point ("rollback-cold", error)
      || !cs_cold_restore_load (vm->cold, vm->job->cancellable, error))
    return false;
  /* Its frames are counted from the first one on. */
  cs_job_lines_look_fresh (vm->job->lines, cs_rollback_vm_name (vm),
                           cs_cold_restore_monitor (vm->cold));
  return true;
}

bool
cs_rollback_vm_replace (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  CsVm *own = vm->member.vm;
  if (vm->failure == NULL || vm->cold != NULL)
    return true;
  g_message ("VM '%s' cannot be taken back in place and is started again from snapshot '%s': %s",
             cs_rollback_vm_name (vm), vm->snapshot, vm->failure->message);
  /* Ended first: freed before that, the engine lets a VM run that it has not changed. */
  if (cs_vm_monitor (own) != NULL || cs_vm_open (own, NULL))
    cs_source_kill (cs_json_member_object (vm->document, "source"), cs_vm_monitor (own));
  set_rollback (vm, NULL);
  cs_job_lines_sweep (vm->job->lines);
  make_cold (vm, vm->failure->message);
  g_clear_error (&vm->failure);
  if (!cs_rollback_vm_load (vm, &vm->failure))
    g_warning ("VM '%s' cannot be brought back: %s", cs_rollback_vm_name (vm),
               vm->failure->message);
  return true;
}

/* ---- the end ---- */

static bool
is_lost (const CsRollbackVm *vm)
{
  return vm->failure != NULL && vm->cold != NULL;
}

bool
cs_rollback_vm_resume (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  if (is_lost (vm) || vm->resumed_at != 0)
    return true;
  bool running = vm->cold != NULL ? cs_cold_restore_resume (vm->cold, &vm->failure)
                                  : cs_rollback_resume (vm->rollback, &vm->failure);
  if (vm->rollback != NULL)
    vm->stats = *cs_rollback_stats (vm->rollback);
  if (running && vm->cold != NULL)
    {
      vm->resumed_at = cs_monitor_resumed_at (cs_cold_restore_monitor (vm->cold));
      cs_cold_restore_commit (vm->cold);
    }
  else if (running)
    vm->resumed_at = vm->stats.resumed_at;
  if (running)
    set_rollback (vm, NULL);
  return true;
}

/* The monitor of a VM that runs again, until close_monitor: the engine has closed its own. */
static CsMonitor *
open_monitor (CsRollbackVm *vm, GError **error)
{
  if (vm->cold != NULL)
    return cs_cold_restore_monitor (vm->cold);
  return cs_vm_open (vm->member.vm, error) ? cs_vm_monitor (vm->member.vm) : NULL;
}

static void
close_monitor (CsRollbackVm *vm)
{
  if (vm->cold == NULL)
    cs_vm_close (vm->member.vm);
}

bool
cs_rollback_vm_after_restore (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  const char *name = cs_rollback_vm_name (vm);
  g_autoptr (GError) failure = NULL;
  if (is_lost (vm) || vm->resumed_at == 0)
    return true;
  CsMonitor *monitor = open_monitor (vm, &failure);
  if (monitor != NULL)
    vm->agent = cs_agent_after_restore (monitor, name, vm->interval, vm->cold == NULL);
  else
    g_warning ("VM '%s': its agent cannot be told of the rollback: %s", name, failure->message);
  close_monitor (vm);
  return true;
}

bool
cs_rollback_vm_set_time (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  g_autoptr (GError) reason = NULL;
  if (vm->failure != NULL)
    return true;
  CsMonitor *monitor = open_monitor (vm, &reason);
  bool set = monitor != NULL
             && cs_guest_agent_set_time (
                 monitor, g_get_monotonic_time () + CS_GUEST_AGENT_TIME_LIMIT, &reason);
  vm->time = g_strdup (set ? "set" : reason->message);
  close_monitor (vm);
  return true;
}

bool
cs_rollback_vm_free (gpointer data, GError **error)
{
  CsRollbackVm *vm = data;
  set_rollback (vm, NULL);
  g_clear_pointer (&vm->cold, cs_cold_restore_free);
  cs_rollback_vm_unjournal (vm);
  return true;
}
