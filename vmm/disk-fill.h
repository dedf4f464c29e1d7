/* Fills an image file with the content of a volume of the store; private to disk-restore.c. */
#ifndef CS_VMM_DISK_FILL_H
#define CS_VMM_DISK_FILL_H

#include <gio/gio.h>

#include "common/pace.h"
#include "images/image.h"
#include "vmm/disk-nbd.h"
#include "vmm/disk.h"

/* Who watches a fill, and holds it back. */
typedef struct
{
  GCancellable *cancellable;
  guint64 *written; /* atomic, bytes: raised as they are written; NULL: nobody asks */
  CsPace pace;      /* for what is written */
} CsDiskFillControl;

/* Makes the file at @path (also open as @fd, writable and empty; or a block device with any
 * content) an image of the form of @disk, with the content of volume @volume.  Not flushed. */
bool cs_disk_fill (const CsDisk *disk, const char *path, int fd, bool block_device, CsImage *image,
                   guint volume, CsDiskFillControl *control, GError **error);

/* A raw image without content but for its first pages, which tell QEMU the disk's geometry. */
bool cs_disk_create_raw (const CsDisk *disk, const char *path, int fd, CsImage *image, guint volume,
                         GError **error);

/* Its part for a qcow2 image above a backing image: the new image at @path is open for writing as
 * @top, and empty from *@control->written on. */
bool cs_disk_fill_above (const CsDisk *disk, const char *path, CsNbd *top, CsImage *image,
                         guint volume, CsDiskFillControl *control, GError **error);

/* The same file without content; with @lazy_backing (NULL: none; not opened) instead of the backing
 * image of @disk. */
bool cs_disk_create_qcow2 (const CsDisk *disk, const char *lazy_backing, const char *path,
                           GError **error);

#endif
