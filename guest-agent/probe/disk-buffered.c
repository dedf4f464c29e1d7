/* The region of a disk that goes through the guest's page cache: written, synced now and then, and
 * read from the disk again (the cache is dropped before).  What the guest's cache holds is part of
 * its memory, what it has synced must be on the disk: after a restore both must still fit. */
#include "config.h"

#include "guest-agent/probe/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITES_PER_SYNC 32
#define SWEEP_BLOCKS 128u

struct buffered
{
  struct disk *disk;
  struct probe_pace pace;
  uint64_t random, issued;
  unsigned unsynced;
  uint64_t numbers[DISK_BUFFERED_BLOCKS]; /* 0: never written */
  uint64_t buffer[DISK_BUFFERED_BLOCK / sizeof (uint64_t)];
  uint64_t sweep[SWEEP_BLOCKS][DISK_BUFFERED_BLOCK / sizeof (uint64_t)];
};

static off_t
offset_of (unsigned block)
{
  return (off_t)DISK_DIRECT_SIZE + (off_t)block * DISK_BUFFERED_BLOCK;
}

static void
sync_disk (struct buffered *buffered)
{
  struct disk *disk = buffered->disk;
  buffered->unsynced = 0;
  if (fdatasync (disk->buffered_fd))
    probe_violation ("disk %s buffered: fdatasync: %s", disk->path, strerror (errno));
  disk_set (&disk->durable, buffered->issued);
}

static void
write_block (struct buffered *buffered, unsigned block)
{
  struct disk *disk = buffered->disk;
  uint64_t number = ++buffered->issued;
  sector_fill (&disk->buffered_identity, buffered->buffer, DISK_BUFFERED_BLOCK,
               (uint64_t)offset_of (block), number);
  ssize_t done =
      pwrite (disk->buffered_fd, buffered->buffer, DISK_BUFFERED_BLOCK, offset_of (block));
  if (done != DISK_BUFFERED_BLOCK)
    probe_violation ("disk %s buffered: write of block %u gave %zd", disk->path, block, done);
  buffered->numbers[block] = number;
  disk_set (&disk->buffered, number);
  disk_set (&disk->buffered_writes, disk->buffered_writes + 1);
  if (++buffered->unsynced >= WRITES_PER_SYNC)
    sync_disk (buffered);
}

/* Dirty pages stay in the cache and are read from there; clean ones come from the disk. */
static void
read_block (struct buffered *buffered, unsigned block)
{
  struct disk *disk = buffered->disk;
  if (buffered->numbers[block] == 0)
    return;
  sector_poison (buffered->buffer, DISK_BUFFERED_BLOCK);
  posix_fadvise (disk->buffered_fd, offset_of (block), DISK_BUFFERED_BLOCK, POSIX_FADV_DONTNEED);
  ssize_t done =
      pread (disk->buffered_fd, buffered->buffer, DISK_BUFFERED_BLOCK, offset_of (block));
  if (done != DISK_BUFFERED_BLOCK)
    probe_violation ("disk %s buffered: read of block %u gave %zd", disk->path, block, done);
  else
    sector_verify (&disk->buffered_identity, buffered->buffer, DISK_BUFFERED_BLOCK,
                   (uint64_t)offset_of (block), buffered->numbers[block]);
  disk_set (&disk->buffered_reads, disk->buffered_reads + 1);
}

/* All of the region from the disk, in large reads: the disk may be a slow one. */
static void
sweep (struct buffered *buffered, uint64_t wanted)
{
  struct disk *disk = buffered->disk;
  sync_disk (buffered);
  posix_fadvise (disk->buffered_fd, offset_of (0), DISK_BUFFERED_SIZE, POSIX_FADV_DONTNEED);
  for (unsigned first = 0; first < DISK_BUFFERED_BLOCKS; first += SWEEP_BLOCKS)
    {
      sector_poison (buffered->sweep, sizeof buffered->sweep);
      if (pread (disk->buffered_fd, buffered->sweep, sizeof buffered->sweep, offset_of (first))
          != sizeof buffered->sweep)
        probe_violation ("disk %s buffered: cannot read from block %u on", disk->path, first);
      for (unsigned i = 0; i < SWEEP_BLOCKS; i++)
        if (buffered->numbers[first + i])
          sector_verify (&disk->buffered_identity, buffered->sweep[i], DISK_BUFFERED_BLOCK,
                         (uint64_t)offset_of (first + i), buffered->numbers[first + i]);
    }
  probe_sweep_set_done (&disk->buffered_sweep, wanted);
}

void *
disk_buffered_body (void *argument)
{
  struct disk *disk = argument;
  struct buffered *buffered = calloc (1, sizeof *buffered);
  if (!buffered)
    exit (EXIT_FAILURE);
  buffered->disk = disk;
  buffered->random = probe_mix (probe_run, 1000 + disk->direct_identity.disk_index);
  for (;;)
    {
      uint64_t wanted = probe_sweep_wanted (&disk->buffered_sweep);
      if (wanted != disk->buffered_sweep.done)
        sweep (buffered, wanted);
      for (unsigned i = probe_pace_take (&buffered->pace, disk->iops, 8); i > 0; i--)
        {
          uint64_t random = probe_random (&buffered->random);
          unsigned block = (unsigned)(random >> 8) % DISK_BUFFERED_BLOCKS;
          if (random & 1)
            write_block (buffered, block);
          else
            read_block (buffered, block);
        }
      probe_sleep_ms (20);
    }
  return NULL;
}
