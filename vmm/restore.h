/* Brings one VM of a snapshot back: disks, QEMU, memory, devices.
 *
 *   new      validates the manifest's VM document; the VM is absent, the kernel can do it
 *   load     disks written beside the old ones and switched; QEMU started, RAM (lazy: only small
 *            blocks) and devices loaded; the VM is paused, its disks and memory tracked
 *   resume   cont, at once
 *   commit   from here on nothing is undone; the old disks go later (commit_disks)
 *   finish   waits until the memory is resident and switches it to ordinary tracking (in
 *            micro-pauses).  After an error of the store it may be called again
 *
 * Freed before commit, everything is undone: QEMU ended, old disks back in place. */
#ifndef CS_VMM_RESTORE_H
#define CS_VMM_RESTORE_H

#include <gio/gio.h>

#include "vmm/disk-restore.h"
#include "vmm/journal.h"
#include "vmm/lazy.h"
#include "vmm/source.h"

typedef struct CsRestore CsRestore;

typedef struct
{
  bool lazy;                 /* else all memory is loaded before resume */
  const char *log_directory; /* for a bare QEMU's output: NAME.log; NULL: none */
  int fill_rate;             /* MiB/s, 0: unbounded, CS_LAZY_RATE_ADAPTIVE (vmm/lazy.h) */
  CsJournal *journal;        /* for a "load" entry of @ref and @job, which is the caller's to
                                remove (restore-journal.h); NULL: none */
  const CsVmRef *ref;
  const char *job;
  bool has_disks; /* its disks are made already (a clone's): they are not written */
  /* Where sockets of servers for disks that are filled while the VM runs are made (lazy-disks.h);
   * QEMU must be able to pass through it.  NULL: all disks are written first. */
  const char *serve_directory;
  const char *disk_bitmap; /* name of the bitmap to begin on every disk; NULL: none */
} CsRestoreOptions;

/* @vm: the VM's document in the manifest (docs/manifest.md).  @store outlives the restore. */
CsRestore *cs_restore_new (CsStore *store, json_object *vm, const CsRestoreOptions *options,
                           GError **error);
bool cs_restore_load (CsRestore *restore, GCancellable *cancellable, GError **error);
bool cs_restore_resume (CsRestore *restore, GError **error);
/* After resume; quick.  Of a cluster: when all of them run.  The fill begins. */
void cs_restore_commit (CsRestore *restore);
/* After that: makes the new disks durable and removes the old ones; slow.  Else a part of finish
 * and of free. */
void cs_restore_commit_disks (CsRestore *restore);
void cs_restore_progress (CsRestore *restore, guint64 *done, guint64 *total);
/* Any thread, at once: nothing more will arrive (all is there, disks as well; an error, QEMU is
 * gone), so that cs_restore_finish does not wait. */
bool cs_restore_is_filled (CsRestore *restore);
/* Any thread: the memory is there, and disks are not; cs_restore_step_disks, by the owner and now
 * and then, goes on with them.  */
bool cs_restore_disks_are_filling (CsRestore *restore);
bool cs_restore_step_disks (CsRestore *restore, GError **error);
/* After a step: whether disks go on only while the VM stands; stops it for tens of milliseconds and
 * lets it run again (one that its user has paused stays so).  The caller has it in the journal. */
bool cs_restore_disks_want_stop (CsRestore *restore);
bool cs_restore_change_over_disks (CsRestore *restore, GError **error);
/* The VM stands, as a clusnapd that was killed has left it: before it runs again. */
bool cs_restore_settle_disks (CsRestore *restore, GError **error);
/* QEMU has ended: lazy disks get the rest. */
bool cs_restore_complete_disks (CsRestore *restore, GError **error);
/* Before a capture: QEMU allows none while a disk is being filled.  The next step goes on. */
bool cs_restore_hold_disks (CsRestore *restore, GError **error);
/* Bytes.  Any thread. */
void cs_restore_disk_progress (CsRestore *restore, guint64 *done, guint64 *total);
bool cs_restore_finish (CsRestore *restore, GCancellable *cancellable, GError **error);
void cs_restore_free (CsRestore *restore);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRestore, cs_restore_free)

/* Microseconds, for reports. */
typedef struct
{
  gint64 disks, launch, load, resume;
  gint64 micro_pause; /* the longest of finish, for a lazy restore */
  guint64 faults;     /* times that the guest waited for a page */
  guint64 prefetched; /* pages put by the hint of an earlier restore */
  gint64 fault_time, fault_longest;
} CsRestoreTimes;
void cs_restore_times (CsRestore *restore, CsRestoreTimes *times);

/* What the VM's next snapshot starts from (each passes to the caller; after resume). */
CsMonitor *cs_restore_monitor (CsRestore *restore);       /* borrowed */
CsMonitor *cs_restore_steal_monitor (CsRestore *restore); /* after finish */
CsTracker *cs_restore_tracker (CsRestore *restore); /* borrowed; also while filling (rule 9) */
CsTracker *cs_restore_steal_tracker (CsRestore *restore); /* after finish */
/* After finish: pages written since the restore that a scan already consumed, per tracker block;
 * NULL-terminated array of bitmaps (passes to the caller). */
CsBitmap **cs_restore_steal_dirty (CsRestore *restore);

/* What still fills its memory; NULL: nothing does.  Borrowed. */
CsLazy *cs_restore_lazy (CsRestore *restore);

/* For the journal, after load: what a restarted clusnapd needs to go on filling; NULL when all is
 * resident.  Taken up after resume, `finish` is next (its fill is under way); before, resume is
 * - or freeing, which ends QEMU but no longer puts the old disks back. */
json_object *cs_restore_to_json (CsRestore *restore);
CsRestore *cs_restore_from_json (CsStore *store, json_object *object, GError **error);

#endif
