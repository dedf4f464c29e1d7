/* The scratch image of one disk's capture: takes what the guest overwrites while the
 * capture is read.  An empty qcow2 whose backing image is the disk; without a name from the start.
 */
#ifndef CS_VMM_DISK_SCRATCH_H
#define CS_VMM_DISK_SCRATCH_H

#include "vmm/monitor.h"

typedef struct CsDiskScratch CsDiskScratch;

/* Starts making one of @size bytes in @directory; all disks' at the same time. */
CsDiskScratch *cs_disk_scratch_new (const char *directory, guint64 size, GError **error);

/* Ends a qemu-img still at work; leaves QEMU alone. */
void cs_disk_scratch_free (CsDiskScratch *scratch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskScratch, cs_disk_scratch_free)

/* Waits until it is made and adds it to QEMU as node @node above @backing. */
bool cs_disk_scratch_attach (CsDiskScratch *scratch, CsMonitor *monitor, const char *node,
                             const char *backing, GError **error);

/* NO_SPACE when less than @bytes are free where it lies. */
bool cs_disk_scratch_check_space (CsDiskScratch *scratch, guint64 bytes, GError **error);

#endif
