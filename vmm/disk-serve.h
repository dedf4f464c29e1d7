/* A server for the disks of one stored image: an nbdkit process with our plugin
 * (images/nbdkit-plugin), read-only, on a unix socket; an export per disk, named as the volume.
 *
 * It outlives this process: whoever starts one records it (to_json) where a restarted clusnapd
 * finds it. */
#ifndef CS_VMM_DISK_SERVE_H
#define CS_VMM_DISK_SERVE_H

#include "images/store.h"

#include <sys/types.h>

typedef struct CsDiskServe CsDiskServe;

/* Serves image @image of @store at @socket (made, mode 0660, owned by @uid and @gid: QEMU's; -1: as
 * it is); its directory must be one that QEMU can pass through.  What nbdkit says goes to
 * @socket.log until it is stopped.  The plugin is CS_NBDKIT_PLUGIN_DIR's, or the file that the
 * environment's CLUSNAP_NBDKIT_PLUGIN names (a build tree's).  The caller sees to it that garbage
 * collection keeps the image (pin, or a root). */
CsDiskServe *cs_disk_serve_start (CsStore *store, const char *image, const char *socket, uid_t uid,
                                  gid_t gid, GError **error);

/* Ends the process (by pid and start time) and removes the socket. */
void cs_disk_serve_stop (CsDiskServe *serve);
/* Forgets it; the process goes on. */
void cs_disk_serve_free (CsDiskServe *serve);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskServe, cs_disk_serve_free)

bool cs_disk_serve_is_alive (const CsDiskServe *serve);

json_object *cs_disk_serve_to_json (const CsDiskServe *serve);
/* GONE when that process has ended. */
CsDiskServe *cs_disk_serve_from_json (json_object *object, GError **error);

#endif
