/* Reads what changed on one disk from its export; private to disk.h's files. */
#ifndef CS_VMM_DISK_READ_H
#define CS_VMM_DISK_READ_H

#include "common/bitmap.h"
#include "vmm/disk-nbd.h"
#include "vmm/disk-scratch.h"
#include "vmm/disk.h"

/* Reads the changed extents of export @export at socket @path: @bitmap is the exported dirty bitmap
 * or NULL for everything.  @scratch's space is watched. */
bool cs_disk_read (const char *path, const char *export, const char *bitmap, guint64 size,
                   CsDiskScratch *scratch, CsDiskExtentFunc func, void *user_data, GError **error);

/* Add the pages that the block status of @nbd calls dirty (its context is a dirty bitmap), or not
 * zero (base:allocation). */
bool cs_disk_load_dirty (CsNbd *nbd, guint64 size, CsBitmap *set, GError **error);
bool cs_disk_load_allocated (CsNbd *nbd, guint64 begin, guint64 end, CsBitmap *set, GError **error);

/* The next piece of @wanted at or after page *@page: at most @max pages, all of them in @data
 * or none (*@zero).  False after the last.  Loop: for (*page = 0; ...; *page += *count). */
bool cs_disk_next_piece (const CsBitmap *wanted, const CsBitmap *data, guint64 max, guint64 *page,
                         guint64 *count, bool *zero);

#endif
