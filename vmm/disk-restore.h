/* Writes a disk of a snapshot back to an image file of the form that it had. */
#ifndef CS_VMM_DISK_RESTORE_H
#define CS_VMM_DISK_RESTORE_H

#include <gio/gio.h>

#include "images/image.h"
#include "vmm/disk.h"

typedef struct CsDiskRestore CsDiskRestore;

/* Makes a new image beside disk->filename (format, size, cluster size and backing file of @disk,
 * owner and mode of what stands there) and fills it from volume @volume of @image.  The
 * file at disk->filename is not touched yet.  For a block device, which cannot be renamed, nothing
 * is written until cs_disk_restore_switch.  @cancellable may be NULL.  Errors: EXISTS (the old
 * image of a restore lies there that nobody made good, as when the host went down: only the user
 * can know which one is right); REFUSED (a qcow2 file with internal snapshots, which would be
 * lost); BUSY (another restore of it is under way); NO_SPACE.
 * @lazy_backing: NULL, or nothing is filled in and this becomes the new image's backing image, if
 * it is a qcow2 one without its own (lazy-disks.h); then @disk must not lie on a block device
 * (REFUSED). */
CsDiskRestore *cs_disk_restore_new (const CsDisk *disk, CsImage *image, guint volume,
                                    const char *lazy_backing, GCancellable *cancellable,
                                    GError **error);

/* Puts the new image in place ; the old one is kept beside it, as FILE.clusnap-old.  There
 * is an image at disk->filename at every moment.  A block device is overwritten here: that cannot
 * be undone. */
bool cs_disk_restore_switch (CsDiskRestore *restore, GError **error);

/* Makes the new image durable: slow, so after the VM runs.  Part of commit; apart for its error. */
bool cs_disk_restore_flush (CsDiskRestore *restore, GError **error);

/* The VM runs on the new image: the old one goes (but stays if the new one cannot be flushed). */
void cs_disk_restore_commit (CsDiskRestore *restore);

/* Without commit: puts the old image back and removes the new one. */
void cs_disk_restore_free (CsDiskRestore *restore);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskRestore, cs_disk_restore_free)

#endif
