/* Theory of operation
 *
 * Which pages of a block have content?  Reading the others would give zeros, but populate them: an
 * idle guest of 64 GiB would grow to 64 GiB.
 *
 * Anonymous memory: what the page tables map, or hold in swap (pagemap.c).
 *
 * A mapping of a file (memfd, /dev/shm, a file of a memory backend): a page of the file may have
 * content without being mapped here, because it was swapped out (which unmaps it), written
 * through another mapping, or was in the file from the start.  So what the file
 * itself holds counts too: SEEK_DATA, through /proc/PID/map_files.  hugetlbfs knows no
 * SEEK_DATA and never swaps: there the page tables decide, and pages that only another
 * process touched are not seen; a VM with such a process is refused elsewhere.
 *
 * Where a file cannot be asked, all of its pages count: too many, never too few. */
#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/tracker-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

/* One line of /proc/PID/maps. */
typedef struct
{
  guint64 start;
  guint64 end;
  guint64 offset; /* in the file */
  guint64 inode;  /* 0: anonymous */
} Mapping;

typedef struct
{
  pid_t pid;
  CsRange range;
  CsBitmap *resident;
} Question;

static void
enter (const Question *question, guint64 start, guint64 end)
{
  guint64 size = cs_bitmap_size (question->resident);
  guint64 first = MIN ((start - question->range.start) / CS_PAGE_SIZE_HOST, size);
  guint64 last =
      MIN ((end - question->range.start + CS_PAGE_SIZE_HOST - 1) / CS_PAGE_SIZE_HOST, size);
  cs_bitmap_set_range (question->resident, first, last - first);
}

/* Enters what the file at @fd holds of [@start, @end), addresses inside @mapping. */
static bool
enter_data (const Question *question, const Mapping *mapping, int fd, guint64 start, guint64 end)
{
  off_t at = (off_t)(start - mapping->start + mapping->offset);
  const off_t limit = (off_t)(end - mapping->start + mapping->offset);
  while (at < limit)
    {
      off_t data = lseek (fd, at, SEEK_DATA);
      if (data < 0)
        return errno == ENXIO; /* no more data */
      off_t hole = lseek (fd, data, SEEK_HOLE);
      if (hole < 0)
        return false;
      if (data >= limit)
        break;
      enter (question, (guint64)data - mapping->offset + mapping->start,
             (guint64)MIN (hole, limit) - mapping->offset + mapping->start);
      at = hole;
    }
  return true;
}

static void
enter_mapping (const Question *question, const Mapping *mapping)
{
  guint64 start = MAX (mapping->start, question->range.start);
  guint64 end = MIN (mapping->end, question->range.start + question->range.length);
  struct statfs status;
  char path[96];

  if (mapping->inode == 0)
    return;
  g_snprintf (path, sizeof path,
              "/proc/%d/map_files/%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x", question->pid,
              mapping->start, mapping->end);
  cs_autofd int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && fstatfs (fd, &status) == 0)
    {
      if (status.f_type == HUGETLBFS_MAGIC)
        return;
      if (enter_data (question, mapping, fd, start, end))
        return;
    }
  enter (question, start, end);
}

static bool
enter_files (const Question *question, GError **error)
{
  const guint64 end = question->range.start + question->range.length;
  g_autofree char *path = g_strdup_printf ("/proc/%d/maps", question->pid);
  g_autofree char *line = NULL;
  Mapping mapping;
  size_t size = 0;

  FILE *stream = fopen (path, "re");
  if (stream == NULL)
    return cs_error_set_errno (error, errno, "cannot open '%s'", path);
  while (getline (&line, &size, stream) > 0)
    {
      if (sscanf (line,
                  "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x %*s %" G_GINT64_MODIFIER
                  "x %*s %" G_GINT64_MODIFIER "u",
                  &mapping.start, &mapping.end, &mapping.offset, &mapping.inode)
          != 4)
        continue;
      if (mapping.start >= end)
        break;
      if (mapping.end > question->range.start)
        enter_mapping (question, &mapping);
    }
  fclose (stream);
  return true;
}

bool
cs_tracker_resident (CsTracker *tracker, guint i, CsBitmap *resident, GError **error)
{
  const CsRamBlock *block = &cs_tracker_get (tracker, i)->block;
  const Question question = { tracker->pid, cs_tracked_range (block), resident };

  g_assert (cs_bitmap_size (resident) == cs_tracked_pages (block));
  /* The files last: a page swapped out between the two looks is then seen by the second. */
  if (cs_pagemap_resident (tracker->pagemap, question.range, resident, error)
      && enter_files (&question, error))
    return true;
  return cs_tracker_prefix (tracker, block, error);
}

bool
cs_tracker_mapped (CsTracker *tracker, guint i, CsBitmap *mapped, GError **error)
{
  const CsRamBlock *block = &cs_tracker_get (tracker, i)->block;
  g_assert (cs_bitmap_size (mapped) == cs_tracked_pages (block));
  return cs_pagemap_resident (tracker->pagemap, cs_tracked_range (block), mapped, error)
         || cs_tracker_prefix (tracker, block, error);
}

bool
cs_tracker_mapped_among (CsTracker *tracker, guint i, const CsBitmap *candidates, CsBitmap *mapped,
                         GError **error)
{
  const CsRamBlock *block = &cs_tracker_get (tracker, i)->block;
  g_assert (cs_bitmap_size (mapped) == cs_tracked_pages (block));
  return cs_pagemap_resident_among (tracker->pagemap, cs_tracked_range (block), candidates, mapped,
                                    error)
         || cs_tracker_prefix (tracker, block, error);
}

bool
cs_tracker_with_table (CsTracker *tracker, guint i, CsBitmap *pages, GError **error)
{
  const CsRamBlock *block = &cs_tracker_get (tracker, i)->block;
  g_assert (cs_bitmap_size (pages) == cs_tracked_pages (block));
  return cs_pagemap_with_table (tracker->pagemap, cs_tracked_range (block), pages, error)
         || cs_tracker_prefix (tracker, block, error);
}
