/* What stands in every 512-byte sector that the probe writes. */
#ifndef CS_PROBE_SECTOR_H
#define CS_PROBE_SECTOR_H

#include <stddef.h>
#include <stdint.h>

#define SECTOR_SIZE 512

struct sector_identity
{
  const char *disk; /* for messages */
  const char *how;  /* "direct" or "buffered" */
  uint32_t node, disk_index;
};

/* Fills @length bytes for byte offset @offset of the disk with the content of @number. */
void sector_fill (const struct sector_identity *identity, void *data, size_t length,
                  uint64_t offset, uint64_t number);
/* Makes every sector of a buffer wrong, so that one which a read did not bring is seen. */
void sector_poison (void *data, size_t length);
/* Every sector must be what sector_fill made of @number; else says what is there instead. */
void sector_verify (const struct sector_identity *identity, const void *data, size_t length,
                    uint64_t offset, uint64_t number);

#endif
