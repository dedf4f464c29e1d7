/* /proc/PID/pagemap: which pages of a process were written, which have content.
 *
 * Source: Documentation/admin-guide/mm/pagemap.rst, ioctl PAGEMAP_SCAN (Linux 6.7).
 * Threads: one owner. */
#ifndef CS_VMM_PAGEMAP_H
#define CS_VMM_PAGEMAP_H

#include "common/bitmap.h"

#include <sys/types.h>

#define CS_PAGE_SIZE_HOST 4096

typedef struct CsPagemap CsPagemap;

CsPagemap *cs_pagemap_open (pid_t pid, GError **error);
void cs_pagemap_close (CsPagemap *pagemap);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsPagemap, cs_pagemap_close)

/* An interval of addresses whose page number 0 is at @start.  Pages past the end of a bitmap (a
 * huge page that reaches over the end of its block) are not entered. */
typedef struct
{
  guint64 start;
  guint64 length; /* bytes */
} CsRange;

/* ORs the pages of @range that are not write-protected into @written and, with @protect,
 * protects each in the same step.  Allocates nothing.  On failure everything that
 * was protected has been entered.  Errors: STATE (a part is not registered for asynchronous
 * write protection), GONE. */
bool cs_pagemap_written (CsPagemap *pagemap, CsRange range, bool protect, CsBitmap *written,
                         GError **error);

/* Protects the pages of @range, whatever they were. */
bool cs_pagemap_protect (CsPagemap *pagemap, CsRange range, GError **error);

/* GONE when the address space is. */
bool cs_pagemap_check_alive (const CsPagemap *pagemap, GError **error);

/* Whether the page at @address lies in memory registered for asynchronous protection. */
bool cs_pagemap_is_registered (CsPagemap *pagemap, guint64 address);

/* ORs the pages of @range that are mapped to memory or swapped out into @resident.  Not those
 * mapped to the zero page, nor the markers that protection leaves on untouched pages. */
bool cs_pagemap_resident (CsPagemap *pagemap, CsRange range, CsBitmap *resident, GError **error);

/* The same of @candidates alone (of pages counted from range.start), by reading their entries: for
 * few pages many times as fast.  Those mapped to the zero page are entered as well. */
bool cs_pagemap_resident_among (CsPagemap *pagemap, CsRange range, const CsBitmap *candidates,
                                CsBitmap *resident, GError **error);

/* ORs into @pages those of @range that have a page table for certain.  Where one went as a whole,
 * a scan need not report the pages as written, though they read as zero (Linux 6.18 does; nothing
 * documents it).  Looks at one entry per table. */
bool cs_pagemap_with_table (CsPagemap *pagemap, CsRange range, CsBitmap *pages, GError **error);

#endif
