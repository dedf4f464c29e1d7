/* Keeps what was sent to a VM before its cluster was taken back from arriving afterwards.
 *
 * Theory of operation: rollback-network.c. */
#ifndef CS_VMM_ROLLBACK_NETWORK_H
#define CS_VMM_ROLLBACK_NETWORK_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct CsRollbackNetwork CsRollbackNetwork;

/* Finds the tap devices and datagram sockets through which process @pid (QEMU) gets frames. */
CsRollbackNetwork *cs_rollback_network_new (pid_t pid, GError **error);

/* Just before the VM is stopped: from now on nothing arrives, for BLOCK_SECONDS at most. */
void cs_rollback_network_block (CsRollbackNetwork *network);
/* VM stopped, all VMs that were stopped with it stand as well: what has arrived is dropped; then
 * frames come through again.  Returns how many were dropped; without @drop (the VM goes on as it
 * was) those that wait are left. */
guint64 cs_rollback_network_open (CsRollbackNetwork *network, bool drop);

/* Opens what is blocked.  NULL is fine. */
void cs_rollback_network_free (CsRollbackNetwork *network);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRollbackNetwork, cs_rollback_network_free)

/* After a crash: takes away the filter that a clusnapd before us may have left. */
void cs_rollback_network_unblock (pid_t pid);

#endif
