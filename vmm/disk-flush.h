/* Flushes a VM's image files from the host, so that QEMU's own flush at `stop` finds nothing to do
 * (DISKS.md: 1-2 ms instead of 40-60).  Private to disk.h's files. */
#ifndef CS_VMM_DISK_FLUSH_H
#define CS_VMM_DISK_FLUSH_H

#include "vmm/block-graph.h"

typedef struct CsDiskFlush CsDiskFlush;

CsDiskFlush *cs_disk_flush_new (void);
void cs_disk_flush_free (CsDiskFlush *flush);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskFlush, cs_disk_flush_free)

/* Adds the files of @node and of its backing images that go through the host's cache. */
void cs_disk_flush_add (CsDiskFlush *flush, const CsBlockGraph *graph, pid_t pid, const char *node);

/* fdatasync of all, at the same time. */
bool cs_disk_flush_run (CsDiskFlush *flush, GError **error);

#endif
