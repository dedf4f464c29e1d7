/* What rollbacks have read of their VMs' snapshots, kept in memory for the next rollback: who goes
 * back to the same snapshot again, or to one that has most pages in common with it, does not wait
 * for the store. */
#ifndef CS_VMM_KEPT_PAGES_H
#define CS_VMM_KEPT_PAGES_H

#include "vmm/held-pages.h"

typedef struct CsKeptPages CsKeptPages;

/* @limit: bytes that all VMs together may keep; 0: nothing is kept. */
CsKeptPages *cs_kept_pages_new (guint64 limit);
void cs_kept_pages_free (CsKeptPages *kept);

/* Any thread, all of these.  Takes @held, which holds content of image @image of @store (compared
 * by address only), for the VM @vm; whoever was not asked for longest makes room, @held itself goes
 * where there is none. */
void cs_kept_pages_put (CsKeptPages *kept, const char *vm, const CsStore *store, const char *image,
                        CsHeldPages *held);
/* Passes to the caller what was put for @vm, NULL: nothing, and *@image of what. */
CsHeldPages *cs_kept_pages_take (CsKeptPages *kept, const char *vm, const CsStore *store,
                                 char **image);
/* Drops what was put before @since (CLOCK_MONOTONIC, us). */
void cs_kept_pages_expire (CsKeptPages *kept, gint64 since);
/* Bytes. */
guint64 cs_kept_pages_size (CsKeptPages *kept);

#endif
