#include "config.h"

#include "guest-agent/probe/probe.h"
#include "guest-agent/probe/sector.h"

#define WORDS (SECTOR_SIZE / sizeof (uint64_t))
#define MAGIC 0x43454253424f5250u /* "PROBSBEC" */
#define POISON 0xdeadbeefcafef00du
#define STEP 0x9e3779b97f4a7c15u

/* Words: magic, sector, number, run, node and disk, then a pattern of these. */
enum
{
  WORD_MAGIC,
  WORD_SECTOR,
  WORD_NUMBER,
  WORD_RUN,
  WORD_OWNER,
  WORD_PATTERN,
};

static uint64_t
owner (const struct sector_identity *identity)
{
  return (uint64_t)identity->node << 32 | identity->disk_index;
}

static uint64_t
pattern_seed (const uint64_t *words)
{
  return probe_mix (probe_mix (words[WORD_SECTOR], words[WORD_NUMBER]),
                    probe_mix (words[WORD_RUN], words[WORD_OWNER]));
}

void
sector_fill (const struct sector_identity *identity, void *data, size_t length, uint64_t offset,
             uint64_t number)
{
  uint64_t *words = data;
  for (size_t i = 0; i < length / SECTOR_SIZE; i++, words += WORDS)
    {
      words[WORD_MAGIC] = MAGIC;
      words[WORD_SECTOR] = offset / SECTOR_SIZE + i;
      words[WORD_NUMBER] = number;
      words[WORD_RUN] = probe_run;
      words[WORD_OWNER] = owner (identity);
      uint64_t value = pattern_seed (words);
      for (size_t j = WORD_PATTERN; j < WORDS; j++, value += STEP)
        words[j] = value;
    }
}

void
sector_poison (void *data, size_t length)
{
  uint64_t *words = data;
  for (size_t i = 0; i < length / SECTOR_SIZE; i++, words += WORDS)
    words[WORD_MAGIC] = words[WORD_PATTERN + i % (WORDS - WORD_PATTERN)] = words[WORDS - 1] =
        POISON;
}

static void
complain (const struct sector_identity *identity, const uint64_t *words, uint64_t sector,
          uint64_t number)
{
  typedef unsigned long long ull;
  if (words[WORD_MAGIC] == POISON)
    probe_violation ("disk %s %s: a read brought nothing into sector %llu's place in memory",
                     identity->disk, identity->how, (ull)sector);
  else if (words[WORD_MAGIC] != MAGIC)
    probe_violation ("disk %s %s: sector %llu is not one of the probe's, it should hold %llu",
                     identity->disk, identity->how, (ull)sector, (ull)number);
  else if (words[WORD_RUN] != probe_run || words[WORD_OWNER] != owner (identity)
           || words[WORD_SECTOR] != sector)
    probe_violation ("disk %s %s: sector %llu holds sector %llu of node %llu, run %llx",
                     identity->disk, identity->how, (ull)sector, (ull)words[WORD_SECTOR],
                     (ull)words[WORD_OWNER] >> 32, (ull)words[WORD_RUN]);
  else if (words[WORD_NUMBER] != number)
    probe_violation ("disk %s %s: sector %llu holds number %llu, memory says %llu", identity->disk,
                     identity->how, (ull)sector, (ull)words[WORD_NUMBER], (ull)number);
  else
    probe_violation ("disk %s %s: sector %llu with number %llu is damaged", identity->disk,
                     identity->how, (ull)sector, (ull)number);
}

void
sector_verify (const struct sector_identity *identity, const void *data, size_t length,
               uint64_t offset, uint64_t number)
{
  const uint64_t *words = data;
  for (size_t i = 0; i < length / SECTOR_SIZE; i++, words += WORDS)
    {
      uint64_t sector = offset / SECTOR_SIZE + i;
      bool right = words[WORD_MAGIC] == MAGIC && words[WORD_SECTOR] == sector
                   && words[WORD_NUMBER] == number && words[WORD_RUN] == probe_run
                   && words[WORD_OWNER] == owner (identity);
      uint64_t value = pattern_seed (words);
      for (size_t j = WORD_PATTERN; right && j < WORDS; j++, value += STEP)
        right = words[j] == value;
      if (right)
        continue;
      /* The first wrong sector of a block tells enough. */
      complain (identity, words, sector, number);
      return;
    }
}
