/* The pages that one rollback writes back into a VM's RAM, and their content.
 *
 * Theory of operation: rollback-pages.c. */
#ifndef CS_VMM_ROLLBACK_PAGES_H
#define CS_VMM_ROLLBACK_PAGES_H

#include "vmm/held-pages.h"
#include "vmm/lazy.h"
#include "vmm/tracker.h"

typedef struct CsRollbackPages CsRollbackPages;

typedef struct
{
  pid_t pid;           /* QEMU's */
  CsTracker *tracker;  /* borrowed, as all here */
  GPtrArray *blocks;   /* of CsRamBlock: QEMU's, all of them in @target, of that length */
  CsImage *target;     /* what the memory becomes */
  CsImage *base;       /* what it was when @carried began; NULL: not known */
  GHashTable *carried; /* block name -> CsBitmap of what scans consumed since; NULL: not known */
  CsLazy *lazy;        /* memory is still arriving: NULL: no */
  CsHeldPages *held;   /* of @target's content: more is read into it */
} CsRollbackPagesOptions;

/* VM running: finds the pages that differ between the images. */
CsRollbackPages *cs_rollback_pages_new (const CsRollbackPagesOptions *options, GError **error);
void cs_rollback_pages_free (CsRollbackPages *pages);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRollbackPages, cs_rollback_pages_free)

/* VM running: reads the content of what must be written as of now, and is not held yet, within the
 * budget.  Sets *@count to the number of pages read. */
bool cs_rollback_pages_read_ahead (CsRollbackPages *pages, guint64 *count, GError **error);

/* VM stopped: the blocks that the tracker did not know are protected and will be written as a
 * whole; looks what was written to the others, without consuming it; finds what was discarded.  May
 * be undone. */
bool cs_rollback_pages_scan (CsRollbackPages *pages, GError **error);
/* After that: pages to be written, and how many of them are not held. */
void cs_rollback_pages_count (const CsRollbackPages *pages, guint64 *pages_to_write, guint64 *late);
/* Whether everything of at least one block is written, since nothing is known about it. */
bool cs_rollback_pages_is_whole (const CsRollbackPages *pages);

/* VM stopped: writes them all.  *@touched is set before the first write; @written (may be NULL) is
 * called after it. */
bool cs_rollback_pages_write (CsRollbackPages *pages, bool *touched,
                              bool (*written) (GError **error), GError **error);

/* VM stopped, after the devices were loaded: scans, and writes back what that changed, which is all
 * that is dirty then.  Sets *@count to the number of pages. */
bool cs_rollback_pages_fix_up (CsRollbackPages *pages, guint64 *count, GError **error);

/* Nothing was written: what is known about changes is so still (rule 3), but of blocks that were
 * not tracked before, which are taken out of @carried. */
void cs_rollback_pages_undo (CsRollbackPages *pages, GHashTable *carried);

#endif
