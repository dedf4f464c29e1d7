#include "config.h"

#include "vmm/lazy-mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "common/error.h"
#include "common/fd.h"
#include "vmm/linux-uapi.h"

#define PAGE 4096
#define TMPFS_MAGIC_NUMBER 0x01021994

/* One line of /proc/PID/maps. */
typedef struct
{
  guint64 start, end, offset;
  char permissions[5];
  bool has_file;
} Mapping;

/* False, leaving *@mapping alone, for a line of another kind (smaps). */
static bool
parse_mapping (const char *line, Mapping *mapping)
{
  Mapping parsed;
  unsigned int major_number, minor_number;
  unsigned long inode;
  if (sscanf (line, "%lx-%lx %4s %lx %x:%x %lu", &parsed.start, &parsed.end, parsed.permissions,
              &parsed.offset, &major_number, &minor_number, &inode)
      != 7)
    return false;
  parsed.has_file = inode != 0;
  *mapping = parsed;
  return true;
}

/* The lines of /proc/PID/@file. */
static char **
read_lines (pid_t pid, const char *file, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", (int)pid, file);
  g_autofree char *text = NULL;
  g_autoptr (GError) problem = NULL;
  if (!g_file_get_contents (path, &text, NULL, &problem))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_GONE, "process %d is gone: %s", (int)pid,
                   problem->message);
      return NULL;
    }
  return g_strsplit (text, "\n", -1);
}

struct CsMappings
{
  pid_t pid;
  GArray *list; /* of Mapping, ascending */
};

CsMappings *
cs_mappings_read (pid_t pid, GError **error)
{
  g_auto (GStrv) lines = read_lines (pid, "maps", error);
  if (lines == NULL)
    return NULL;
  CsMappings *mappings = g_new0 (CsMappings, 1);
  mappings->pid = pid;
  mappings->list = g_array_new (FALSE, FALSE, sizeof (Mapping));
  for (char **line = lines; *line != NULL; line++)
    {
      Mapping mapping;
      if (parse_mapping (*line, &mapping))
        g_array_append_val (mappings->list, mapping);
    }
  return mappings;
}

void
cs_mappings_free (CsMappings *mappings)
{
  if (mappings == NULL)
    return;
  g_array_unref (mappings->list);
  g_free (mappings);
}

/* Calls @func for the mappings that lie, also partly, in the range; sets *@whole to whether they
 * leave no hole. */
typedef bool (*MappingFunc) (const Mapping *mapping, void *user_data, GError **error);

static bool
foreach_mapping (const CsMappings *mappings, guint64 start, guint64 length, bool *whole,
                 MappingFunc func, void *user_data, GError **error)
{
  guint64 covered = start;
  for (guint i = 0; i < mappings->list->len; i++)
    {
      const Mapping *mapping = &g_array_index (mappings->list, Mapping, i);
      if (mapping->end <= start || mapping->start >= start + length)
        continue;
      if (mapping->start <= covered)
        covered = mapping->end;
      if (!func (mapping, user_data, error))
        return false;
    }
  *whole = covered >= start + length;
  return true;
}

static char *
map_file_path (pid_t pid, const Mapping *mapping)
{
  return g_strdup_printf ("/proc/%d/map_files/%lx-%lx", (int)pid, mapping->start, mapping->end);
}

typedef struct
{
  pid_t pid;
  guint64 start, end;
  guint anonymous, shared_memory, other;
} Survey;

static bool
survey_mapping (const Mapping *mapping, void *user_data, GError **error)
{
  Survey *survey = user_data;
  struct statfs fs;
  g_autofree char *path = map_file_path (survey->pid, mapping);
  if (!mapping->has_file && mapping->permissions[3] == 'p')
    survey->anonymous++;
  else if (mapping->permissions[3] == 's' && statfs (path, &fs) == 0
           && fs.f_type == TMPFS_MAGIC_NUMBER)
    survey->shared_memory++;
  else
    survey->other++;
  return true;
}

CsMappingKind
cs_mappings_kind (const CsMappings *mappings, guint64 start, guint64 length)
{
  Survey survey = { .pid = mappings->pid };
  bool whole = false;
  foreach_mapping (mappings, start, length, &whole, survey_mapping, &survey, NULL);
  if (whole && survey.other == 0 && survey.shared_memory == 0)
    return CS_MAPPING_ANONYMOUS;
  if (whole && survey.other == 0 && survey.anonymous == 0)
    return CS_MAPPING_SHARED_MEMORY;
  return CS_MAPPING_OTHER;
}

bool
cs_mapping_kind (pid_t pid, guint64 start, guint64 length, CsMappingKind *kind, GError **error)
{
  g_autoptr (CsMappings) mappings = cs_mappings_read (pid, error);
  if (mappings != NULL)
    *kind = cs_mappings_kind (mappings, start, length);
  return mappings != NULL;
}

static bool
punch_mapping (const Mapping *mapping, void *user_data, GError **error)
{
  const Survey *survey = user_data;
  guint64 from = MAX (mapping->start, survey->start);
  guint64 to = MIN (mapping->end, survey->end);
  g_autofree char *path = map_file_path (survey->pid, mapping);
  cs_autofd int fd = open (path, O_RDWR | O_CLOEXEC);
  if (fd < 0
      || fallocate (fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    (off_t)(mapping->offset + from - mapping->start), (off_t)(to - from))
             != 0)
    return cs_error_set_errno (error, errno, "cannot empty shared memory of process %d",
                               (int)survey->pid);
  return true;
}

bool
cs_mapping_punch (pid_t pid, guint64 start, guint64 length, GError **error)
{
  Survey survey = { .pid = pid, .start = start, .end = start + length };
  bool whole;
  g_autoptr (CsMappings) mappings = cs_mappings_read (pid, error);
  return mappings != NULL
         && foreach_mapping (mappings, start, length, &whole, punch_mapping, &survey, error);
}

bool
cs_mapping_missing_mode (pid_t pid, guint64 start, guint64 length, guint64 *missing, GError **error)
{
  g_auto (GStrv) lines = read_lines (pid, "smaps", error);
  if (lines == NULL)
    return false;
  Mapping mapping = { 0 };
  *missing = 0;
  for (char **line = lines; *line != NULL; line++)
    {
      guint64 from = MAX (mapping.start, start), to = MIN (mapping.end, start + length);
      if (!g_str_has_prefix (*line, "VmFlags:"))
        parse_mapping (*line, &mapping);
      else if (from < to && strstr (*line, " um") != NULL)
        *missing += to - from;
    }
  return true;
}

bool
cs_mapping_present (pid_t pid, guint64 start, guint64 length, bool swapped, CsBitmap *pages,
                    GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/pagemap", (int)pid);
  cs_autofd int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return cs_error_set_errno (error, errno, "cannot open '%s'", path);

  struct page_region regions[256];
  struct pm_scan_arg args = {
    .size = sizeof args,
    .start = start,
    .end = start + length,
    .vec = (guint64)(guintptr)regions,
    .vec_len = G_N_ELEMENTS (regions),
    .category_anyof_mask = PAGE_IS_PRESENT | (swapped ? PAGE_IS_SWAPPED : 0),
    .return_mask = PAGE_IS_PRESENT,
  };
  while (args.start < args.end)
    {
      int n = ioctl (fd, PAGEMAP_SCAN, &args);
      if (n < 0)
        return cs_error_set_errno (error, errno, "cannot scan the pages of process %d", (int)pid);
      for (int i = 0; i < n; i++)
        cs_bitmap_set_range (pages, (regions[i].start - start) / PAGE,
                             (regions[i].end - regions[i].start) / PAGE);
      args.start = args.walk_end;
    }
  return true;
}

bool
cs_mapping_write (pid_t pid, guint64 start, const void *data, gsize length, GError **error)
{
  gsize done = 0;
  while (done < length)
    {
      struct iovec from = { .iov_base = (char *)data + done, .iov_len = length - done };
      struct iovec to = { .iov_base = (char *)(guintptr)(start + done), .iov_len = length - done };
      gssize n = process_vm_writev (pid, &from, 1, &to, 1, 0);
      if (n < 0 && errno != EINTR)
        return cs_error_set_errno (error, errno, "cannot write the memory of process %d", (int)pid);
      done += n > 0 ? (gsize)n : 0;
    }
  return true;
}
