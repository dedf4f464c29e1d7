/* The O_DIRECT region of a disk: several reads in flight all the time, and one write.
 *
 * Linux native AIO through its system calls (libc has no wrapper; libaio would be one more library
 * in the guest).  A block with a write in flight is not read and the other way round, so every read
 * must bring exactly the number that memory knows.  A read puts its data into guest memory by DMA:
 * that is what a snapshot loses when it tracks page faults of a running guest. */
#include "config.h"

#include "guest-agent/probe/disk.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPERATIONS_MAX 33
#define WRITES_PART 4 /* writes for so many reads: one */

struct operation
{
  struct iocb iocb;
  bool busy, writes, swept;
  unsigned block;
  uint64_t number;
  void *buffer;
};

struct direct
{
  struct disk *disk;
  aio_context_t context;
  struct probe_pace read_pace, write_pace;
  uint64_t random, issued;
  uint64_t numbers[DISK_DIRECT_BLOCKS]; /* 0: never written */
  unsigned readers[DISK_DIRECT_BLOCKS];
  int writing;                                 /* block, or -1 */
  struct operation operations[OPERATIONS_MAX]; /* the first one writes */
  unsigned busy;
  /* The sweep under way: its number (0: none), the next block, and the reads in flight. */
  uint64_t sweep;
  unsigned sweep_next, sweep_busy;
};

static void
submit (struct direct *direct, struct operation *operation)
{
  struct disk *disk = direct->disk;
  struct iocb *list = &operation->iocb;
  operation->iocb = (struct iocb){
    .aio_data = (uintptr_t)operation,
    .aio_lio_opcode = operation->writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
    .aio_fildes = (uint32_t)disk->direct_fd,
    .aio_buf = (uintptr_t)operation->buffer,
    .aio_nbytes = DISK_DIRECT_BLOCK,
    .aio_offset = (int64_t)operation->block * DISK_DIRECT_BLOCK,
  };
  if (syscall (SYS_io_submit, direct->context, 1L, &list) != 1)
    {
      probe_violation ("disk %s: cannot submit: %s", disk->path, strerror (errno));
      probe_sleep_ms (100);
      return;
    }
  operation->busy = true;
  direct->busy++;
  if (operation->writes)
    direct->writing = (int)operation->block;
  else
    direct->readers[operation->block]++;
  if (operation->swept)
    direct->sweep_busy++;
}

static void
start_write (struct direct *direct, struct operation *operation)
{
  unsigned block = (unsigned)(probe_random (&direct->random) % DISK_DIRECT_BLOCKS);
  if (direct->readers[block] || direct->sweep)
    return;
  operation->writes = true;
  operation->block = block;
  operation->number = ++direct->issued;
  sector_fill (&direct->disk->direct_identity, operation->buffer, DISK_DIRECT_BLOCK,
               (uint64_t)block * DISK_DIRECT_BLOCK, operation->number);
  submit (direct, operation);
}

static void
start_read (struct direct *direct, struct operation *operation)
{
  unsigned block = (unsigned)(probe_random (&direct->random) % DISK_DIRECT_BLOCKS);
  operation->swept = direct->sweep && direct->sweep_next < DISK_DIRECT_BLOCKS;
  if (operation->swept)
    block = direct->sweep_next++;
  if (direct->numbers[block] == 0 || (int)block == direct->writing)
    return;
  operation->block = block;
  operation->number = direct->numbers[block];
  sector_poison (operation->buffer, DISK_DIRECT_BLOCK);
  submit (direct, operation);
}

static void
finish (struct direct *direct, struct operation *operation, int64_t result)
{
  struct disk *disk = direct->disk;
  operation->busy = false;
  direct->busy--;
  if (operation->swept)
    direct->sweep_busy--;
  if (result != DISK_DIRECT_BLOCK)
    probe_violation ("disk %s direct: %s of block %u gave %lld", disk->path,
                     operation->writes ? "write" : "read", operation->block, (long long)result);
  if (operation->writes)
    {
      direct->writing = -1;
      direct->numbers[operation->block] = operation->number;
      disk_set (&disk->direct, operation->number);
      disk_set (&disk->direct_writes, disk->direct_writes + 1);
      return;
    }
  direct->readers[operation->block]--;
  disk_set (&disk->direct_reads, disk->direct_reads + 1);
  if (result == DISK_DIRECT_BLOCK)
    sector_verify (&disk->direct_identity, operation->buffer, DISK_DIRECT_BLOCK,
                   (uint64_t)operation->block * DISK_DIRECT_BLOCK, operation->number);
}

static void
reap (struct direct *direct)
{
  struct io_event events[OPERATIONS_MAX];
  struct timespec timeout = { .tv_sec = 1 };
  long count =
      syscall (SYS_io_getevents, direct->context, 1L, (long)OPERATIONS_MAX, events, &timeout);
  for (long i = 0; i < count; i++)
    finish (direct, (struct operation *)(uintptr_t)events[i].data, events[i].res);
}

/* A sweep begins when no write is in flight and ends when all its reads have come back. */
static void
advance_sweep (struct direct *direct)
{
  struct probe_sweep *sweep = &direct->disk->direct_sweep;
  uint64_t wanted = probe_sweep_wanted (sweep);
  if (direct->sweep == 0 && wanted != sweep->done && direct->writing < 0)
    {
      direct->sweep = wanted;
      direct->sweep_next = 0;
    }
  if (direct->sweep && direct->sweep_next == DISK_DIRECT_BLOCKS && direct->sweep_busy == 0)
    {
      probe_sweep_set_done (sweep, direct->sweep);
      direct->sweep = 0;
    }
}

static void
init (struct direct *direct, struct disk *disk)
{
  direct->disk = disk;
  direct->random = probe_mix (probe_run, disk->direct_identity.disk_index);
  direct->writing = -1;
  if (syscall (SYS_io_setup, OPERATIONS_MAX, &direct->context))
    {
      perror ("cut-probe: io_setup");
      exit (EXIT_FAILURE);
    }
  for (unsigned i = 0; i <= disk->reads; i++)
    if (posix_memalign (&direct->operations[i].buffer, 4096, DISK_DIRECT_BLOCK))
      {
        fprintf (stderr, "cut-probe: no memory\n");
        exit (EXIT_FAILURE);
      }
}

void *
disk_direct_body (void *argument)
{
  struct disk *disk = argument;
  struct direct *direct = calloc (1, sizeof *direct);
  if (!direct)
    exit (EXIT_FAILURE);
  init (direct, disk);
  for (;;)
    {
      unsigned allowed = probe_pace_take (&direct->read_pace, disk->iops, disk->reads);
      bool write = probe_pace_take (&direct->write_pace, disk->iops / WRITES_PART, 1) > 0;
      advance_sweep (direct);
      if (write && !direct->operations[0].busy)
        start_write (direct, &direct->operations[0]);
      /* A sweep is waited for: it goes at full speed. */
      if (direct->sweep)
        allowed = disk->reads;
      for (unsigned i = 1; i <= disk->reads && allowed > 0; i++)
        {
          struct operation *operation = &direct->operations[i];
          if (operation->busy)
            continue;
          allowed--;
          start_read (direct, operation);
        }
      if (direct->busy)
        reap (direct);
      else
        probe_sleep_ms (10);
    }
  return NULL;
}
