/* Serves the memory of a restored VM page by page while it runs (DESIGN.md section 2, "lazy").
 *
 * Theory of operation, what happens when clusnapd dies (the descriptor kept in QEMU makes
 * faults wait), and how the blocks become ordinary tracked memory at the end: lazy.c. */
#ifndef CS_VMM_LAZY_H
#define CS_VMM_LAZY_H

#include <gio/gio.h>

#include "images/hint.h"
#include "vmm/lazy-mapping.h"
#include "vmm/tracker.h"

typedef struct CsLazy CsLazy;

/* Makes the userfaultfd in QEMU, which waits with -incoming defer, nothing loaded; cs_lazy_tracker
 * gives the tracker on it, which counts writes from the first instruction.  @image outlives us. */
CsLazy *cs_lazy_new (CsMonitor *monitor, CsImage *image, GError **error);
/* The same on a userfaultfd that was made already (taken, non-blocking, with
 * cs_uffd_lazy_features); @keep is its number in process @pid or -1, @name for messages. */
CsLazy *cs_lazy_new_from_fd (pid_t pid, int uffd, int keep, const char *name, CsImage *image,
                             GError **error);

/* Whether @block can and should be lazy: large, of 4 KiB pages, anonymous or shared memory (@kind).
 */
bool cs_lazy_suits (const CsRamBlock *block, CsMappingKind kind);
/* Registers @block in MISSING|WP mode, overwrites what is present there, protects all of it and
 * starts serving faults in a thread of its own.  @volume is as long as the block, @kind what it is
 * mapped from. */
bool cs_lazy_add_block (CsLazy *lazy, const CsRamBlock *block, CsMappingKind kind, guint volume,
                        GError **error);
/* An eagerly loaded block: register and protect for writes only. */
bool cs_lazy_add_eager_block (CsLazy *lazy, const CsRamBlock *block, GError **error);

/* Before the VM runs, all blocks being there: begins to put the pages that an earlier restore
 * touched first (GArray of CsTouch, in their order), by threads of its own.  What has not come when
 * the fill begins comes first in it; errors are left for the fill to meet. */
void cs_lazy_prefetch (CsLazy *lazy, const GArray *touches);
/* What the VM waited for, the first touch first: GArray of CsTouch, at most CS_HINT_MAX_TOUCHES
 * (passes to the caller). */
GArray *cs_lazy_touches (CsLazy *lazy);

/* How fast the background fill may be, in MiB/s; 0: as fast as possible. */
#define CS_LAZY_RATE_ADAPTIVE (-1) /* faults slow it down; the default */
void cs_lazy_set_fill_rate (CsLazy *lazy, int rate);

/* Starts the background fill: in the store's order, faults come first (theory of operation:
 * lazy-fill.c).  After an error: tries again, also the faults that went unanswered. */
void cs_lazy_start_fill (CsLazy *lazy);
/* Pages of the image that are in place, and how many there are to be. */
void cs_lazy_progress (CsLazy *lazy, guint64 *done, guint64 *total);
/* At once: nothing more will arrive (all is there, or an error). */
bool cs_lazy_is_filled (CsLazy *lazy);
/* Waits until all are.  Errors of the store surface here; the affected fault stays unanswered (the
 * guest must not read something else). */
bool cs_lazy_wait_filled (CsLazy *lazy, GCancellable *cancellable, GError **error);

typedef struct
{
  guint64 count;
  guint64 prefetched;   /* pages that cs_lazy_prefetch put */
  gint64 time, longest; /* us between reading the kernel's message and the answer */
} CsLazyFaults;
void cs_lazy_faults (CsLazy *lazy, CsLazyFaults *faults);

/* For a rollback while memory arrives (VM stopped): ORs the pages of the block @name that were put
 * into @placed; false where the block is not lazy (all of it is there). */
bool cs_lazy_get_placed (CsLazy *lazy, const char *name, CsBitmap *placed);
/* Puts other content than the image's where nothing was put yet; what was is left as it is. */
bool cs_lazy_put (CsLazy *lazy, const char *name, guint64 page, guint64 count, const void *data,
                  GError **error);

/* VM stopped, filled: leaves MISSING mode (scan, unregister, register, protect) for as much memory
 * as takes @budget us or a little more, ORing what was written so far into @dirty[i] for tracker
 * block i.  To be called again, in another pause, until *@finished; after that faults are the
 * kernel's own business again. */
bool cs_lazy_end (CsLazy *lazy, CsBitmap **dirty, gint64 budget, bool *finished, GError **error);
/* Then, VM running again: ends the threads and closes the descriptor that was kept in QEMU. */
void cs_lazy_end_serving (CsLazy *lazy);

/* A fault that went unanswered (the store failed) is an error here, too. */
bool cs_lazy_check (CsLazy *lazy, GError **error);
/* While set, an unanswerable fault ends QEMU: before the VM runs there is nothing to lose, and a
 * QEMU whose main loop hangs in a fault would never answer its monitor again. */
void cs_lazy_set_kill_on_failure (CsLazy *lazy, bool kill);

CsTracker *cs_lazy_tracker (CsLazy *lazy);       /* borrowed */
CsTracker *cs_lazy_steal_tracker (CsLazy *lazy); /* after cs_lazy_end_serving */
void cs_lazy_free (CsLazy *lazy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsLazy, cs_lazy_free)

/* What a restarted clusnapd needs to go on serving: {pid, fd in QEMU, blocks}; to be taken once
 * QEMU has loaded.  And going on: takes the descriptor out of QEMU again, wakes all waiters and
 * serves; the fill begins with cs_lazy_start_fill.  @name for messages.  Errors: GONE (that QEMU
 * has ended), INVALID, STATE (the descriptor is closed: the memory was complete). */
json_object *cs_lazy_to_json (CsLazy *lazy);
CsLazy *cs_lazy_from_json (json_object *object, const char *name, CsImage *image, GError **error);

#endif
