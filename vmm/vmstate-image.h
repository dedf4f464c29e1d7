/* A qcow2 image that holds nothing but one internal snapshot's VM state: what QEMU's
 * `snapshot-load` wants to be fed with.
 *
 * Source of the format: QEMU's docs/interop/qcow2.txt; the drawing is in vmstate-image.c. */
#ifndef CS_VMM_VMSTATE_IMAGE_H
#define CS_VMM_VMSTATE_IMAGE_H

#include <glib.h>
#include <stdbool.h>

/* The snapshot's name. */
#define CS_VMSTATE_TAG "clusnap"

/* Writes the VM state as a stream to @fd, from its file position on. */
typedef bool (*CsVmStateFunc) (int fd, void *user_data, GError **error);

/* Makes the image in a memory file, with the VM state that @func writes (at most 500 MiB).
 * Returns the descriptor (read-write, close-on-exec), -1 with @error.  QEMU changes the image when
 * it loads the snapshot: one image is good for one load. */
int cs_vmstate_image_make (CsVmStateFunc func, void *user_data, GError **error);

#endif
