/* The rollback of this host's VMs of a cluster, all to one snapshot or each to its own (a recovery
 * line).
 *
 * Called by one thread (the connection's, or the one that recovers after a crash) in this order:
 *
 *   begin    claims the VMs; which of them run, whether they can be taken back in place
 *   prepare  the guests run
 *   pause    all stand, or none: true when none of them is changed and all stand
 *   apply    all are back and stand, or all run on untouched (false)
 *   release  all run
 *
 * Theory of operation: host-rollback.c. */
#ifndef CS_VMM_HOST_ROLLBACK_H
#define CS_VMM_HOST_ROLLBACK_H

#include "vmm/cold-restore.h"
#include "vmm/fan-out.h"
#include "vmm/job-lines.h"
#include "vmm/rollback.h"

typedef struct CsHostRollback CsHostRollback;

typedef struct
{
  CsMember member; /* first */

  /* immutable */
  CsHostRollback *job;
  json_object *document; /* of a manifest, borrowed from it */
  const char *snapshot;  /* that manifest's; the job's */

  /* worker; others when no task is under way */
  CsColdRestore *cold; /* it was, or is to be, started from the snapshot; NULL: in place */
  char *reason;        /* why; stays, for reports, when @cold has gone */
  GError *failure;     /* of its rollback in place; with @cold, of the restore: it is lost */
  bool journalled;
  gint64 paused_at, resumed_at; /* CLOCK_MONOTONIC; 0: it did not stand, does not run */
  char *time;                   /* "set", or why its clock was not; NULL: not asked for */
  CsRollbackStats stats;
  json_object *agent; /* cs_agent_after_restore's report, or NULL */
  guint64 interval;   /* that begins with the rollback (docs/dependencies.md); 0: not known */

  /* written by the worker under the job's lock */
  CsRollback *rollback; /* in place; NULL when ended */
  bool answered;        /* stop has returned */
} CsRollbackVm;

typedef enum
{
  CS_ROLLBACK_UNDECIDED, /* the guests' deadline runs */
  CS_ROLLBACK_DECIDING,  /* the last that may fail without harm is under way */
  CS_ROLLBACK_UNDO,      /* no VM is changed any more */
  CS_ROLLBACK_GO,        /* all are changed: nobody stops it */
} CsRollbackDecision;

struct CsHostRollback
{
  /* immutable */
  CsDaemon *daemon;
  CsStore *store;
  GHashTable *manifests; /* by snapshot: json_object */
  char *cluster;
  char *target; /* "snapshot 's1'", or what several snapshots are called */
  char *id;     /* in the journal */
  gint64 pause_deadline;
  GCancellable *cancellable;
  GPtrArray *vms; /* of CsRollbackVm */
  CsJobLines *lines;
  void (*failed) (gpointer); /* a VM's pause ended by itself; any thread.  NULL: nobody cares */
  gpointer failed_data;
  void (*running) (gpointer); /* in release: the VMs run, what follows may take its time.  NULL:
                                 nobody cares */
  gpointer running_data;

  /* calling thread */
  bool set_time; /* when all run: the guests' clocks, by their agents */
  bool claimed;
  bool applied; /* all stand and are back */

  /* under lock */
  GMutex lock;
  GCond changed;
  CsRollbackDecision decision;
};

/* @wanted: an array of VM names and of {name, snapshot} for those that go back to a snapshot of
 * their own; NULL: all VMs of @snapshot, which may be NULL when each VM has its own. */
CsHostRollback *cs_host_rollback_new (CsDaemon *daemon, CsStore *store, const char *cluster,
                                      const char *snapshot, json_object *wanted, GError **error);
bool cs_host_rollback_begin (CsHostRollback *job, GError **error);
bool cs_host_rollback_prepare (CsHostRollback *job, GError **error);
bool cs_host_rollback_pause (CsHostRollback *job, GError **error);
bool cs_host_rollback_apply (CsHostRollback *job, GError **error);
/* False when a VM could not be brought back at all; the others run. */
bool cs_host_rollback_release (CsHostRollback *job, GError **error);
/* Any thread: nothing is changed, unless apply has decided already. */
void cs_host_rollback_cancel (CsHostRollback *job);
/* Undoes, or finishes what was applied: the VMs run. */
void cs_host_rollback_free (CsHostRollback *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsHostRollback, cs_host_rollback_free)

/* Any thread: the VMs run on, or are just about to, untouched. */
bool cs_host_rollback_is_undone (CsHostRollback *job);

CsRollbackVm *cs_host_rollback_vm (const CsHostRollback *job, guint i);
const char *cs_rollback_vm_name (const CsRollbackVm *vm);

/* Instead of begin to apply, after a clusnapd was killed past the point of no return: all VMs, that
 * stand as that one left them, are taken back again. */
bool cs_host_rollback_redo (CsHostRollback *job, GError **error);

/* The lines of the job's VMs go back with them.  After a crash in release, whose VMs run, it is
 * called alone. */
void cs_host_rollback_begin_branches (CsHostRollback *job);

/* ---- host-rollback-vm.c: one VM's steps, in its worker (@data: the CsRollbackVm) ---- */

bool cs_rollback_vm_look (gpointer data, GError **error);
bool cs_rollback_vm_prepare (gpointer data, GError **error);
/* Stops the VM and waits for the decision.  Past GO what fails is kept in @failure. */
bool cs_rollback_vm_stand (gpointer data, GError **error);
/* In place as far as it goes, whatever state the VM is in. */
bool cs_rollback_vm_redo (gpointer data, GError **error);
/* Ends the QEMU of a VM that failed, and starts it from the snapshot, paused. */
bool cs_rollback_vm_replace (gpointer data, GError **error);
/* Starts a VM that did not run from the snapshot, paused. */
bool cs_rollback_vm_load (gpointer data, GError **error);
bool cs_rollback_vm_resume (gpointer data, GError **error);
/* Once it runs: has its agent put the guest right. */
bool cs_rollback_vm_after_restore (gpointer data, GError **error);
/* A guest without an agent is no failure. */
bool cs_rollback_vm_set_time (gpointer data, GError **error);
bool cs_rollback_vm_free (gpointer data, GError **error);

/* ---- host-rollback-journal.c ---- */

/* How far the job is, for who finds its entry after a crash. */
#define CS_ROLLBACK_PHASE_PREPARE "prepare" /* untouched */
#define CS_ROLLBACK_PHASE_APPLY "apply"     /* when all entries say so: maybe half rolled back */
#define CS_ROLLBACK_PHASE_RESUME "resume"   /* when one entry says so: all are back */

bool cs_rollback_vm_journal (CsRollbackVm *vm, const char *phase, GError **error);
bool cs_host_rollback_journal (CsHostRollback *job, const char *phase, GError **error);
void cs_rollback_vm_unjournal (CsRollbackVm *vm);

/* ---- host-rollback-recover.c ---- */

/* Makes good what rollbacks of a killed daemon left: does those again that had begun to change VMs;
 * VMs of the others get "pause" entries. */
void cs_host_rollback_recover (CsDaemon *daemon);

#endif
