#include "config.h"

#include "vmm/shared-ram.h"

#include "common/error.h"
#include "vmm/ramblock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct
{
  guint64 begin, end; /* addresses */
  char *file;         /* "dev inode" */
} Mapping;

/* Sets *@mapping from @line of a maps file when it is a shared writable mapping of a file
 * (memfd, /dev/shm, hugetlbfs, ...); the caller frees its file. */
static bool
parse_mapping (const char *line, Mapping *mapping)
{
  unsigned long long begin, end, inode;
  char permissions[5], device[16];
  if (sscanf (line, "%llx-%llx %4s %*s %15s %llu", &begin, &end, permissions, device, &inode) != 5
      || inode == 0 || permissions[1] != 'w' || permissions[3] != 's')
    return false;
  *mapping = (Mapping){ begin, end, g_strdup_printf ("%s %llu", device, inode) };
  return true;
}

typedef bool (*MappingFunc) (const Mapping *mapping, void *data); /* true: enough */

static bool
foreach_mapping (pid_t pid, MappingFunc func, void *data)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/maps", pid);
  FILE *maps = fopen (path, "re");
  char *line = NULL;
  size_t size = 0;
  bool enough = false;
  while (maps != NULL && !enough && getline (&line, &size, maps) > 0)
    {
      Mapping mapping;
      if (!parse_mapping (line, &mapping))
        continue;
      enough = func (&mapping, data);
      g_free (mapping.file);
    }
  free (line);
  if (maps != NULL)
    fclose (maps);
  return enough;
}

typedef struct
{
  GPtrArray *blocks; /* of CsRamBlock */
  GHashTable *files; /* those that hold some of them */
} RamFiles;

static bool
add_if_ram (const Mapping *mapping, void *data)
{
  RamFiles *ram = data;
  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CsRamBlock *block = g_ptr_array_index (ram->blocks, i);
      if (block->host < mapping->end && mapping->begin < block->host + block->used_length)
        g_hash_table_add (ram->files, g_strdup (mapping->file));
    }
  return false;
}

static bool
is_ram (const Mapping *mapping, void *data)
{
  return g_hash_table_contains (data, mapping->file);
}

static bool
set_refused (GError **error, const char *name, pid_t other)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/comm", other);
  g_autofree char *comm = NULL;
  if (!g_file_get_contents (path, &comm, NULL, NULL))
    comm = g_strdup ("ended meanwhile");
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "%s shares memory with process %d (%s), which can write it unseen: end that "
               "process, or do without the device that it serves",
               name, other, g_strchomp (comm));
  return false;
}

bool
cs_shared_ram_check (CsMonitor *monitor, GError **error)
{
  g_autoptr (GPtrArray) blocks = cs_ram_blocks_query (monitor, error);
  if (blocks == NULL)
    return false;
  pid_t pid = cs_monitor_pid (monitor);
  g_autoptr (GHashTable) files = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  RamFiles ram = { blocks, files };
  foreach_mapping (pid, add_if_ram, &ram);
  if (g_hash_table_size (files) == 0)
    return true;
  g_autoptr (GDir) directory = g_dir_open ("/proc", 0, NULL);
  const char *entry;
  while (directory != NULL && (entry = g_dir_read_name (directory)) != NULL)
    {
      guint64 other;
      if (g_ascii_string_to_unsigned (entry, 10, 1, G_MAXINT, &other, NULL) && (pid_t)other != pid
          && (pid_t)other != getpid () && foreach_mapping ((pid_t)other, is_ram, files))
        return set_refused (error, cs_monitor_name (monitor), (pid_t)other);
    }
  return true;
}
