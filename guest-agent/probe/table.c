/* A table in memory whose pages are changed all the time and prove each other.
 *
 * Every page holds its own number, how often it was changed, and a checksum; a second array knows
 * how often each page was changed.  A page that a snapshot brought back older or newer than
 * the rest of memory does not fit.  One thread only. */
#include "config.h"

#include "guest-agent/probe/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_SIZE 4096u
#define WORDS (PAGE_SIZE / sizeof (uint64_t))
#define STEP_MS 20
/* A sweep that nobody asked for takes about this long. */
#define ROUND_MS 10000u

/* Words of a page; the rest is content, changed in some places each time. */
enum
{
  WORD_INDEX,
  WORD_CHANGES,
  WORD_SUM, /* of all words but this one */
  WORD_CONTENT,
};
#define CHANGED_WORDS 8

static uint64_t *table;
static uint32_t *changes;
static uint64_t pages, random_state;
static unsigned rate; /* MB/s */
/* Atomic, for the others. */
static uint64_t updates, total;
static struct probe_sweep sweep;

static uint64_t *
page_at (uint64_t index)
{
  return table + index * WORDS;
}

static uint64_t
page_sum (const uint64_t *page)
{
  uint64_t sum = page[WORD_INDEX] + page[WORD_CHANGES] * 3;
  for (size_t i = WORD_CONTENT; i < WORDS; i++)
    sum += page[i];
  return sum;
}

static void
verify_page (uint64_t index)
{
  typedef unsigned long long ull;
  const uint64_t *page = page_at (index);
  if (page[WORD_INDEX] != index)
    probe_violation ("memory: page %llu of the table says it is page %llu", (ull)index,
                     (ull)page[WORD_INDEX]);
  else if (page[WORD_CHANGES] != changes[index])
    probe_violation ("memory: page %llu of the table was changed %llu times, but %u are known",
                     (ull)index, (ull)page[WORD_CHANGES], changes[index]);
  else if (page[WORD_SUM] != page_sum (page))
    probe_violation ("memory: page %llu of the table has a wrong sum", (ull)index);
}

/* The sum follows the changed words, so that a page that is wrong stays wrong. */
static void
change_page (uint64_t index)
{
  uint64_t *page = page_at (index);
  for (unsigned i = 0; i < CHANGED_WORDS; i++)
    {
      uint64_t value = probe_mix (random_state, index + i);
      size_t place = WORD_CONTENT + (value >> 20) % (WORDS - WORD_CONTENT);
      page[WORD_SUM] += value - page[place];
      page[place] = value;
    }
  page[WORD_CHANGES]++;
  page[WORD_SUM] += 3;
  changes[index]++;
  __atomic_store_n (&updates, updates + 1, __ATOMIC_SEQ_CST);
  __atomic_store_n (&total, probe_mix (total, index), __ATOMIC_SEQ_CST);
}

static void
fill_table (void)
{
  for (uint64_t index = 0; index < pages; index++)
    {
      uint64_t *page = page_at (index);
      page[WORD_INDEX] = index;
      /* Half of a page can be compressed. */
      for (size_t i = WORD_CONTENT; i < WORDS / 2; i++)
        page[i] = probe_mix (probe_run + index, i);
      page[WORD_SUM] = page_sum (page);
    }
}

static uint64_t
verify_all (void)
{
  uint64_t sum = 0;
  for (uint64_t index = 0; index < pages; index++)
    {
      verify_page (index);
      sum += changes[index];
    }
  if (sum != updates)
    probe_violation ("memory: %llu changes of the table are known, but %llu were made",
                     (unsigned long long)sum, (unsigned long long)updates);
  return sum;
}

static void *
table_body (void *unused)
{
  struct probe_pace change_pace = { 0 }, verify_pace = { 0 };
  uint64_t next = 0;
  fill_table ();
  for (;;)
    {
      uint64_t wanted = probe_sweep_wanted (&sweep);
      if (wanted != sweep.done)
        {
          verify_all ();
          probe_sweep_set_done (&sweep, wanted);
        }
      for (unsigned i = probe_pace_take (&change_pace, rate * 1e6 / PAGE_SIZE, rate * 25); i > 0;
           i--)
        {
          uint64_t index = probe_random (&random_state) % pages;
          verify_page (index);
          change_page (index);
        }
      for (unsigned i = probe_pace_take (&verify_pace, (double)pages * 1000 / ROUND_MS, 64); i > 0;
           i--, next = (next + 1) % pages)
        verify_page (next);
      probe_sleep_ms (STEP_MS);
    }
  return NULL;
}

void
table_start (const struct probe_options *options)
{
  size_t size = (size_t)options->table << 20;
  pages = size / PAGE_SIZE;
  rate = options->dirty;
  random_state = probe_run;
  table = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  changes = calloc (pages, sizeof *changes);
  if (table == MAP_FAILED || !changes)
    {
      fprintf (stderr, "cut-probe: no memory for a table of %u MiB\n", options->table);
      exit (EXIT_FAILURE);
    }
  probe_thread (table_body, NULL);
}

void
table_get (struct table_state *state)
{
  *state = (struct table_state){
    .pages = pages,
    .updates = __atomic_load_n (&updates, __ATOMIC_SEQ_CST),
    .sum = __atomic_load_n (&total, __ATOMIC_SEQ_CST),
  };
}

struct probe_sweep *
table_sweep (void)
{
  return &sweep;
}
