/* Theory of operation
 *
 * PAGEMAP_SCAN walks page tables and fills a vector of regions, protecting what it reports
 * (PM_SCAN_WP_MATCHING).  Three properties of it matter here.
 *
 * A full vector ends the walk: walk_end says where, and the caller goes on from there.
 *
 * A failure in the middle (a mapping that is not registered: EPERM) returns the error and no
 * count, though regions before it have been reported and protected.  So the vector
 * is all zero before each call, and after a failure read up to its first zero entry.
 *
 * For a process that has exited Linux 6.18 answers ESRCH.  Nothing documents that this was always
 * so, and in an empty address space nothing would have been written; so after each walk the same
 * descriptor is read: 0 bytes mean that the address space is gone, 8 that it was there during the
 * walk.
 *
 * With asynchronous protection of unpopulated pages (UFFD_FEATURE_WP_UNPOPULATED) the kernel
 * leaves a marker in each empty page table entry.  PAGEMAP_SCAN reports a marker as SWAPPED; the
 * entry read from pagemap tells it from a page in swap by its type, the highest there is
 * (SWP_PTE_MARKER, include/linux/swap.h). */
#include "config.h"

#include "vmm/pagemap.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/linux-uapi.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PAGE CS_PAGE_SIZE_HOST
#define N_REGIONS 1024
#define N_ENTRIES 4096
#define TABLE (512 * (guint64)PAGE) /* bytes that one page table maps (x86-64) */

#define ENTRY_PRESENT (G_GUINT64_CONSTANT (1) << 63)
#define ENTRY_SWAPPED (G_GUINT64_CONSTANT (1) << 62)
#define ENTRY_SWAP_TYPE 0x1f
#define TYPE_MARKER 0x1f

struct CsPagemap
{
  pid_t pid;
  int fd;
  struct page_region regions[N_REGIONS]; /* all zero between two calls of walk */
  guint64 entries[N_ENTRIES];
};

/* What a walk reports, and what is done with each region of it.  @func must not fail: the
 * region may be consumed already. */
typedef void (*RegionFunc) (CsPagemap *pagemap, const struct page_region *region, void *data);

typedef struct
{
  guint64 flags;
  guint64 inverted;
  guint64 mask;
  guint64 any_of;
  guint64 reported;
  RegionFunc func;
  void *data;
} Walk;

typedef struct
{
  CsBitmap *bitmap;
  guint64 start; /* address of page 0 */
} Sink;

CsPagemap *
cs_pagemap_open (pid_t pid, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/pagemap", pid);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    {
      cs_error_set_errno (error, errno, "cannot open '%s'", path);
      return NULL;
    }
  CsPagemap *pagemap = g_new0 (CsPagemap, 1);
  pagemap->pid = pid;
  pagemap->fd = fd;
  return pagemap;
}

void
cs_pagemap_close (CsPagemap *pagemap)
{
  if (pagemap == NULL)
    return;
  close (pagemap->fd);
  g_free (pagemap);
}

static void
enter (Sink *sink, guint64 start, guint64 end)
{
  guint64 size = cs_bitmap_size (sink->bitmap);
  guint64 first = MIN ((start - sink->start) / PAGE, size);
  guint64 last = MIN ((end - sink->start) / PAGE, size);
  cs_bitmap_set_range (sink->bitmap, first, last - first);
}

static void
enter_region (CsPagemap *pagemap, const struct page_region *region, void *data)
{
  enter (data, region->start, region->end);
}

/* Hands over what the kernel has put into the vector and makes it all zero again. */
static void
take_regions (CsPagemap *pagemap, const Walk *walk)
{
  struct page_region *region = pagemap->regions;
  for (; region < pagemap->regions + N_REGIONS && region->end != 0; region++)
    walk->func (pagemap, region, walk->data);
  memset (pagemap->regions, 0, (gsize)((char *)region - (char *)pagemap->regions));
}

bool
cs_pagemap_check_alive (const CsPagemap *pagemap, GError **error)
{
  guint64 entry;
  if (pread (pagemap->fd, &entry, sizeof entry, 0) == sizeof entry)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_GONE, "process %d has ended", pagemap->pid);
  return false;
}

static bool
refuse (const CsPagemap *pagemap, int errnum, GError **error)
{
  if (errnum == EPERM)
    g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                 "process %d has mapped other memory there, which is not write-protected",
                 pagemap->pid);
  else if (errnum == ENOTTY)
    g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
                 "this kernel has no PAGEMAP_SCAN: Linux 6.7 or newer is needed");
  else
    cs_error_set_errno (error, errnum, "PAGEMAP_SCAN of process %d", pagemap->pid);
  return false;
}

static bool
walk_range (CsPagemap *pagemap, CsRange range, const Walk *walk, GError **error)
{
  struct pm_scan_arg argument = { .size = sizeof argument,
                                  .flags = walk->flags,
                                  .start = range.start,
                                  .end = range.start + range.length,
                                  .vec = (guint64)(guintptr)pagemap->regions,
                                  .vec_len = N_REGIONS,
                                  .category_inverted = walk->inverted,
                                  .category_mask = walk->mask,
                                  .category_anyof_mask = walk->any_of,
                                  .return_mask = walk->reported };
  while (argument.start < argument.end)
    {
      int result = ioctl (pagemap->fd, PAGEMAP_SCAN, &argument);
      int errnum = errno;
      take_regions (pagemap, walk);
      if (result < 0 && errnum == EINTR)
        continue;
      if (result < 0)
        return refuse (pagemap, errnum, error);
      argument.start = argument.walk_end;
    }
  return cs_pagemap_check_alive (pagemap, error);
}

bool
cs_pagemap_written (CsPagemap *pagemap, CsRange range, bool protect, CsBitmap *written,
                    GError **error)
{
  Sink sink = { written, range.start };
  const Walk walk = { .flags = PM_SCAN_CHECK_WPASYNC | (protect ? PM_SCAN_WP_MATCHING : 0),
                      .mask = PAGE_IS_WRITTEN,
                      .reported = PAGE_IS_WRITTEN,
                      .func = enter_region,
                      .data = &sink };
  return walk_range (pagemap, range, &walk, error);
}

static void
ignore_region (CsPagemap *pagemap, const struct page_region *region, void *data)
{
}

bool
cs_pagemap_protect (CsPagemap *pagemap, CsRange range, GError **error)
{
  const Walk walk = { .flags = PM_SCAN_CHECK_WPASYNC | PM_SCAN_WP_MATCHING,
                      .mask = PAGE_IS_WRITTEN,
                      .reported = PAGE_IS_WRITTEN,
                      .func = ignore_region };
  return walk_range (pagemap, range, &walk, error);
}

bool
cs_pagemap_is_registered (CsPagemap *pagemap, guint64 address)
{
  struct page_region region = { 0 };
  struct pm_scan_arg argument = { .size = sizeof argument,
                                  .flags = PM_SCAN_CHECK_WPASYNC,
                                  .start = address,
                                  .end = address + PAGE,
                                  .vec = (guint64)(guintptr)&region,
                                  .vec_len = 1,
                                  .category_mask = PAGE_IS_WPALLOWED,
                                  .return_mask = PAGE_IS_WPALLOWED };
  return ioctl (pagemap->fd, PAGEMAP_SCAN, &argument) == 1;
}

/* Reads the entries of pages from @at on, at most to @end; how many, 0: not known. */
static gsize
read_entries (CsPagemap *pagemap, guint64 at, guint64 end)
{
  gsize wanted = MIN ((end - at) / PAGE, (guint64)N_ENTRIES);
  ssize_t got = pread (pagemap->fd, pagemap->entries, wanted * sizeof (guint64),
                       (off_t)(at / PAGE * sizeof (guint64)));
  return got > 0 ? (gsize)got / sizeof (guint64) : 0;
}

/* Enters those pages of a region without present ones that are in swap or have come back since:
 * all but markers and empty entries. */
static void
enter_swapped (CsPagemap *pagemap, const struct page_region *region, Sink *sink)
{
  for (guint64 at = region->start; at < region->end;)
    {
      gsize n = read_entries (pagemap, at, region->end);
      if (n == 0)
        {
          enter (sink, at, region->end); /* not known: rather too many */
          return;
        }
      for (gsize i = 0; i < n; i++, at += PAGE)
        {
          guint64 entry = pagemap->entries[i];
          bool marker = (entry & ENTRY_SWAPPED) && (entry & ENTRY_SWAP_TYPE) == TYPE_MARKER;
          if ((entry & ENTRY_PRESENT) || ((entry & ENTRY_SWAPPED) && !marker))
            enter (sink, at, at + PAGE);
        }
    }
}

static void
enter_resident (CsPagemap *pagemap, const struct page_region *region, void *data)
{
  if (region->categories & PAGE_IS_PRESENT)
    enter (data, region->start, region->end);
  else
    enter_swapped (pagemap, region, data);
}

bool
cs_pagemap_resident (CsPagemap *pagemap, CsRange range, CsBitmap *resident, GError **error)
{
  Sink sink = { resident, range.start };
  const Walk walk = { .inverted = PAGE_IS_PFNZERO,
                      .mask = PAGE_IS_PFNZERO,
                      .any_of = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                      .reported = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                      .func = enter_resident,
                      .data = &sink };
  return walk_range (pagemap, range, &walk, error);
}

bool
cs_pagemap_resident_among (CsPagemap *pagemap, CsRange range, const CsBitmap *candidates,
                           CsBitmap *resident, GError **error)
{
  Sink sink = { resident, range.start };
  guint64 first, count;
  for (guint64 at = 0; cs_bitmap_next_run (candidates, at, &first, &count); at = first + count)
    {
      guint64 start = range.start + first * PAGE;
      const struct page_region region = { .start = start, .end = start + count * PAGE };
      enter_swapped (pagemap, &region, &sink);
    }
  return cs_pagemap_check_alive (pagemap, error);
}

bool
cs_pagemap_with_table (CsPagemap *pagemap, CsRange range, CsBitmap *pages, GError **error)
{
  Sink sink = { pages, range.start };
  const guint64 end = range.start + range.length;
  for (guint64 at = range.start, next; at < end; at = next)
    {
      next = MIN ((at / TABLE + 1) * TABLE, end);
      if (read_entries (pagemap, at, at + PAGE) == 1
          && (pagemap->entries[0] & (ENTRY_PRESENT | ENTRY_SWAPPED)))
        enter (&sink, at, next);
    }
  return cs_pagemap_check_alive (pagemap, error);
}
