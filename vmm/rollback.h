/* Takes one live VM back to a snapshot without restarting its QEMU.
 *
 *   new      validates the manifest's VM document against the running VM; nothing is changed
 *   prepare  the VM runs: finds the pages that differ, reads their old content ahead, puts the
 *            state to load into QEMU; nothing that the guest could notice is changed
 *   stop     the VM stands; what it wrote meanwhile is known
 *   apply    the point of no return is its first write: memory, disks, device state, second pass
 *   resume   frames of the abandoned time are dropped, then cont
 *
 * Freed before the point of no return the VM runs on as though nothing had been; after it, without
 * resume, it stays paused and only a restore from the same snapshot makes it whole.
 *
 * Theory of operation: rollback.c.  All functions: worker, but for cancel. */
#ifndef CS_VMM_ROLLBACK_H
#define CS_VMM_ROLLBACK_H

#include "vmm/kept-pages.h"
#include "vmm/vm.h"

typedef struct CsRollback CsRollback;

typedef struct
{
  CsStore *store;                /* borrowed */
  const char *snapshot;          /* its name, for the base; copied */
  const char *scratch_directory; /* copied */
  guint64 read_ahead;            /* bytes of old content to hold in memory at most */
  CsKeptPages *kept;             /* where they are kept afterwards; NULL: nowhere; borrowed */
  gint64 pause_deadline;         /* us that the VM may stand before the point of no return */
  bool standing;                 /* it stands, maybe half taken back: past the point of no return */
} CsRollbackOptions;

/* Microseconds and counts, for reports. */
typedef struct
{
  gint64 resumed_at; /* CLOCK_MONOTONIC when it ran again; 0: not yet */
  gint64 pause;      /* from the command to stop until then */
  gint64 stop, scan, memory, disks, devices, fix_up, wait, cont;
  guint64 pages;        /* written back, without the second pass */
  guint64 pages_late;   /* of those: content was read in the pause */
  guint64 pages_ahead;  /* read from the store before it; what was kept is not among them */
  guint64 fix_up_pages; /* of the second pass */
  guint64 disk_bytes;
  guint64 frames_dropped;
  bool whole; /* nothing was known about what changed: all memory was written */
} CsRollbackStats;

/* @vm: claimed by the caller.  @document: the VM's of the manifest, borrowed for the rollback's
 * life.  STATE when the VM does not run; REFUSED (with the way out: restore) when it has other
 * devices, memory or disks now than in the snapshot. */
CsRollback *cs_rollback_new (CsVm *vm, json_object *document, const CsRollbackOptions *options,
                             GError **error);
bool cs_rollback_prepare (CsRollback *rollback, GError **error);
bool cs_rollback_stop (CsRollback *rollback, GError **error);
bool cs_rollback_apply (CsRollback *rollback, GError **error);
bool cs_rollback_resume (CsRollback *rollback, GError **error);
/* Any thread: ends waiting and long work as soon as may be, before the point of no return only. */
void cs_rollback_cancel (CsRollback *rollback);
void cs_rollback_free (CsRollback *rollback);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRollback, cs_rollback_free)

/* Whether apply has written anything. */
bool cs_rollback_is_past_return (const CsRollback *rollback);
const CsRollbackStats *cs_rollback_stats (const CsRollback *rollback);

#endif
