/* Heat in a square plate whose upper edge is hot: Jacobi's iteration, the rows divided among the
 * nodes.
 *
 * Every cell is the mean of its four neighbours' values of the iteration before; so it does not
 * matter who computes it, and the checksum is the same, to the bit, for any number of nodes. */
#include "guest-agent/dsm/examples/example.h"

#include <stdlib.h>

typedef struct
{
  volatile double *cells;
  unsigned long n;
} Plate;

/* Both copies of a row lie together, so that a node's rows are in few pages, and at home with it.
 */
static volatile double *
row (const Plate *plate, unsigned long i, unsigned long iteration)
{
  return plate->cells + (2 * i + iteration % 2) * plate->n;
}

static void
iterate (const Plate *plate, unsigned long from, unsigned long to, unsigned long iteration)
{
  for (unsigned long i = from; i < to; i++)
    {
      volatile double *new = row (plate, i, iteration + 1);
      volatile double *old = row (plate, i, iteration);
      if (i == 0 || i == plate->n - 1)
        continue;
      volatile double *above = row (plate, i - 1, iteration),
                      *below = row (plate, i + 1, iteration);
      for (unsigned long j = 1; j < plate->n - 1; j++)
        new[j] = (above[j] + below[j] + old[j - 1] + old[j + 1]) / 4;
    }
}

static uint64_t
checksum (const Plate *plate, unsigned long iteration)
{
  uint64_t hash = EXAMPLE_HASH;
  for (unsigned long i = 0; i < plate->n; i++)
    hash = example_hash (hash, (const void *)row (plate, i, iteration), plate->n * sizeof (double));
  return hash;
}

/* Each node's own rows are cold. */
static void
begin_anew (const Plate *plate, unsigned long from, unsigned long to)
{
  for (unsigned long i = 2 * from * plate->n; i < 2 * to * plate->n; i++)
    plate->cells[i] = 0;
}

static void
solve (const Plate *plate, CsDsm *dsm, unsigned node, unsigned nodes, const ExampleOption *options)
{
  unsigned long from = plate->n * node / nodes, to = plate->n * (node + 1) / nodes;
  begin_anew (plate, from, to);
  if (node == 0)
    for (unsigned long j = 0; j < plate->n; j++)
      row (plate, 0, 0)[j] = row (plate, 0, 1)[j] = 100;
  example_must (cs_dsm_barrier (dsm, 0), "jacobi");
  for (unsigned long i = 0; i < options[1].value; i++)
    {
      iterate (plate, from, to, i);
      example_must (cs_dsm_barrier (dsm, 0), "jacobi");
      if ((i + 1) % options[2].value == 0)
        example_progress ("jacobi", i + 1, options[1].value);
    }
}

int
main (int argc, char **argv)
{
  ExampleOption options[] = {
    { "grid", "cells in a row, and rows", 256, 4, 8192 },
    { "iterations", "how many", 200, 1, 1000000000 },
    { "progress", "iterations between two lines", 50, 1, 1000000000 },
    { "runs", "how often all is done, with a checksum each time", 1, 1, 1000000000 },
  };
  example_options ("jacobi", argc, argv, options, 4);
  Plate plate = { .n = options[0].value };
  unsigned node, nodes;
  CsDsm *dsm =
      example_open ("jacobi", argc, argv, 2 * plate.n * plate.n * sizeof (double), &node, &nodes);
  plate.cells = cs_dsm_memory (dsm);
  for (unsigned long run = 1; run < options[3].value; run++)
    {
      solve (&plate, dsm, node, nodes, options);
      example_checksum (checksum (&plate, options[1].value));
      /* Nobody begins anew while another still reads. */
      example_must (cs_dsm_barrier (dsm, 0), "jacobi");
    }
  solve (&plate, dsm, node, nodes, options);
  example_finish (dsm, checksum (&plate, options[1].value));
}
