/* Takes a VM's disks back to a snapshot by writing the changed extents back (DISKS.md).
 *
 * Nothing about the disks changes: same files, same chain, same libvirt XML.  While a rollback is
 * under way the guest's devices reach their disks through a node of ours (disk-divert.c), and a
 * daemon that died in it leaves them there.  A VM that was running then runs on; one that
 * was stopped may have empty disks: cs_disks_cleanup must come before it is ever resumed.
 *
 * Threads: the VM's worker. */
#ifndef CS_VMM_DISK_ROLLBACK_H
#define CS_VMM_DISK_ROLLBACK_H

#include "images/image.h"
#include "vmm/disk.h"

typedef struct CsDiskRollback CsDiskRollback;

typedef struct
{
  CsMonitor *monitor; /* borrowed, as all here; strings are copied */
  GPtrArray *disks;   /* of CsDisk: cs_disks_query */
  CsImage *target;    /* the disks' volumes (CS_VOLUME_DISK, by name) are what they become */
  CsImage *base;      /* what they were when @bitmap began; NULL: unknown, all is written */
  const char *bitmap; /* active on the disks since @base; NULL or not there: all is written */
  const char *next;   /* name of the bitmap that is active and empty afterwards */
  const char *scratch_directory;
  guint64 read_ahead; /* bytes of old content to hold in memory at most */
} CsDiskRollbackOptions;

/* VM running: the exports are set up and connected, the differences so far are read ahead.  Errors
 * leave all as it was: REFUSED (with the way out: restore) when the snapshot lacks a disk or has it
 * in another size; BUSY (a capture is under way, or somebody else uses QEMU's NBD server). */
CsDiskRollback *cs_disk_rollback_new (const CsDiskRollbackOptions *options, GError **error);

/* fdatasync of the images with writeback caching, from the host: right before the VM is stopped. */
bool cs_disk_rollback_preflush (CsDiskRollback *rollback, GError **error);

/* VM stopped: writes, and flushes what was written.  *@touched, which may be set already, is
 * set before the first write; after an error without it the VM may run on, with it the disks are
 * neither old nor new and @bitmap still tells where they differ from @base.  *@bytes: how much was
 * written. On success bitmap @next is active; @bitmap goes with cs_disk_rollback_free. */
bool cs_disk_rollback_apply (CsDiskRollback *rollback, bool *touched, guint64 *bytes,
                             GError **error);

/* Takes all that is ours, but for the bitmap @next, out of QEMU (not in the pause: it may take some
 * ms; the VM may run, but not after an error of apply with *@touched).  A deadline of the monitor
 * is lifted. */
void cs_disk_rollback_free (CsDiskRollback *rollback);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskRollback, cs_disk_rollback_free)

#endif
