/* What QEMU says of its block nodes, asked without harm.
 *
 * QEMU 10.0 ends with a segmentation fault in query-named-block-nodes (bdrv_refresh_filename) while
 * a block-stream job has concluded and has not been dismissed: its filter has lost its child and is
 * still a node.  libvirt dismisses its jobs itself, some time after their end (virDomainBlockPull).
 * So nobody asks while there is such a job. */
#ifndef CS_VMM_BLOCK_NODES_H
#define CS_VMM_BLOCK_NODES_H

#include "vmm/monitor.h"

/* The array that query-named-block-nodes answers, flat.  A job that has ended is waited for; BUSY:
 * one that may end while we ask, or that nobody dismisses. */
json_object *cs_block_nodes_query (CsMonitor *monitor, GError **error);

#endif
