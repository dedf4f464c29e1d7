/* An image set aside (lazy-aside.h) of a libvirt domain.
 *
 * Theory of operation.  Nodes that libvirt does not know of would break its own block jobs, so it
 * does what QEMU is told to do for a bare one.  The domain is started with the overlay as its disk
 * (source-xml-disks.c), FILE being without its name already; its persistent definition says nothing
 * of that.  When the image is filled, a block copy of libvirt's (shallow: what the overlay has of
 * its own) brings to it what the guest wrote.  The copy's destination is
 * the <disk> as it was, so that after the pivot the live XML is as it was, but for the numbers of
 * nodes (index), which differ from start to start; the backing images of a qcow2 one libvirt finds
 * in its header.  QEMU does not have the image open before: we write it through a server of our
 * own, as for an eager restore (disk-fill.h).
 *
 * A raw image: with synchronous writes, so that it is whole as soon as the copy is ready, takes its
 * name then, and the domain changes over.
 *
 * An image above a backing image: libvirt opens that at the pivot only, so until then nothing below
 * the destination is there.  The copy itself writes whole clusters; a synchronous write of
 * a part of one that the image does not have yet would leave zeros around it, where the backing
 * image has content.  So the guest's writes go to the overlay alone, and the domain stands while
 * the copy ends, the domain changes over and the image takes its name (tens of milliseconds):
 * overlay and image are the same from the first of these steps to the last, whoever is
 * killed between.
 *
 * libvirt opens the image by its path FILE, which is a symbolic link for that moment, and again
 * when a copy is given up: then libvirt gives it its owner back.  Where the domain ends during a
 * copy libvirt cannot, and what it noted at the file is undone by us.
 *
 * As for a bare QEMU, where the name is tells what to do, with one case more: a copy that somebody
 * pivots without us, or while we are restarted, leaves the guest on an image without a name.  So
 * the overlay being gone out of QEMU and FILE's node being there means that the image is the disk.
 * So does, without QEMU, that there is an image without a name and no overlay's file.
 *
 * Not done: a guest that writes to a disk above a backing image faster than QEMU copies keeps the
 * copy from being ready, and goes on working on the overlay; and while the image is filled, before
 * the copy, no job of libvirt's runs, and it lets the domain be saved, migrated, or given an
 * external snapshot.  A saved state then names the overlay, which is gone after the end (`virsh
 * save-image-edit` puts FILE there); above an external snapshot the copy waits until that is
 * committed. */
#include "config.h"

#include "vmm/lazy-aside-private.h"

#include "common/error.h"
#include "common/fault.h"
#include "vmm/disk-file.h"
#include "vmm/libvirt.h"
#include "vmm/source-xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* How the names of libvirt's notes at a file begin (src/security/security_util.c), and the one that
 * tells its owner. */
#define NOTES "trusted.libvirt.security."
#define NOTE_OF_OWNER NOTES "dac"

static const char *
find_node (const CsLazyAsideLook *look, const char *driver, const char *path)
{
  return cs_disk_file_node (look->graph, cs_monitor_pid (look->monitor), driver, path);
}

/* The image's node that the disk has by itself: libvirt gives a raw one none of its own. */
static const char *
image_node (const CsLazyAsideLook *look)
{
  bool raw = strcmp (look->aside->disk.form->format, "raw") == 0;
  return find_node (look, raw ? "file" : "qcow2", look->aside->path);
}

/* <disk> as it is without us (g_free), and how far the copy is. */
static char *
get_disk (const CsLazyAside *aside, virDomainPtr domain, CsSourceCopy *copy, GError **error)
{
  char *xml = virDomainGetXMLDesc (domain, 0);
  if (xml == NULL)
    {
      cs_libvirt_set_error (error, "disk '%s'", aside->disk.form->name);
      return NULL;
    }
  char *disk = cs_source_xml_get_disk (xml, aside->overlay, copy, error);
  free (xml);
  return disk;
}

static bool
is_above (const CsLazyAside *aside)
{
  return aside->disk.form->backing_file != NULL;
}

static bool
start_copy (CsLazyAside *aside, virDomainPtr domain, const char *disk, GError **error)
{
  guint flags = VIR_DOMAIN_BLOCK_COPY_SHALLOW | VIR_DOMAIN_BLOCK_COPY_REUSE_EXT
                | VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB;
  if (!is_above (aside))
    flags |= VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES;
  if (!cs_fault_point ("disk-mirror", error) || !cs_lazy_aside_link (aside, error))
    return false;
  aside->begun = virDomainBlockCopy (domain, aside->overlay, disk, NULL, 0, flags) == 0;
  bool ok = aside->begun
            || cs_libvirt_set_error (error, "disk '%s' cannot be filled", aside->disk.form->name);
  cs_lazy_aside_unlink (aside);
  return ok;
}

/* The domain works on the image. */
static bool
finish (CsLazyAside *aside, bool *complete, GError **error)
{
  if (!cs_fault_point ("disk-finish", error) || !cs_lazy_aside_take_name (aside, error))
    return false;
  unlink (aside->overlay);
  *complete = true;
  return true;
}

static bool
pivot (const CsLazyAside *aside, virDomainPtr domain, GError **error)
{
  return virDomainBlockJobAbort (domain, aside->overlay, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) == 0
         || cs_libvirt_set_error (error, "disk '%s' cannot be given its image",
                                  aside->disk.form->name);
}

/* NULL: QEMU does not have it. */
static const char *
find_image (const CsLazyAsideLook *look, GError **error)
{
  const char *image = image_node (look);
  if (image == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_STATE, "disk '%s': QEMU does not have '%s'",
                 look->aside->disk.form->name, look->aside->path);
  return image;
}

/* Every write is in both images. */
static bool
change_over (const CsLazyAsideLook *look, virDomainPtr domain, const char *overlay, bool *complete,
             GError **error)
{
  CsLazyAside *aside = look->aside;
  const char *image = find_image (look, error);
  return image != NULL && cs_fault_point ("disk-name", error)
         && cs_lazy_aside_take_name (aside, error) && cs_fault_point ("disk-pivot", error)
         && cs_lazy_aside_copy_bitmaps (look, overlay, image, error) && pivot (aside, domain, error)
         && finish (aside, complete, error);
}

static bool
step_fill (CsLazyAside *aside, virDomainPtr domain, const char *disk, GError **error)
{
  CsLazyAsideState state = cs_lazy_aside_end_fill (aside, error);
  if (state == ASIDE_EMPTY)
    cs_lazy_aside_start_fill (aside, NULL);
  return state != ASIDE_FAILED
         && (state != ASIDE_FILLED || start_copy (aside, domain, disk, error));
}

/* The guest still works on the overlay, whose node is @overlay. */
static bool
step_overlay (const CsLazyAsideLook *look, virDomainPtr domain, const char *overlay, bool *complete,
              bool *waits, GError **error)
{
  CsLazyAside *aside = look->aside;
  CsSourceCopy copy;
  g_autofree char *disk = get_disk (aside, domain, &copy, error);
  if (disk == NULL)
    return false;
  if (copy == CS_SOURCE_COPY_PIVOT)
    return true;
  /* We were killed, or the copy failed, before the domain changed over. */
  if (cs_lazy_aside_is_named (aside) && !cs_lazy_aside_drop_name (aside, error))
    return false;
  *waits = copy == CS_SOURCE_COPY_READY && is_above (aside);
  if (copy == CS_SOURCE_COPY_READY)
    return *waits || change_over (look, domain, overlay, complete, error);
  if (copy != CS_SOURCE_COPY_NONE)
    return true;
  if (!aside->begun)
    return step_fill (aside, domain, disk, error);
  aside->begun = false;
  return cs_lazy_aside_tell_failure (aside, error);
}

bool
cs_lazy_aside_step_domain (CsLazyAside *aside, CsMonitor *monitor, virDomainPtr domain,
                           bool *complete, bool *waits, GError **error)
{
  g_auto (CsLazyAsideLook) look = { .aside = aside, .monitor = monitor };
  *complete = *waits = false;
  if (!cs_lazy_aside_look (&look, error))
    return false;
  const char *overlay = find_node (&look, "qcow2", aside->overlay);
  if (overlay != NULL)
    return step_overlay (&look, domain, overlay, complete, waits, error);
  /* Without either it was taken out: the image gets the rest when QEMU has ended. */
  return image_node (&look) == NULL || finish (aside, complete, error);
}

/* Asks nobody: others look at QEMU's nodes only when no job of ours is ending (lazy-disks-fill.c).
 */
bool
cs_lazy_aside_settle_domain (CsLazyAside *aside, bool *complete, GError **error)
{
  return !cs_lazy_aside_has_changed_over (aside) || finish (aside, complete, error);
}

bool
cs_lazy_aside_change_over_domain (CsLazyAside *aside, CsMonitor *monitor, virDomainPtr domain,
                                  bool *complete, GError **error)
{
  g_auto (CsLazyAsideLook) look = { .aside = aside, .monitor = monitor };
  if (!cs_lazy_aside_look (&look, error))
    return false;
  const char *overlay = find_node (&look, "qcow2", aside->overlay);
  const char *image = overlay != NULL ? find_image (&look, error) : NULL;
  if (overlay == NULL)
    return true;
  if (image == NULL || !cs_fault_point ("disk-pivot", error)
      || !cs_lazy_aside_copy_bitmaps (&look, overlay, image, error)
      || !cs_lazy_aside_link (aside, error))
    return false;
  bool done = pivot (aside, domain, error);
  cs_lazy_aside_unlink (aside);
  /* From now on it lacks what the guest writes: nobody is to take it for the disk. */
  if (done)
    unlink (aside->overlay);
  return done && cs_fault_point ("disk-name", error) && finish (aside, complete, error);
}

void
cs_lazy_aside_hold_domain (CsLazyAside *aside, virDomainPtr domain)
{
  CsSourceCopy copy = CS_SOURCE_COPY_NONE;
  g_autofree char *disk = get_disk (aside, domain, &copy, NULL);
  aside->begun = false;
  if (disk == NULL || copy == CS_SOURCE_COPY_NONE || copy == CS_SOURCE_COPY_OTHER)
    return;
  bool linked = !cs_lazy_aside_is_named (aside) && cs_lazy_aside_link (aside, NULL);
  virDomainBlockJobAbort (domain, aside->overlay, 0);
  if (linked)
    cs_lazy_aside_unlink (aside);
}

void
cs_lazy_aside_forget_libvirt (const CsLazyAside *aside)
{
  char names[4096], owner[64];
  guint uid, gid;
  ssize_t n = getxattr (aside->fill_path, NOTE_OF_OWNER, owner, sizeof owner - 1);
  if (n > 0)
    {
      owner[n] = '\0';
      if (sscanf (owner, "+%u:+%u", &uid, &gid) != 2
          || chown (aside->fill_path, (uid_t)uid, (gid_t)gid) < 0)
        g_warning ("'%s' keeps the owner that libvirt gave it", aside->path);
    }
  n = listxattr (aside->fill_path, names, sizeof names);
  for (const char *name = names; n > 0 && name < names + n; name += strlen (name) + 1)
    if (g_str_has_prefix (name, NOTES))
      removexattr (aside->fill_path, name);
}
