/* A VM's disks in the same cut: dirty bitmap and copy-before-write job (DISKS.md).
 *
 * Nothing about the guest's disks changes: same files, same chain, same libvirt XML.
 * What we add to QEMU is named clusnap-* and taken away again; cs_disks_cleanup removes what
 * a killed daemon left.
 *
 *   disk.c          CsDisk and its JSON            disk-query.c    which disks there are
 *   disk-scratch.c  what one disk's capture puts    disk-capture.c  the capture of all disks
 *                   into QEMU                       disk-nbd.c      libnbd: block status, read,
 * write disk-read.c     which extents, in what order    disk-cleanup.c  after a killed daemon
 *
 * Not a disk: firmware flash (cfi.pflash01/02, the UEFI variables).  Its content is a RAM block and
 * is captured as one; when a machine that was loaded begins to run, QEMU itself writes the
 * flash's file from it.
 */
#ifndef CS_VMM_DISK_H
#define CS_VMM_DISK_H

#include "vmm/monitor.h"

typedef struct
{
  char *name; /* stable across restarts: qdev id, else -drive id, else QOM path; "virtio-disk0" */
  char *node; /* the format node (a raw disk under libvirt may have only the -storage one) */
  char *filename;       /* of the top image, absolute, as QEMU sees it */
  char *format;         /* "raw", "qcow2" */
  char *backing_file;   /* NULL: none */
  char *backing_format; /* NULL: none */
  guint64 size;         /* bytes, as the guest sees it */
  guint64 cluster_size; /* qcow2; 0 else */
  bool writeback;       /* the host's cache may hold dirty data: pre-flush */

  /* Of a disk in a manifest; cs_disks_query leaves them. */
  bool captured;      /* the next two are known */
  guint64 bytes_read; /* data read for this snapshot */
  guint64 bytes_zero; /* changed since the one before, and zero now: not read */
} CsDisk;

void cs_disk_free (CsDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDisk, cs_disk_free)

/* The writable disks with a medium: GPtrArray of CsDisk with a free function.  Read-only disks,
 * CD-ROMs and empty drives are left out.  REFUSED for a disk that cannot be captured or could not
 * be restored: says which and why (somebody else's block job; a format we do not know; an
 * encrypted image; not in a local file or block device; a file that is gone, as with -snapshot). */
GPtrArray *cs_disks_query (CsMonitor *monitor, GError **error);

/* CsDisk <-> JSON, for the manifest.  The parser validates (INVALID). */
json_object *cs_disk_to_json (const CsDisk *disk);
CsDisk *cs_disk_from_json (json_object *object, GError **error);

/* Removes every job, export, node, fd set and NBD server of ours from QEMU; bitmaps
 * too unless @keep_bitmap (or NULL) is the name of the one to keep.  That one goes as well where it
 * is disabled: what was written since is not in it. */
bool cs_disks_cleanup (CsMonitor *monitor, const char *keep_bitmap, GError **error);

typedef struct CsDiskCapture CsDiskCapture;

/* Before the pause: scratch nodes, NBD server.  @disks is borrowed for the capture's life.
 * @previous: the bitmap active since the last sealed snapshot, or NULL (then all is read).  A disk
 * that lacks it, or has it disabled, is read whole.  @next: the name that the new bitmap gets, e.g.
 * "clusnap-17".  Scratch files lie in @scratch_directory, already unlinked; a socket
 * "nbd-QEMU'S PID" (0600) lies there as well until the capture ends.  Errors: BUSY (somebody else's
 * NBD server runs in this QEMU: it has only one), NO_SPACE (guest writes are copied to the scratch
 * files while the capture is read). */
CsDiskCapture *cs_disk_capture_new (CsMonitor *monitor, GPtrArray *disks,
                                    const char *scratch_directory, const char *previous,
                                    const char *next, GError **error);

/* Takes all that is left out of QEMU: export, job, scratch node, fd sets.  The VM may run; a
 * deadline of the monitor is lifted.  Unless
 * cs_disk_capture_commit came first, the new bitmap goes and the previous one is made active
 * again and given back what the new one saw, so that no change is lost (rule 3). */
void cs_disk_capture_free (CsDiskCapture *capture);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskCapture, cs_disk_capture_free)

/* fdatasync of the image files (and written backing files) with writeback caching, from the host.
 */
bool cs_disk_capture_preflush (CsDiskCapture *capture, GError **error);

/* VM stopped: one transaction for all disks. */
bool cs_disk_capture_cut (CsDiskCapture *capture, GError **error);

/* After resume: the extents of disk @i changed since @previous, as they were at the cut, in rising
 * order; offsets and lengths are multiples of 4096, but that the last length ends at the disk's
 * size (its data is filled up to a whole page with zeros).  @data NULL: the range is zero. NO_SPACE
 * when the scratch files are about to fill their file system: free the capture then, or the guest's
 * writes fail. */
typedef bool (*CsDiskExtentFunc) (guint64 offset, guint64 length, const void *data, void *user_data,
                                  GError **error);
bool cs_disk_capture_read (CsDiskCapture *capture, guint i, CsDiskExtentFunc func, void *user_data,
                           GError **error);

/* A VM that was just restored and has not run yet: adds the active bitmap @name to every disk, so
 * that the next capture (with @previous = @name) reads only what changed. */
bool cs_disks_track (CsMonitor *monitor, GPtrArray *disks, const char *name, GError **error);

/* Bytes of @disk that changed since its bitmap @name began; false where it has none that is active.
 */
bool cs_disk_changed (CsMonitor *monitor, const CsDisk *disk, const char *name, guint64 *bytes);

/* The snapshot is sealed: bitmap @next stands, @previous is removed. */
bool cs_disk_capture_commit (CsDiskCapture *capture, GError **error);

#endif
