/* Reads what changed on one disk from its export; private to disk.h's files. */
#ifndef CS_VMM_DISK_READ_H
#define CS_VMM_DISK_READ_H

#include "common/bitmap.h"
#include "vmm/disk-scratch.h"
#include "vmm/disk.h"

/* Reads the changed extents of export @export at socket @path: @bitmap is the exported dirty bitmap
 * or NULL for everything.  @scratch's space is watched. */
bool cs_disk_read (const char *path, const char *export, const char *bitmap, guint64 size,
                   CsDiskScratch *scratch, CsDiskExtentFunc func, void *user_data, GError **error);

/* The next piece of @wanted at or after page *@page: at most @max pages, all of them in @data
 * or none (*@zero).  False after the last.  Loop: for (*page = 0; ...; *page += *count). */
bool cs_disk_next_piece (const CsBitmap *wanted, const CsBitmap *data, guint64 max, guint64 *page,
                         guint64 *count, bool *zero);

#endif
