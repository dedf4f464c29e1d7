/* What rollback-pages.c (which pages), rollback-discarded.c and rollback-write.c (writing them)
 * share. */
#ifndef CS_VMM_ROLLBACK_PAGES_PRIVATE_H
#define CS_VMM_ROLLBACK_PAGES_PRIVATE_H

#include "vmm/rollback-pages.h"

typedef struct
{
  const CsRamBlock *info;
  guint index;        /* in the tracker, once that is known */
  guint volume;       /* of the target */
  bool tracked;       /* before the rollback */
  bool anonymous;     /* not a file's memory */
  bool looked;        /* for pages that were discarded and read */
  bool whole;         /* nothing is known about what changed */
  CsBitmap *differs;  /* between the images; with what was carried over */
  CsBitmap *nonzero;  /* in the target */
  CsHeldVolume *held; /* its content that is in memory */
  CsBitmap
      *written; /* as the tracker says: by the guest; then by us; then by loading the devices */
  CsBitmap *todo;
  CsBitmap *scratch, *other; /* of use within one function */
} CsRollbackBlock;

struct CsRollbackPages
{
  CsRollbackPagesOptions options;
  GArray *blocks; /* of CsRollbackBlock, in the order of options.blocks */

  /* The pause's room, populated before. */
  guint8 *staging;
  GArray *runs;      /* of CsPageRun, rising: what is in staging, or held and written next */
  GArray *offsets;   /* of guint64: in staging */
  const void **data; /* of each run that is held */
  guint64 *late;     /* page numbers */
};

enum
{
  CS_ROLLBACK_STAGING = 1024, /* pages; runs */
};

static inline CsRollbackBlock *
cs_rollback_block (const CsRollbackPages *pages, guint i)
{
  return &g_array_index (pages->blocks, CsRollbackBlock, i);
}

/* rollback-discarded.c, into block->todo, which holds what was written and what differs; use
 * block->scratch and ->other.  VM stopped, or as an estimate.  Adds what was discarded: */
bool cs_rollback_add_discarded (CsRollbackPages *pages, CsRollbackBlock *block, GError **error);
/* After that: takes out what is zero already. */
bool cs_rollback_leave_zero (CsRollbackPages *pages, CsRollbackBlock *block, GError **error);

/* Adds to @found those of @candidates, pages of @block that are mapped, that hold only zeros. */
bool cs_rollback_find_read (pid_t pid, const CsRamBlock *block, const CsBitmap *candidates,
                            CsBitmap *found, GError **error);

#endif
