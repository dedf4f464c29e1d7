/* Is the memory of a DSM sequentially consistent?  Litmus tests, and random load against the
 * checker. */
#include "config.h"

#include "tests/dsm/load.h"
#include "tests/unit/unit.h"

#define ROUNDS 150
#define OPERATIONS 400
#define STRESS 9

/* ---- the checker itself ---- */

static void
expect (const Operation *operations, guint processes, guint n, bool good)
{
  g_autofree char *wrong = checker_check (operations, processes, n, 4);
  ck_assert_msg ((wrong == NULL) == good, "%s", wrong != NULL ? wrong : "nothing was found");
}

START_TEST (checker_judges)
{
  const Operation store_buffering[] = {
    { TRUE, 0, 1, 0 }, { FALSE, 1, 0, 0 }, { TRUE, 1, 1, 0 }, { FALSE, 0, 0, 0 }
  };
  expect (store_buffering, 2, 2, false);
  const Operation fine[] = {
    { TRUE, 0, 1, 0 }, { FALSE, 1, 0, 0 }, { TRUE, 1, 1, 0 }, { FALSE, 0, 1, 0 }
  };
  expect (fine, 2, 2, true);
  const Operation lost[] = { { TRUE, 0, 1, 0 }, { TRUE, 0, 2, 0 } };
  expect (lost, 2, 1, false);
  const Operation message[] = {
    { TRUE, 0, 1, 0 }, { TRUE, 1, 1, 0 }, { FALSE, 1, 1, 0 }, { FALSE, 0, 0, 0 }
  };
  expect (message, 2, 2, false);
  const Operation never[] = { { FALSE, 0, 7, 0 } };
  expect (never, 1, 1, false);
}
END_TEST

/* ---- litmus: two words in pages with different homes; in round r they are set to r ---- */

typedef struct
{
  guint64 read[4][ROUNDS + 1][2];
} Seen;

static volatile guint64 *
word (CsDsm *dsm, guint page)
{
  return (volatile guint64 *)((guint8 *)cs_dsm_memory (dsm) + page * CS_DSM_PAGE);
}

/* 0 and 1: each writes its word and reads the other's. */
static int
store_buffering (CsDsm *dsm, guint node, gpointer data)
{
  Seen *seen = data;
  for (guint64 r = 1; r <= ROUNDS; r++)
    {
      if (cs_dsm_barrier (dsm, 0) < 0)
        return 1;
      if (node < 2)
        {
          *word (dsm, node) = r;
          seen->read[node][r][0] = *word (dsm, 1 - node);
        }
    }
  return 0;
}

/* 0 writes data, then flag; the others read flag, then data. */
static int
message_passing (CsDsm *dsm, guint node, gpointer data)
{
  Seen *seen = data;
  for (guint64 r = 1; r <= ROUNDS; r++)
    {
      if (cs_dsm_barrier (dsm, 0) < 0)
        return 1;
      if (node == 0)
        {
          *word (dsm, 1) = r;
          *word (dsm, 2) = r;
        }
      else
        {
          seen->read[node][r][0] = *word (dsm, 2);
          seen->read[node][r][1] = *word (dsm, 1);
        }
    }
  return 0;
}

/* 0 and 1 write a word each; 2 and 3 read both, in different order. */
static int
independent_reads (CsDsm *dsm, guint node, gpointer data)
{
  Seen *seen = data;
  for (guint64 r = 1; r <= ROUNDS; r++)
    {
      if (cs_dsm_barrier (dsm, 0) < 0)
        return 1;
      if (node < 2)
        *word (dsm, node + 2) = r;
      else
        {
          seen->read[node][r][0] = *word (dsm, node);
          seen->read[node][r][1] = *word (dsm, 5 - node);
        }
    }
  return 0;
}

/* 0 writes one word, twice; the others read it twice. */
static int
coherence (CsDsm *dsm, guint node, gpointer data)
{
  Seen *seen = data;
  for (guint64 r = 1; r <= ROUNDS; r++)
    {
      if (cs_dsm_barrier (dsm, 0) < 0)
        return 1;
      for (guint i = 0; i < 2; i++)
        if (node == 0)
          *word (dsm, 1) = 2 * r + i;
        else
          seen->read[node][r][i] = *word (dsm, 1);
    }
  return 0;
}

static Seen *
litmus (int (*body) (CsDsm *dsm, guint node, gpointer data))
{
  Seen *seen = nodes_share (sizeof *seen);
  const Nodes nodes = {
    .nodes = 4, .size = 4 * CS_DSM_PAGE, .home_block = 1, .body = body, .data = seen
  };
  nodes_run (&nodes);
  return seen;
}

START_TEST (litmus_store_buffering)
{
  const Seen *seen = litmus (store_buffering);
  for (guint r = 1; r <= ROUNDS; r++)
    ck_assert (seen->read[0][r][0] == r || seen->read[1][r][0] == r);
}
END_TEST

START_TEST (litmus_message_passing)
{
  const Seen *seen = litmus (message_passing);
  for (guint node = 1; node < 4; node++)
    for (guint r = 1; r <= ROUNDS; r++)
      ck_assert_uint_ge (seen->read[node][r][1], seen->read[node][r][0]);
}
END_TEST

START_TEST (litmus_independent_reads)
{
  const Seen *seen = litmus (independent_reads);
  for (guint r = 1; r <= ROUNDS; r++)
    ck_assert_msg (!(seen->read[2][r][0] == r && seen->read[2][r][1] < r && seen->read[3][r][0] == r
                     && seen->read[3][r][1] < r),
                   "round %u: two nodes saw two writes in different order", r);
}
END_TEST

START_TEST (litmus_coherence)
{
  const Seen *seen = litmus (coherence);
  for (guint node = 1; node < 4; node++)
    for (guint r = 1; r <= ROUNDS; r++)
      {
        ck_assert_uint_ge (seen->read[node][r][1], seen->read[node][r][0]);
        ck_assert_uint_ge (seen->read[node][r][0], r == 1 ? 0 : 2 * r - 1);
      }
}
END_TEST

/* ---- random load ---- */

static int
stress (CsDsm *dsm, guint node, gpointer data)
{
  Operation *operations = data;
  load_run (dsm, node, STRESS, operations + node * OPERATIONS, OPERATIONS, NULL);
  return 0;
}

START_TEST (random_load)
{
  Operation *operations = nodes_share (sizeof *operations * STRESS * OPERATIONS);
  const Nodes nodes = { .nodes = STRESS,
                        .size = LOAD_PAGES * CS_DSM_PAGE,
                        .home_block = 1,
                        .body = stress,
                        .data = operations };
  nodes_run (&nodes);
  g_autofree char *wrong = checker_check (operations, STRESS, OPERATIONS, LOAD_WORDS);
  ck_assert_msg (wrong == NULL, "%s", wrong);
}
END_TEST

/* A counter under a lock; as each is added by all, none may be lost. */
static int
count (CsDsm *dsm, guint node, gpointer data)
{
  for (guint i = 0; i < 50; i++)
    {
      guint lock = i % 3;
      if (cs_dsm_lock (dsm, lock) < 0)
        return 1;
      *word (dsm, lock) += 1;
      if (cs_dsm_unlock (dsm, lock) < 0)
        return 2;
    }
  if (cs_dsm_unlock (dsm, 0) == 0 || cs_dsm_barrier (dsm, 5) < 0)
    return 3;
  return *word (dsm, 0) + *word (dsm, 1) + *word (dsm, 2) == 4 * 50 ? 0 : 4;
}

START_TEST (locks)
{
  const Nodes nodes = { .nodes = 4, .size = 4 * CS_DSM_PAGE, .home_block = 1, .body = count };
  nodes_run (&nodes);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("dsm-memory");
  TCase *tcase = tcase_create ("dsm-memory");
  tcase_set_timeout (tcase, 900);
  tcase_add_test (tcase, checker_judges);
  tcase_add_test (tcase, litmus_store_buffering);
  tcase_add_test (tcase, litmus_message_passing);
  tcase_add_test (tcase, litmus_independent_reads);
  tcase_add_test (tcase, litmus_coherence);
  tcase_add_test (tcase, random_load);
  tcase_add_test (tcase, locks);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
