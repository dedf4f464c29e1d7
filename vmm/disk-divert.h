/* Takes a stopped guest's devices off its disks for a while, so that we may write to them; private
 * to disk.h's files.  Theory of operation: disk-divert.c. */
#ifndef CS_VMM_DISK_DIVERT_H
#define CS_VMM_DISK_DIVERT_H

#include "vmm/block-graph.h"
#include "vmm/disk.h"

typedef struct CsDiskDivert CsDiskDivert;

/* Adds our nodes to QEMU; the guest's devices are not touched yet.  Both are borrowed.  STATE when
 * a disk was taken out meanwhile.  What is in QEMU goes by cs_disk_remove_ours, also after
 * an error. */
CsDiskDivert *cs_disk_divert_new (CsMonitor *monitor, GPtrArray *disks, const CsBlockGraph *graph,
                                  GError **error);
void cs_disk_divert_free (CsDiskDivert *divert);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskDivert, cs_disk_divert_free)

/* The guest's devices reach their disks through a node of ours from now on.  The VM may run. */
bool cs_disk_divert_insert (CsDiskDivert *divert, GError **error);

/* VM stopped: with @ours the nodes CS_DISK_BACK are the disks, and the guest's devices have
 * empty ones; without, the other way round.  One command for all disks, all or nothing. */
bool cs_disk_divert_switch (CsDiskDivert *divert, bool ours, GError **error);

/* Gives the devices of a VM, in whatever state a rollback left it, their disks back.  No
 * export of ours may be left. */
bool cs_disk_divert_undo (CsMonitor *monitor, GError **error);

#endif
