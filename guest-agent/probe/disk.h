/* One disk of the probe: a region written with O_DIRECT and one written through the page cache.
 *
 *   0        DISK_DIRECT_SIZE          DISK_DIRECT_SIZE + DISK_BUFFERED_SIZE
 *   | direct, 64 KiB blocks | buffered, 4 KiB blocks |
 *
 * Each region belongs to one thread, which alone knows the number of each of its blocks. */
#ifndef CS_PROBE_DISK_H
#define CS_PROBE_DISK_H

#include "guest-agent/probe/probe.h"
#include "guest-agent/probe/sector.h"

#define DISK_DIRECT_SIZE (8u << 20)
#define DISK_DIRECT_BLOCK (64u << 10)
#define DISK_DIRECT_BLOCKS (DISK_DIRECT_SIZE / DISK_DIRECT_BLOCK)
#define DISK_BUFFERED_SIZE (8u << 20)
#define DISK_BUFFERED_BLOCK 4096u
#define DISK_BUFFERED_BLOCKS (DISK_BUFFERED_SIZE / DISK_BUFFERED_BLOCK)
#define DISK_SIZE_MIN (DISK_DIRECT_SIZE + DISK_BUFFERED_SIZE)

struct disk
{
  /* immutable */
  char path[64];
  struct sector_identity direct_identity, buffered_identity;
  int direct_fd, buffered_fd;
  unsigned reads; /* in flight */
  double iops;
  /* atomic; written by one thread each */
  uint64_t direct, buffered, durable, direct_reads, buffered_reads, direct_writes, buffered_writes;
  struct probe_sweep direct_sweep, buffered_sweep;
};

void *disk_direct_body (void *disk);
void *disk_buffered_body (void *disk);

/* Figures that other threads read. */
static inline void
disk_set (uint64_t *figure, uint64_t value)
{
  __atomic_store_n (figure, value, __ATOMIC_SEQ_CST);
}
static inline uint64_t
disk_value (const uint64_t *figure)
{
  return __atomic_load_n (figure, __ATOMIC_SEQ_CST);
}

#endif
