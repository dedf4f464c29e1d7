/* The memory of a VM under restore: which RAM block is loaded how, tracked from the first
 * instruction. */
#ifndef CS_VMM_RESTORE_MEMORY_H
#define CS_VMM_RESTORE_MEMORY_H

#include <gio/gio.h>

#include "vmm/lazy.h"
#include "vmm/restore-document.h"
#include "vmm/stream.h"

typedef struct CsRestoreMemory CsRestoreMemory;

/* QEMU waits with nothing loaded.  Compares its RAM blocks with the document's, then
 *
 *   a large block, @lazy      is registered and served by a CsLazy;
 *   a large block otherwise   is written into QEMU's memory here;
 *   a small block             is left to cs_restore_memory_stream;
 *
 * and starts the tracking of all.  Errors: STATE (a block is missing, or differs). */
CsRestoreMemory *cs_restore_memory_new (CsMonitor *monitor, CsImage *image,
                                        const CsRestoreDocument *document, bool lazy,
                                        GCancellable *cancellable, GError **error);
void cs_restore_memory_free (CsRestoreMemory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRestoreMemory, cs_restore_memory_free)

/* Writes the block list and the small blocks' pages to @stream: all but its end. */
bool cs_restore_memory_stream (CsRestoreMemory *memory, CsStream *stream, GError **error);

/* NULL when nothing is lazy; then the tracker is the memory's own. */
CsLazy *cs_restore_memory_steal_lazy (CsRestoreMemory *memory);
CsTracker *cs_restore_memory_steal_tracker (CsRestoreMemory *memory);

#endif
