/* Takes a VM's disks back to a snapshot by writing the changed extents back (DISKS.md).
 *
 * Nothing about the disks changes: same files, same chain, same libvirt XML. */
#ifndef CS_VMM_DISK_ROLLBACK_H
#define CS_VMM_DISK_ROLLBACK_H

#include "images/image.h"
#include "vmm/disk.h"

typedef struct CsDiskRollback CsDiskRollback;

typedef struct
{
  CsMonitor *monitor; /* borrowed, as all here */
  GPtrArray *disks;   /* of CsDisk: cs_disks_query */
  CsImage *target;    /* the disks' volumes (CS_VOLUME_DISK, by name) are what they become */
  CsImage *base;      /* what they were when @bitmap began; NULL: unknown, all is written */
  const char *bitmap; /* active on the disks since @base; NULL or not there: all is written */
  const char *next;   /* name of the bitmap that is active and empty afterwards */
  const char *scratch_directory;
  guint64 read_ahead; /* bytes of old content to hold in memory at most */
} CsDiskRollbackOptions;

/* VM running: the export is set up, the differences so far are read ahead.  Errors before apply
 * leave all as it was. */
CsDiskRollback *cs_disk_rollback_new (const CsDiskRollbackOptions *options, GError **error);

/* VM stopped: writes.  *@touched is set before the first write. */
bool cs_disk_rollback_apply (CsDiskRollback *rollback, bool *touched, guint64 *bytes,
                             GError **error);

/* Takes all that is ours, but for the bitmap @next, out of QEMU (not in the pause: it may take some
 * ms; the VM may run). */
void cs_disk_rollback_free (CsDiskRollback *rollback);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskRollback, cs_disk_rollback_free)

#endif
