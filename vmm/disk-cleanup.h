/* Takes out of a QEMU what a capture of ours put into it; private to disk.h's files. */
#ifndef CS_VMM_DISK_CLEANUP_H
#define CS_VMM_DISK_CLEANUP_H

#include "vmm/monitor.h"

/* Exports, jobs, nodes and fd sets of ours; the NBD server too with @stop_server.  Goes on after an
 * error and reports the first one. */
bool cs_disk_remove_ours (CsMonitor *monitor, bool stop_server, GError **error);

#endif
