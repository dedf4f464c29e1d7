/* QEMU's NBD server, on a socket of ours; private to disk.h's files. */
#ifndef CS_VMM_DISK_SERVER_H
#define CS_VMM_DISK_SERVER_H

#include "vmm/monitor.h"

typedef struct CsDiskServer CsDiskServer;

/* Starts it on a socket in @directory that only we may connect to.  BUSY when it runs already
 * for somebody else: a QEMU has only one.  One that a killed clusnapd left on such a socket, and
 * that exports nothing, is stopped first. */
CsDiskServer *cs_disk_server_start (CsMonitor *monitor, const char *directory, GError **error);

/* Removes the socket; stopping the server is cs_disk_remove_ours' part. */
void cs_disk_server_free (CsDiskServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskServer, cs_disk_server_free)

/* Where to connect to, in this process only. */
const char *cs_disk_server_path (const CsDiskServer *server);
/* All have connected: removes the socket, so that no crash leaves it. */
void cs_disk_server_close_door (CsDiskServer *server);

#endif
