/* The disks of a restore whose clusnapd was killed: back to what stood there, or forward.
 *
 * A record is made before anything else is: {"path": links resolved, "block": it is a device,
 * "device" and "inode": of what stands there (inode 0: nothing), "old": a FILE.clusnap-old lies
 * there already and is not ours, "new-inode": of the image that is about to be switched to}. */
#ifndef CS_VMM_DISK_UNDO_H
#define CS_VMM_DISK_UNDO_H

#include "vmm/disk.h"

json_object *cs_disk_undo_record (const CsDisk *disk);
/* When FILE.clusnap-new is complete, before any switch. */
void cs_disk_undo_note_new (json_object *record);

/* QEMU is gone: the old image is at its path again, the others are removed.  What somebody put
 * there since is told by its inode and stays.  A block device was overwritten: nothing is done. */
bool cs_disk_undo_back (json_object *record, GError **error);
/* The VM runs on the new image, or had begun to: makes that durable, the old one goes. */
bool cs_disk_undo_forward (json_object *record, GError **error);

#endif
