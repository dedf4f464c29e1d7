/* An empty qcow2 image over a backing file. */
#ifndef CS_VMM_CLONE_OVERLAY_H
#define CS_VMM_CLONE_OVERLAY_H

#include <glib.h>
#include <stdbool.h>

#define CS_OVERLAY_CLUSTER_SIZE 65536

/* Makes @path (0600; EXISTS), @size bytes large for the guest.  @backing is what QEMU opens below
 * it, of format raw, e.g. "json:{…}"; it need not be there yet. */
bool cs_clone_overlay_make (const char *path, guint64 size, const char *backing, GError **error);

#endif
