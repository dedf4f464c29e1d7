/* The memory tracker: which pages of an unmodified, running QEMU were written.
 *
 * A userfaultfd of QEMU's address space in WP_ASYNC mode, made by one injected system
 * call, and PAGEMAP_SCAN.  The theory of operation is in tracker.c.
 *
 * Rules (DESIGN.md section 3): protect and scan only while the VM is stopped (1); a scan
 * consumes dirt, so its result must reach a sealed snapshot or be kept (3).
 *
 * Threads: one owner (the VM's worker).
 */
#ifndef CS_VMM_TRACKER_H
#define CS_VMM_TRACKER_H

#include "common/bitmap.h"
#include "vmm/ramblock.h"

typedef struct CsTracker CsTracker;

/* Whether this kernel can track at all (PAGEMAP_SCAN, userfaultfd WP_ASYNC: Linux >= 6.7).
 * UNSUPPORTED with the reason otherwise. */
bool cs_tracker_probe (GError **error);

/* Makes the userfaultfd in QEMU's address space and takes it over (0.2 ms; QEMU's other
 * threads run on).  Nothing is protected yet. */
CsTracker *cs_tracker_new (CsMonitor *monitor, GError **error);

/* A tracker on a userfaultfd that is ours already (lazy restore makes its own in MISSING|WP
 * mode and registers blocks itself: see cs_tracker_adopt_block).  Takes @uffd. */
CsTracker *cs_tracker_new_from_fd (pid_t pid, int uffd, GError **error);

/* Ends tracking; the kernel drops all protection and QEMU runs on. */
void cs_tracker_free (CsTracker *tracker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsTracker, cs_tracker_free)

int cs_tracker_uffd (const CsTracker *tracker); /* borrowed */

/* VM stopped.  Registers and write-protects the blocks of @blocks that are not tracked yet
 * and forgets those that are gone or have moved.  New blocks are marked in *@fresh as needing a
 * full read: GPtrArray of borrowed names (free with g_ptr_array_unref); NULL to ignore.  The
 * tracker's blocks are then those of @blocks, in that order: indexes change.  A block whose length
 * changed is new.  On failure none of the new blocks is tracked (they are new again next time), and
 * those that had been tracked and are still there remain so. */
bool cs_tracker_set_blocks (CsTracker *tracker, GPtrArray *blocks, GPtrArray **fresh,
                            GError **error);

/* Declares that @block is registered on our userfaultfd and write-protected already. */
void cs_tracker_adopt_block (CsTracker *tracker, const CsRamBlock *block);

guint cs_tracker_n_blocks (const CsTracker *tracker);
const CsRamBlock *cs_tracker_block (const CsTracker *tracker, guint i);
bool cs_tracker_find_block (const CsTracker *tracker, const char *name, guint *i);

/* VM stopped.  ORs the pages of block @i written since the last scan (or protection) into
 * @dirty (used_length / 4096 bits) and protects them again, in one step.  Allocates
 * nothing.  On failure what was consumed has been entered into @dirty.  Errors: GONE; STATE when
 * QEMU has mapped other memory into the block, which the next cs_tracker_set_blocks finds new. */
bool cs_tracker_scan (CsTracker *tracker, guint i, CsBitmap *dirty, GError **error);

/* The same look without consuming: for estimates while the VM runs. */
bool cs_tracker_peek (CsTracker *tracker, guint i, CsBitmap *dirty, GError **error);

/* ORs the pages of block @i that have content (present or swapped; or, where the block is a file's,
 * data in it) into @resident.  All others read as zero.  May report too many, never too few. */
bool cs_tracker_resident (CsTracker *tracker, guint i, CsBitmap *resident, GError **error);

/* ORs the pages of block @i that QEMU has mapped, or had before they were swapped out, into
 * @mapped: never one that it has discarded since.  A page of a file that is there without being
 * mapped may be missing. */
bool cs_tracker_mapped (CsTracker *tracker, guint i, CsBitmap *mapped, GError **error);
/* The same of @candidates alone; may enter pages of anonymous memory that were only read and are
 * zero. */
bool cs_tracker_mapped_among (CsTracker *tracker, guint i, const CsBitmap *candidates,
                              CsBitmap *mapped, GError **error);
/* Anonymous memory: ORs into @pages those of block @i that a scan reports as written for certain if
 * they were discarded. */
bool cs_tracker_with_table (CsTracker *tracker, guint i, CsBitmap *pages, GError **error);

/* Copies pages of QEMU's memory: the @n runs of @runs of block @i, one after the
 * other, into @buffer.  process_vm_readv, batched; never populates pages that
 * the caller took from cs_tracker_resident or a scan. */
typedef struct
{
  guint64 first; /* page */
  guint64 count; /* pages */
} CsPageRun;
bool cs_tracker_read (CsTracker *tracker, guint i, const CsPageRun *runs, gsize n, void *buffer,
                      GError **error);
/* The other direction (VM stopped). */
bool cs_tracker_write (CsTracker *tracker, guint i, const CsPageRun *runs, gsize n,
                       const void *buffer, GError **error);
/* The same, the content of run k being at data[k]. */
bool cs_tracker_write_from (CsTracker *tracker, guint i, const CsPageRun *runs, gsize n,
                            const void *const *data, GError **error);

#endif
