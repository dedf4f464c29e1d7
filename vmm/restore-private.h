/* What the files of the restore share: restore.c (the way from manifest to finish),
 * restore-disks.c, restore-json.c (after a crash). */
#ifndef CS_VMM_RESTORE_PRIVATE_H
#define CS_VMM_RESTORE_PRIVATE_H

#include "vmm/lazy-disks.h"
#include "vmm/restore-document.h"
#include "vmm/restore-journal.h"
#include "vmm/restore.h"

typedef enum
{
  RESTORE_NEW,      /* nothing done */
  RESTORE_LAUNCHED, /* QEMU was started */
  RESTORE_LOADED,   /* paused, complete but for lazy memory */
  RESTORE_RUNNING,  /* nothing is undone any more once it is committed */
  RESTORE_FINISHED, /* all memory is there */
} RestoreState;

struct CsRestore
{
  /* Immutable. */
  CsStore *store;
  CsRestoreDocument *document;
  CsImage *image;
  bool is_lazy;
  int fill_rate;
  bool has_disks;
  char *serve_directory; /* NULL: no lazy disks */
  char *log_path;        /* of a bare QEMU */
  char *disk_bitmap;     /* NULL: none */

  /* The owner's (the VM's worker). */
  RestoreState state;
  bool committed;
  bool fill_begun;
  CsRestoreJournal *journal; /* NULL: none */
  GPtrArray *disks;          /* of CsDiskRestore; switched, not yet committed */
  CsLazyDisks *lazy_disks;   /* set once, while loading; NULL: none */
  CsMonitor *monitor;
  GArray *hint;       /* of CsTouch: what an earlier restore touched first; or NULL */
  CsLazy *lazy;       /* set once, while loading; NULL: all is loaded eagerly */
  CsTracker *tracker; /* NULL while it is @lazy's */
  bool reported;      /* the last finish failed for the store */
  CsBitmap **dirty;   /* per tracker block, NULL-terminated; after finish */
  CsRestoreTimes times;
};

/* Allocates with what both ways of making one need; takes @document. */
CsRestore *cs_restore_alloc (CsStore *store, CsRestoreDocument *document, GError **error);

/* Writes all disks, several at a time, then switches each to its new image. */
bool cs_restore_write_disks (CsRestore *restore, GCancellable *cancellable, GError **error);
/* restore-hint.c: takes up what an earlier restore of the image left, and leaves as much for the
 * next one. */
void cs_restore_use_hint (CsRestore *restore);
void cs_restore_save_hint (CsRestore *restore);

/* Before a pause: what `stop` would flush of files that were just written (DISKS.md). */
void cs_restore_flush_disks (CsRestore *restore);

/* Flushes the disks, stops the VM, calls @func and lets it run again.  One that its user has paused
 * stays so: *@pause is 0 then, else us. */
typedef bool (*CsRestorePausedFunc) (CsRestore *restore, void *data, GError **error);
bool cs_restore_micro_pause (CsRestore *restore, CsRestorePausedFunc func, void *data,
                             gint64 *pause, GError **error);

#endif
