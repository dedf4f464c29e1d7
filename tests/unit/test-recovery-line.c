/* The recovery line against worked examples and against brute force. */
#include "config.h"

#include "coord/recovery-line.h"
#include "tests/unit/unit.h"

#define STAYS CS_RECOVERY_STAYS

static void
depend (CsHistory *history, guint from, guint64 from_interval, guint to, guint64 to_interval)
{
  CsDependency dependency = { from, to, from_interval, to_interval };
  cs_history_add_dependency (history, &dependency);
}

static CsHistory *
history_with (guint n, guint64 snapshots)
{
  CsHistory *history = cs_history_new (n);
  for (guint vm = 0; vm < n; vm++)
    for (guint64 s = 1; s <= snapshots; s++)
      cs_history_add_snapshot (history, vm, s);
  return history;
}

static void
assert_line (const CsHistory *history, guint failed, const guint64 *expected)
{
  g_autoptr (CsRecoveryLine) line = cs_recovery_line (history, &failed, 1);
  for (guint i = 0; i < line->n; i++)
    ck_assert_msg (line->members[i].position == expected[i],
                   "VM %u: %" G_GUINT64_FORMAT " instead of %" G_GUINT64_FORMAT, i,
                   line->members[i].position, expected[i]);
}

START_TEST (test_alone)
{
  g_autoptr (CsHistory) history = history_with (3, 2);
  depend (history, 1, 2, 2, 2);
  assert_line (history, 0, (guint64[]){ 2, STAYS, STAYS });
}
END_TEST

START_TEST (test_direction)
{
  g_autoptr (CsHistory) history = history_with (2, 2);
  depend (history, 0, 2, 1, 2);
  /* Who has seen goes back; who was seen does not. */
  assert_line (history, 0, (guint64[]){ 2, 2 });
  assert_line (history, 1, (guint64[]){ STAYS, 2 });
}
END_TEST

/* What was sent before the snapshot that the sender goes back to stays true. */
START_TEST (test_before_the_snapshot)
{
  g_autoptr (CsHistory) history = history_with (2, 2);
  depend (history, 0, 1, 1, 2);
  assert_line (history, 0, (guint64[]){ 2, STAYS });
}
END_TEST

/* A message that crosses the receiver's snapshot: the receiver's own is too late. */
START_TEST (test_orphan_in_a_snapshot)
{
  g_autoptr (CsHistory) history = history_with (2, 0);
  cs_history_add_snapshot (history, 0, 1);
  cs_history_add_snapshot (history, 1, 1);
  cs_history_add_snapshot (history, 1, 2);
  depend (history, 0, 1, 1, 1);
  assert_line (history, 0, (guint64[]){ 1, 1 });
}
END_TEST

/* Randell 1975, Elnozahy et al. 2002 (figure 4): uncoordinated checkpoints and messages that
 * interleave with them bring everybody back to the beginning. */
START_TEST (test_domino)
{
  g_autoptr (CsHistory) history = history_with (2, 3);
  for (guint64 s = 1; s <= 3; s++)
    {
      depend (history, 0, s, 1, s - 1); /* seen before 1's snapshot s */
      depend (history, 1, s - 1, 0, s - 1);
    }
  assert_line (history, 0, (guint64[]){ CS_RECOVERY_LOST, CS_RECOVERY_LOST });
  guint others, depth;
  cs_history_domino (history, 0, &others, &depth);
  ck_assert_uint_eq (others, 1);
  ck_assert_uint_eq (depth, 3);
}
END_TEST

/* With one barrier for all the same traffic costs one snapshot. */
START_TEST (test_coordinated)
{
  g_autoptr (CsHistory) history = history_with (4, 5);
  for (guint64 s = 0; s <= 5; s++)
    for (guint i = 0; i < 4; i++)
      depend (history, i, s, (i + 1) % 4, s);
  assert_line (history, 2, (guint64[]){ 5, 5, 5, 5 });
}
END_TEST

START_TEST (test_deleted_snapshot)
{
  g_autoptr (CsHistory) history = cs_history_new (3);
  cs_history_add_snapshot (history, 0, 3);
  cs_history_add_snapshot (history, 1, 1); /* 2 and 3 were deleted */
  cs_history_add_snapshot (history, 2, 1);
  depend (history, 0, 3, 1, 3);
  depend (history, 1, 2, 2, 2); /* undone because 1 goes back further than it must */
  assert_line (history, 0, (guint64[]){ 3, 1, 1 });
}
END_TEST

START_TEST (test_reasons)
{
  g_autoptr (CsHistory) history = history_with (4, 1);
  depend (history, 2, 1, 0, 1);
  depend (history, 0, 1, 1, 1);
  depend (history, 1, 1, 2, 1);
  guint failed = 0;
  g_autoptr (CsRecoveryLine) line = cs_recovery_line (history, &failed, 1);
  ck_assert_int_eq (line->members[0].reason, CS_RECOVERY_FAILED);
  ck_assert_int_eq (line->members[1].reason, CS_RECOVERY_DEPENDENT);
  ck_assert_uint_eq (line->members[1].dependency, 1);
  ck_assert_uint_eq (line->members[2].dependency, 2);
  ck_assert_int_eq (line->members[3].reason, CS_RECOVERY_UNTOUCHED);
}
END_TEST

/* ---- against brute force ---- */

enum
{
  VMS = 4,
  SNAPSHOTS = 3,
  ROUNDS = 4000,
};

typedef struct
{
  CsHistory *history;
  guint64 choices[VMS][SNAPSHOTS + 2]; /* LOST, its snapshots, STAYS */
  guint n_choices[VMS];
  bool failed[VMS];
} Case;

static void
make_case (Case *one, GRand *rand)
{
  one->history = cs_history_new (VMS);
  for (guint vm = 0; vm < VMS; vm++)
    {
      one->failed[vm] = g_rand_int_range (rand, 0, 3) == 0;
      one->n_choices[vm] = 0;
      one->choices[vm][one->n_choices[vm]++] = CS_RECOVERY_LOST;
      for (guint64 s = 1; s <= SNAPSHOTS; s++)
        if (g_rand_int_range (rand, 0, 4) > 0)
          {
            cs_history_add_snapshot (one->history, vm, s);
            one->choices[vm][one->n_choices[vm]++] = s;
          }
      if (!one->failed[vm])
        one->choices[vm][one->n_choices[vm]++] = STAYS;
    }
  for (gint i = g_rand_int_range (rand, 0, 12); i > 0; i--)
    depend (one->history, (guint)g_rand_int_range (rand, 0, VMS),
            (guint64)g_rand_int_range (rand, 0, SNAPSHOTS + 1),
            (guint)g_rand_int_range (rand, 0, VMS),
            (guint64)g_rand_int_range (rand, 0, SNAPSHOTS + 1));
}

/* The componentwise maximum of all consistent lines; it is consistent itself. */
static void
brute_force (const Case *one, guint64 *best)
{
  guint at[VMS] = { 0 };
  memset (best, 0, VMS * sizeof *best);
  for (guint carry = 0; carry < VMS;)
    {
      guint64 positions[VMS];
      for (guint vm = 0; vm < VMS; vm++)
        positions[vm] = one->choices[vm][at[vm]];
      if (cs_history_is_consistent (one->history, positions))
        for (guint vm = 0; vm < VMS; vm++)
          best[vm] = MAX (best[vm], positions[vm]);
      for (carry = 0; carry < VMS && ++at[carry] == one->n_choices[carry]; carry++)
        at[carry] = 0;
    }
}

START_TEST (test_brute_force)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (20030512);
  for (guint round = 0; round < ROUNDS; round++)
    {
      Case one;
      guint64 best[VMS];
      guint failed[VMS], n = 0;
      make_case (&one, rand);
      brute_force (&one, best);
      ck_assert (cs_history_is_consistent (one.history, best));
      for (guint vm = 0; vm < VMS; vm++)
        if (one.failed[vm])
          failed[n++] = vm;
      g_autoptr (CsRecoveryLine) line = cs_recovery_line (one.history, failed, n);
      for (guint vm = 0; vm < VMS; vm++)
        ck_assert_msg (line->members[vm].position == best[vm], "round %u, VM %u", round, vm);
      cs_history_free (one.history);
    }
}
END_TEST

/* 1,000 VMs, 100 snapshots each, 100,000 dependencies: correct at that size, too
 * (bench/recovery-line prints the time). */
START_TEST (test_large)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1997);
  g_autoptr (CsHistory) history = history_with (1000, 100);
  for (guint i = 0; i < 100000; i++)
    {
      guint64 interval = (guint64)g_rand_int_range (rand, 0, 101);
      depend (history, (guint)g_rand_int_range (rand, 0, 1000), interval,
              (guint)g_rand_int_range (rand, 0, 1000), interval);
    }
  guint failed = 500;
  g_autoptr (CsRecoveryLine) line = cs_recovery_line (history, &failed, 1);
  g_autofree guint64 *positions = g_new (guint64, 1000);
  for (guint i = 0; i < 1000; i++)
    positions[i] = line->members[i].position;
  ck_assert (cs_history_is_consistent (history, positions));
  ck_assert_uint_eq (positions[500], 100);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("recovery-line");
  TCase *examples = tcase_create ("examples");
  tcase_add_test (examples, test_alone);
  tcase_add_test (examples, test_direction);
  tcase_add_test (examples, test_before_the_snapshot);
  tcase_add_test (examples, test_orphan_in_a_snapshot);
  tcase_add_test (examples, test_domino);
  tcase_add_test (examples, test_coordinated);
  tcase_add_test (examples, test_deleted_snapshot);
  tcase_add_test (examples, test_reasons);
  suite_add_tcase (suite, examples);
  TCase *properties = tcase_create ("properties");
  tcase_add_test (properties, test_brute_force);
  tcase_add_test (properties, test_large);
  suite_add_tcase (suite, properties);
  return unit_run (suite);
}
