#include "config.h"

#include "guest-agent/probe/disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct disk disks[PROBE_DISKS_MAX];
static unsigned disk_count;

static const char *
base_name (const char *path)
{
  const char *slash = strrchr (path, '/');
  return slash ? slash + 1 : path;
}

static bool
is_read_only (const char *path)
{
  int read_only = 0, fd = open (path, O_RDONLY | O_CLOEXEC);
  bool known = fd >= 0 && ioctl (fd, BLKROGET, &read_only) == 0;
  if (fd >= 0)
    close (fd);
  return known && read_only;
}

/* False when there is no such disk to write on. */
static bool
open_disk (const struct probe_options *options, struct disk *disk, const char *path)
{
  if (access (path, F_OK) || is_read_only (path))
    return false;
  snprintf (disk->path, sizeof disk->path, "%s", path);
  disk->buffered_fd = open (path, O_RDWR | O_CLOEXEC);
  disk->direct_fd = open (path, O_RDWR | O_CLOEXEC | O_DIRECT);
  off_t size = disk->buffered_fd < 0 ? -1 : lseek (disk->buffered_fd, 0, SEEK_END);
  if (disk->buffered_fd < 0 || disk->direct_fd < 0 || size < (off_t)DISK_SIZE_MIN)
    {
      probe_violation ("disk '%s' cannot be opened or is smaller than %u MiB", path,
                       DISK_SIZE_MIN >> 20);
      return false;
    }
  posix_fadvise (disk->buffered_fd, 0, 0, POSIX_FADV_RANDOM);
  disk->reads = options->reads;
  disk->iops = options->iops;
  disk->direct_identity = (struct sector_identity){
    .disk = base_name (disk->path),
    .how = "direct",
    .node = options->node,
    .disk_index = disk_count,
  };
  disk->buffered_identity = disk->direct_identity;
  disk->buffered_identity.how = "buffered";
  return true;
}

unsigned
disks_start (const struct probe_options *options)
{
  char paths[sizeof options->disks];
  char *rest = NULL;
  snprintf (paths, sizeof paths, "%s", options->disks);
  for (char *path = strtok_r (paths, ",", &rest); path && disk_count < PROBE_DISKS_MAX;
       path = strtok_r (NULL, ",", &rest))
    {
      struct disk *disk = &disks[disk_count];
      if (!open_disk (options, disk, path))
        continue;
      disk_count++;
      probe_thread (disk_direct_body, disk);
      probe_thread (disk_buffered_body, disk);
    }
  return disk_count;
}

void
disk_get (unsigned index, struct disk_state *state)
{
  const struct disk *disk = &disks[index];
  *state = (struct disk_state){
    .name = disk->direct_identity.disk,
    .direct = disk_value (&disk->direct),
    .buffered = disk_value (&disk->buffered),
    .durable = disk_value (&disk->durable),
    .reads = disk_value (&disk->direct_reads) + disk_value (&disk->buffered_reads),
    .writes = disk_value (&disk->direct_writes) + disk_value (&disk->buffered_writes),
  };
}

struct probe_sweep *
disk_sweep_direct (unsigned index)
{
  return &disks[index].direct_sweep;
}

struct probe_sweep *
disk_sweep_buffered (unsigned index)
{
  return &disks[index].buffered_sweep;
}
