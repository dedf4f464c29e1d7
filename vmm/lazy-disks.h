/* The disks of a restored VM that are filled while it runs.
 *
 * Theory of operation: each such disk starts as an empty qcow2 image whose backing image is the
 * stored disk, read over NBD from a server of ours (disk-serve.h).  What the guest reads comes from
 * there, what it writes stays in the image.  A stream job of QEMU copies the rest behind the
 * guest's back and takes the backing link out of the image when it is done: then it is the plain
 * local image that it was.  The header names the server, so image and server together are the whole
 * disk at every moment, whoever opens it; a root in the store keeps the stored image.
 *
 * QEMU allows no copy-before-write job beside a stream job, so a capture first calls hold, and step
 * begins the job again afterwards: what was copied stays copied.  The copying does not mark the
 * dirty bitmaps.  A server that dies is started again at the same socket; QEMU's requests wait for
 * it (reconnect-delay), and the server itself tries for a minute before it tells that the store
 * cannot be read.
 *
 * A libvirt domain is started with the server as <backingStore> and filled by virDomainBlockPull,
 * so that libvirt's view is true all the time and as it was afterwards.
 *
 * Nothing in a raw image tells what is not there yet: one that is half filled when its VM ends
 * would be read as whole by whoever starts it next.  A stream job into an image with a backing
 * image of its own would copy what that holds as well, and the image would no longer be thin.  So
 * these are filled aside, without a name, while the guest works on an overlay (lazy-aside.h).
 *
 * Not so, these are written before the VM starts:
 * - those of a libvirt domain that would be filled aside and that libvirt would not let be an
 *   overlay, or not copy back as they were: shared, transient, no hard disk, below a filter, or a
 *   symbolic link;
 * - those of a libvirt domain whose backing image is no file (a clone's, which reads from our
 *   server): libvirt opens that anew at the end of its copy, and does not see in the image's header
 *   that QEMU is to wait for a server that is started again;
 * - block devices, which cannot be without a name.
 *
 * Threads: one owner (the VM's worker); progress and is_complete: any. */
#ifndef CS_VMM_LAZY_DISKS_H
#define CS_VMM_LAZY_DISKS_H

#include "images/store.h"
#include "vmm/disk.h"

typedef struct CsLazyDisks CsLazyDisks;

/* Whether @disk of the VM of @source can be filled so. */
bool cs_lazy_disks_can (const CsDisk *disk, json_object *source);

/* Starts the server for image @image, with its socket in @directory, for the QEMU of @source
 * (vmm/source.h), and puts the root.  Freed before cs_lazy_disks_keep, both are taken back.  Each
 * disk is filled with at most @rate bytes/s while the VM runs (0: unbounded); what the guest wrote
 * meanwhile beside an image set aside is copied back unbounded. */
CsLazyDisks *cs_lazy_disks_new (CsStore *store, const char *image, json_object *source,
                                const char *directory, guint64 rate, GError **error);
void cs_lazy_disks_free (CsLazyDisks *lazy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsLazyDisks, cs_lazy_disks_free)

/* Adds @disk; returns what its image's header names as its backing image (g_free).  EXISTS: files
 * of an earlier restore lie there. */
char *cs_lazy_disks_add (CsLazyDisks *lazy, const CsDisk *disk, GError **error);
/* Whether @backing, out of an image's header, is such a name. */
bool cs_lazy_disks_is_ours (const char *backing);
/* The images are at their paths, QEMU is not there: those of a libvirt domain that are filled aside
 * are set aside. */
bool cs_lazy_disks_prepare (CsLazyDisks *lazy, GError **error);
/* @source as it must be launched: libvirt's XML tells the images and what backs them.  A new
 * reference. */
json_object *cs_lazy_disks_source (const CsLazyDisks *lazy, json_object *source, GError **error);

/* After the launch: QEMU reads what is not in the images from the server (its arguments could say
 * otherwise). */
bool cs_lazy_disks_check (CsLazyDisks *lazy, CsMonitor *monitor, GError **error);

/* After the VM is loaded, before it runs: overlays come before the disks that need such. */
bool cs_lazy_disks_insert (CsLazyDisks *lazy, CsMonitor *monitor, GError **error);

/* The file that the guest writes to, where that is not the disk's; NULL: it is. */
const char *cs_lazy_disks_overlay (const CsLazyDisks *lazy, const CsDisk *disk);

/* The restore is not undone any more: from here on the server and the root stay until all is
 * copied. */
void cs_lazy_disks_keep (CsLazyDisks *lazy);

/* Looks how far the jobs are; begins those that do not run; ends server and root when all is
 * copied. */
bool cs_lazy_disks_step (CsLazyDisks *lazy, CsMonitor *monitor, GError **error);
/* Whether some disk can go on only while the VM stands: change_over. */
bool cs_lazy_disks_want_stop (const CsLazyDisks *lazy);
/* VM stopped, for tens of milliseconds: one of them does.  Where it fails the disk is as it was. */
bool cs_lazy_disks_change_over (CsLazyDisks *lazy, CsMonitor *monitor, GError **error);
/* Where that was done and its end was not (a clusnapd was killed, and the VM stands; a failure). */
bool cs_lazy_disks_settle (CsLazyDisks *lazy, GError **error);
/* Ends the jobs, which leaves the disks as they are.  Of a domain it first waits for those that
 * copy what the guest wrote meanwhile. */
bool cs_lazy_disks_hold (CsLazyDisks *lazy, CsMonitor *monitor, GError **error);
/* QEMU has ended: copies the rest.  Fails while somebody else has an image open. */
bool cs_lazy_disks_finish_offline (CsLazyDisks *lazy, GError **error);

/* Bytes. */
void cs_lazy_disks_progress (const CsLazyDisks *lazy, guint64 *done, guint64 *total);
bool cs_lazy_disks_is_complete (const CsLazyDisks *lazy);

/* For the journal. */
json_object *cs_lazy_disks_to_json (const CsLazyDisks *lazy);
/* A server that has ended is started again. */
CsLazyDisks *cs_lazy_disks_from_json (CsStore *store, json_object *source, json_object *object,
                                      GError **error);

/* After a crash before keep: ends the server of such a record and removes its root. */
void cs_lazy_disks_undo (CsStore *store, json_object *object);

#endif
