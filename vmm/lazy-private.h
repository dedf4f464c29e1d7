/* What the files of the lazy restore share: lazy.c (blocks), lazy-serve.c (faults), lazy-fill.c
 * (the rest), lazy-end.c (back to ordinary memory), lazy-json.c (after a crash). */
#ifndef CS_VMM_LAZY_PRIVATE_H
#define CS_VMM_LAZY_PRIVATE_H

#include "vmm/lazy.h"
#include "vmm/pagemap.h"

typedef struct
{
  CsRamBlock info;  /* ours, with its name */
  guint volume;     /* of the image; lazy blocks only */
  bool lazy;        /* in MISSING|WP mode, else WP only */
  guint64 ended;    /* the owner's: so many bytes of a lazy one are WP only again */
  bool gone;        /* under the lock: QEMU has unmapped it (unplugged) */
  CsBitmap *placed; /* under the lock: pages that were put or were there; NULL for eager ones */
} CsLazyBlock;

struct CsLazy
{
  /* Immutable. */
  pid_t pid;
  guint64 start_time; /* of process @pid */
  int uffd;           /* borrowed from the tracker */
  int keep;           /* number of the copy in the process; -1: none */
  char *name;         /* of the VM, for messages */
  CsImage *image;

  /* The owner's (the VM's worker). */
  CsTracker *tracker;
  CsPagemap *pagemap; /* once the end has begun */
  GThread *server, *filler;

  /* Stops the server: an eventfd, written by the owner only. */
  int stop_server;

  /* Under the lock.  Order: none is taken inside it; UFFDIO_COPY is called under it, so that a page
   * is never put over one that the guest discarded in between.  @changed: any of these did. */
  GMutex lock;
  GCond changed;
  GPtrArray *blocks;   /* of CsLazyBlock; grows only, before the filler begins */
  guint64 done, total; /* pages of the image, not zero */
  guint64 faults;
  gint64 fault_time, fault_longest; /* us, from the message to the answer */
  bool serving;                     /* faults wait: the filler stands back */
  bool filling, stop_filler;
  bool kill_on_failure;
  GError *error; /* the first; of the filler or a fault */
};

/* Lock held.  Puts @count pages, skipping those placed before.  False and @error: GONE, or the
 * host has no memory. */
bool cs_lazy_place (CsLazy *lazy, CsLazyBlock *block, guint64 page, guint64 count, const void *data,
                    GError **error);
/* Lock held.  Keeps the first error and wakes who waits for the end. */
void cs_lazy_fail (CsLazy *lazy, GError *error);

CsLazyBlock *cs_lazy_block_new (const CsRamBlock *info);
void cs_lazy_block_free (CsLazyBlock *block);
/* Takes @block: appends it and, with @tracked, declares it to the tracker. */
void cs_lazy_append (CsLazy *lazy, CsLazyBlock *block, bool tracked);

/* lazy-serve.c */
void cs_lazy_start_server (CsLazy *lazy);
void cs_lazy_stop_server (CsLazy *lazy);

/* lazy-fill.c */
void cs_lazy_stop_fill (CsLazy *lazy);

#endif
