/* What the files of a rollback share: rollback.c, rollback-check.c, rollback-prepare.c,
 * rollback-apply.c. */
#ifndef CS_VMM_ROLLBACK_PRIVATE_H
#define CS_VMM_ROLLBACK_PRIVATE_H

#include "vmm/device-load.h"
#include "vmm/disk-rollback.h"
#include "vmm/restore-document.h"
#include "vmm/rollback-network.h"
#include "vmm/rollback-pages.h"
#include "vmm/rollback.h"

struct CsRollback
{
  /* immutable */
  CsVm *vm;
  CsStore *store;
  char *snapshot;
  char *scratch_directory;
  guint64 read_ahead;
  CsKeptPages *kept; /* NULL: nothing is kept */
  gint64 pause_deadline;
  CsRestoreDocument *document;

  /* worker only */
  CsMonitor *monitor; /* the VM's */
  CsTracker *tracker; /* the VM's, or fresh */
  CsTracker *fresh;   /* ours until the VM is back: it had none */
  GPtrArray *blocks;  /* of CsRamBlock */
  GPtrArray *disks;   /* of CsDisk */
  CsImage *target;
  CsImage *base;     /* of what the memory was equal to; may be the target; NULL: not known */
  CsHeldPages *held; /* content of the target */
  CsRollbackPages *pages;
  CsDeviceLoad *devices;
  CsDiskRollback *disk_rollback;
  CsRollbackNetwork *network;
  char *bitmap;    /* of the disks afterwards; NULL: no disks */
  gint64 begun_at; /* the command to stop */
  gint64 applied_at;
  bool stopped;
  bool touched; /* the point of no return; from the beginning when it stood */
  bool applied;
  bool resumed;
  CsRollbackStats stats;

  /* under lock */
  GMutex lock;
  bool cancelled;
};

/* Runs a step of the pause: records its time in *@us. */
#define CS_ROLLBACK_TIMED(us, step)                                                                \
  ({                                                                                               \
    gint64 timed_begin = g_get_monotonic_time ();                                                  \
    bool timed_done = (step);                                                                      \
    *(us) += g_get_monotonic_time () - timed_begin;                                                \
    timed_done;                                                                                    \
  })

bool cs_rollback_check_cancelled (CsRollback *rollback, GError **error);

/* rollback-check.c: the VM as it is against the snapshot.  REFUSED. */
bool cs_rollback_check_blocks (const CsRollback *rollback, GPtrArray *blocks, GError **error);
bool cs_rollback_check_disks (const CsRollback *rollback, GPtrArray *disks, GError **error);
/* VM running: QEMU stops it for a millisecond. */
bool cs_rollback_check_devices (CsRollback *rollback, GError **error);

/* rollback-apply.c: the VM runs again, nothing was written. */
bool cs_rollback_undo_stop (CsRollback *rollback, GError **error);

#endif
