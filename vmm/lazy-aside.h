/* A lazy disk (lazy-disks.h) whose image is not at its path before it is whole: a raw one, or a
 * qcow2 one above a backing image of its own.
 *
 * Theory of operation.  Nothing in a raw image tells what is not there yet, and a qcow2 image that
 * has its own backing image cannot name the stored disk, so one that is half filled must not be
 * where somebody could start it.  Beside FILE, the disk's path:
 *
 *   FILE.clusnap-fill   the image to be, which we write from the store (a thread, at low priority)
 *   FILE.clusnap-lazy   a qcow2 image above the stored disk's server: what the guest works on
 *                       (FILE.clusnap-lazy-qcow2 where FILE is a qcow2 image)
 *
 * QEMU starts with the arguments that it had and opens the empty image at FILE under its own node,
 * with its own options.  Before the VM runs its device gets the overlay instead, and the image
 * loses its name.  When the image is filled, a mirror job (sync=top) brings to it what the guest
 * wrote, in the background first, and when it is ready with what the guest writes from then on
 * (copy-mode=write-blocking); at its end the device has its own node again: QEMU is as it was
 * started.
 *
 *   device              device                       device
 *     |                   |                            |
 *   node: FILE          overlay   node (idle)        node: FILE
 *                         |          |
 *                       server    FILE.clusnap-fill
 *
 * A libvirt domain is started with the overlay, and libvirt does the rest (lazy-aside-libvirt.c).
 *
 * A raw image is written to its file, a qcow2 one of a bare VM through QEMU, which has it open
 * (lazy-aside-export.c), one of a domain through a server of ours; and as for an eager restore:
 * what its backing image holds as well is left out (disk-fill-above.c).
 *
 * The image takes its name when both are in sync (actively-synced), and not before: from then on
 * every write is in both images, so that FILE is whole from the moment at which it is there, also
 * if QEMU or we end before the device has changed over.  Where the name is, is therefore all that a
 * restarted clusnapd needs: while FILE.clusnap-fill is there the overlay is the disk, without it
 * FILE is.  (A node that QEMU opened with auto-read-only, as -drive does, is opened by its name
 * again when the job begins: for that moment FILE is a symbolic link.)  A qcow2 image of a domain
 * takes it while the domain stands, when both are the same (lazy-aside-libvirt.c).
 *
 * Then the image gets the overlay's dirty bitmaps, in one transaction.
 *
 * When QEMU has ended the overlay is committed into the image, which is filled first.  After a
 * crash of the host both files lie there without a server, and FILE does not: with the snapshot's
 * disk (its store root is kept) they are the guest's last state, without them it is the
 * snapshot's.  The next restore refuses to take them away.
 *
 * Threads: the VM's worker; done: any. */
#ifndef CS_VMM_LAZY_ASIDE_H
#define CS_VMM_LAZY_ASIDE_H

#include "images/store.h"
#include "vmm/block-graph.h"
#include "vmm/disk.h"

#include <libvirt/libvirt.h>

/* How its jobs' names begin. */
#define CS_LAZY_ASIDE_JOB "clusnap-mirror"

typedef struct CsLazyAside CsLazyAside;

typedef struct
{
  CsStore *store;        /* outlives it */
  const char *image;     /* its volume of the disk's name is it; likewise */
  const CsDisk *form;    /* likewise: name, format, size, ... */
  guint number;          /* of the disk, in names of what we put into QEMU */
  const char *directory; /* for sockets; likewise */
  guint64 rate;          /* bytes/s at which it is filled while the guest runs, 0: unbounded */
} CsLazyAsideDisk;

/* For the disk at @path, which is no symbolic link.  EXISTS: files of an earlier restore lie there.
 */
CsLazyAside *cs_lazy_aside_new (const CsLazyAsideDisk *disk, const char *path, GError **error);
/* After a crash: @path is what cs_lazy_aside_path was. */
CsLazyAside *cs_lazy_aside_from_path (const CsLazyAsideDisk *disk, const char *path);
/* Ends the thread; the files stay. */
void cs_lazy_aside_free (CsLazyAside *aside);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsLazyAside, cs_lazy_aside_free)
/* QEMU has ended and the restore is undone: removes the files. */
void cs_lazy_aside_discard (CsLazyAside *aside);

const char *cs_lazy_aside_path (const CsLazyAside *aside);
const char *cs_lazy_aside_overlay (const CsLazyAside *aside);

/* A libvirt domain's (lazy-aside-libvirt.c), before it is started with the overlay over @backing:
 * the empty image at its path loses its name. */
bool cs_lazy_aside_prepare (CsLazyAside *aside, const char *backing, GError **error);

/* A bare VM loaded, not yet run: it works on an overlay over @backing from now on.  The empty image
 * is at its path.  Where the device does not reach its image directly (a filter between them would
 * be lost) the image is filled here, and *@complete. */
bool cs_lazy_aside_insert (CsLazyAside *aside, const char *backing, CsMonitor *monitor,
                           bool *complete, GError **error);

/* Looks how far it is and goes on; begins no export unless @may_export.  *@complete: the image is
 * at its path, nothing of ours is left.  Of a domain: the second one; *@waits:
 * cs_lazy_aside_change_over_domain comes next. */
bool cs_lazy_aside_step (CsLazyAside *aside, CsMonitor *monitor, bool may_export, bool *complete,
                         GError **error);
bool cs_lazy_aside_step_domain (CsLazyAside *aside, CsMonitor *monitor, virDomainPtr domain,
                                bool *complete, bool *waits, GError **error);
/* The domain stands (no matter who has stopped it), and goes on with the image. */
bool cs_lazy_aside_change_over_domain (CsLazyAside *aside, CsMonitor *monitor, virDomainPtr domain,
                                       bool *complete, GError **error);
/* Where the domain has changed over already the image takes its name. */
bool cs_lazy_aside_settle_domain (CsLazyAside *aside, bool *complete, GError **error);
/* Whether it uses QEMU's only NBD server. */
bool cs_lazy_aside_is_exporting (const CsLazyAside *aside);
/* Ends the job (of a domain: one that is ready) and the export.  A raw image goes on being filled,
 * which is nobody's business. */
void cs_lazy_aside_hold (CsLazyAside *aside, CsMonitor *monitor);
void cs_lazy_aside_hold_domain (CsLazyAside *aside, virDomainPtr domain);
/* QEMU has ended: the image gets all and takes its name.  Fails while somebody has it open. */
bool cs_lazy_aside_finish_offline (CsLazyAside *aside, GError **error);

/* Where the image of the disk at @path is at this moment, set aside or not (g_free). */
char *cs_lazy_aside_image (const char *path);

/* Bytes of the disk's size. */
guint64 cs_lazy_aside_done (const CsLazyAside *aside);

/* The node that tells the form of the disk at @node: another one only while that is such an
 * overlay.  Borrowed from @graph, or @node. */
const char *cs_lazy_aside_form (const CsBlockGraph *graph, const char *node);

#endif
