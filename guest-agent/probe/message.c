#include "config.h"

#include "guest-agent/probe/message.h"

#include <string.h>

#define MAGIC 0x50435343u /* "CSCP" */

_Static_assert(sizeof (struct message) == 56 + 32 + PROBE_NODES_MAX * 16 + 8, "no padding");

static uint64_t
checksum (const struct message *message)
{
  const size_t words = offsetof (struct message, checksum) / sizeof (uint64_t);
  uint64_t sum = MAGIC;
  for (size_t i = 0; i < words; i++)
    {
      uint64_t word;
      memcpy (&word, (const char *)message + i * sizeof word, sizeof word);
      sum = (sum ^ word) * 0x100000001b3u;
      sum ^= sum >> 29;
    }
  return sum;
}

uint64_t
message_chain (uint64_t previous, uint64_t number, uint64_t nonce)
{
  return probe_mix (probe_mix (previous, number), nonce);
}

void
message_seal (struct message *message)
{
  message->magic = MAGIC;
  message->checksum = checksum (message);
}

bool
message_is_whole (const struct message *message)
{
  return message->magic == MAGIC && message->checksum == checksum (message);
}
