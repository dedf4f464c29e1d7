/* What the files of the lazy restore share: lazy.c (blocks), lazy-place.c (a page's way
 * into memory), lazy-serve.c (faults), lazy-fill.c (the rest), lazy-end.c (back to ordinary
 * memory), lazy-json.c (after a crash). */
#ifndef CS_VMM_LAZY_PRIVATE_H
#define CS_VMM_LAZY_PRIVATE_H

#include "common/pace.h"
#include "images/read-plan.h"
#include "vmm/lazy.h"
#include "vmm/pagemap.h"

typedef struct
{
  CsRamBlock info;  /* ours, with its name */
  guint volume;     /* of the image; lazy blocks only */
  bool lazy;        /* in MISSING|WP mode, else WP only */
  guint64 ended;    /* the owner's: so many bytes of a lazy one are WP only again */
  bool gone;        /* under the lock: QEMU has unmapped it (unplugged) */
  CsBitmap *placed; /* under the lock: pages that were put, are being put (CsLazyFlight) or were
                       there; NULL for eager ones */
  CsReadPlan *plan; /* the owner's; immutable while fillers run */
} CsLazyBlock;

/* Pages that one thread is putting, with no lock held.  On its stack, in CsLazy's list. */
typedef struct
{
  GList link;
  CsLazyBlock *block;
  guint64 page, count;
  bool asked; /* a fault came for one of them meanwhile: who waits is woken at the end */
} CsLazyFlight;

/* A frame of the store to be put by the fill. */
typedef struct
{
  CsLazyBlock *block;
  guint frame; /* of the block's plan */
} CsLazyWork;

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
  CsPagemap *pagemap;           /* once the end has begun */
  GPtrArray *servers, *fillers; /* of GThread */
  GArray *hint;                 /* of CsTouch, or NULL; immutable once fillers run */
  int rate;                     /* MiB/s, 0, or CS_LAZY_RATE_ADAPTIVE; atomic */

  /* The filler's that makes the plan, then immutable. */
  gsize planned; /* g_once_init_enter's */
  GArray *work;  /* of CsLazyWork, in the fill's order */
  guint urgent;  /* the first ones: what an earlier restore touched */

  int zeros_begun; /* atomic: a prefetcher puts the pages of zeros */

  /* Stops the servers: an eventfd, written by the owner only. */
  int stop_server;

  /* Under the lock.  Held for a few instructions; order: none is taken inside it.  @changed: any of
   * these did. */
  GMutex lock;
  GCond changed;
  GPtrArray *blocks;   /* of CsLazyBlock; grows only, before the filler begins */
  guint64 done, total; /* pages of the image, not zero */
  guint64 faults;
  gint64 fault_time, fault_longest; /* us, from the message to the answer */
  gint64 last_fault;                /* CLOCK_MONOTONIC */
  GArray *touches;                  /* of CsTouch */
  guint serving;                    /* servers that have a fault: the filler stands back */
  GQueue flights;                   /* of CsLazyFlight */
  guint next;                       /* of @work */
  guint filling, prefetching;       /* threads under way */
  guint64 prefetched;               /* pages */
  bool stop_filler;
  CsPace pace; /* of a bounded fill */
  bool kill_on_failure;
  GError *error; /* the first; of the filler or a fault */
};

/* Puts @count pages, skipping those placed before or being placed.  False and @error: GONE, or the
 * host has no memory; what was not put may be tried again. */
bool cs_lazy_place (CsLazy *lazy, CsLazyBlock *block, guint64 page, guint64 count, const void *data,
                    GError **error);
/* Lock held: is @page placed, and if only just being: notes that somebody waits for it, who will
 * be woken. */
bool cs_lazy_is_placed (CsLazy *lazy, CsLazyBlock *block, guint64 page, bool *in_flight);
/* The calling thread's share of the processor, as far as it is allowed (nice(2)). */
void cs_lazy_set_nice (int nice);
/* Of what fills memory or disks behind a guest. */
#define CS_LAZY_FILL_NICE 10
/* Lock held.  Keeps the first error and wakes who waits for the end. */
void cs_lazy_fail (CsLazy *lazy, GError *error);

/* How many of the pages are not zero in the image. */
guint64 cs_lazy_count_content (CsLazy *lazy, const CsLazyBlock *block, guint64 page, guint64 count);

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
