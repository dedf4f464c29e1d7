/* How many ways there are to place N queens: the nodes take placements of the first two rows from a
 * common counter, and add what they find, each under a lock.
 *
 * The checksum is a sum over all solutions, so the order in which they are found does not matter.
 */
#include "guest-agent/dsm/examples/example.h"

#include <stdio.h>
#include <stdlib.h>

enum
{
  LOCK_NEXT,
  LOCK_SUM,
};

/* In the DSM; the two parts in pages of their own, for they are used apart. */
typedef struct
{
  volatile uint64_t next;
  char pad[CS_DSM_PAGE - sizeof (uint64_t)];
  volatile uint64_t solutions, sum;
} Shared;

typedef struct
{
  unsigned n;
  unsigned char columns[32];
  uint64_t solutions, sum;
} Search;

static void
place (Search *search, unsigned row, uint32_t columns, uint32_t left, uint32_t right)
{
  if (row == search->n)
    {
      search->solutions++;
      search->sum += example_hash (EXAMPLE_HASH, search->columns, search->n);
      return;
    }
  uint32_t all = (UINT32_C (1) << search->n) - 1;
  for (uint32_t free = all & ~(columns | left | right); free != 0; free &= free - 1)
    {
      uint32_t bit = free & -free;
      search->columns[row] = (unsigned char)__builtin_ctz (bit);
      place (search, row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
}

/* Task @task: the queens of the first two rows stand in these columns, if they may. */
static void
search_task (Search *search, unsigned task)
{
  unsigned first = task / search->n, second = task % search->n;
  if (second + 1 >= first && second <= first + 1)
    return;
  uint32_t a = UINT32_C (1) << first, b = UINT32_C (1) << second;
  search->columns[0] = (unsigned char)first;
  search->columns[1] = (unsigned char)second;
  place (search, 2, a | b, ((a << 1) | b) << 1, ((a >> 1) | b) >> 1);
}

static void
work (CsDsm *dsm, Shared *shared, unsigned n, unsigned long rounds)
{
  uint64_t tasks = (uint64_t)n * n * rounds;
  for (;;)
    {
      example_must (cs_dsm_lock (dsm, LOCK_NEXT), "queens");
      uint64_t task = shared->next;
      shared->next = task + 1;
      example_must (cs_dsm_unlock (dsm, LOCK_NEXT), "queens");
      if (task >= tasks)
        return;
      Search search = { .n = n };
      search_task (&search, (unsigned)(task % (n * n)));
      example_must (cs_dsm_lock (dsm, LOCK_SUM), "queens");
      shared->solutions += search.solutions;
      shared->sum += search.sum;
      example_must (cs_dsm_unlock (dsm, LOCK_SUM), "queens");
      if (task % n == 0)
        example_progress ("queens", task, tasks);
    }
}

int
main (int argc, char **argv)
{
  ExampleOption options[] = {
    { "queens", "the board's size", 10, 4, 20 },
    { "rounds", "how often all is done", 1, 1, 1000000 },
  };
  example_options ("queens", argc, argv, options, 2);
  unsigned node, nodes;
  CsDsm *dsm = example_open ("queens", argc, argv, sizeof (Shared), &node, &nodes);
  Shared *shared = cs_dsm_memory (dsm);
  work (dsm, shared, (unsigned)options[0].value, options[1].value);
  example_must (cs_dsm_barrier (dsm, 0), "queens");
  uint64_t solutions = shared->solutions, sum = shared->sum;
  printf ("SOLUTIONS %llu\n", (unsigned long long)solutions);
  example_finish (dsm, example_hash (sum, &solutions, sizeof solutions));
}
