/* The policies: which VMs share a barrier. */
#include "config.h"

#include "coord/policy.h"
#include "tests/unit/unit.h"

#include <string.h>

/* "0 2|1": the sets of @plan. */
static char *
text_of (const CsPolicyPlan *plan)
{
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < plan->sets->len; i++)
    {
      const GArray *set = g_ptr_array_index (plan->sets, i);
      for (guint k = 0; k < set->len; k++)
        g_string_append_printf (text, "%s%u",
                                k > 0   ? " "
                                : i > 0 ? "|"
                                        : "",
                                g_array_index (set, guint, k));
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
assert_plan (const CsPolicy *policy, const CsPolicyView *view, const char *expected,
             const char *note)
{
  g_autoptr (CsPolicyPlan) plan = policy->plan (view);
  g_autofree char *text = text_of (plan);
  ck_assert_str_eq (text, expected);
  if (note == NULL)
    ck_assert_ptr_null (plan->note);
  else
    ck_assert_msg (plan->note != NULL && strstr (plan->note, note) != NULL, "%s",
                   plan->note ? plan->note : "no note");
}

START_TEST (test_names)
{
  g_autofree char *names = cs_policy_names ();
  ck_assert_str_eq (names, "coordinated, independent, group");
  ck_assert_ptr_eq (cs_policy_find ("group"), &cs_policy_group);
  ck_assert_ptr_null (cs_policy_find ("groups"));
  ck_assert_ptr_nonnull (cs_policy_find (CS_POLICY_DEFAULT));
}
END_TEST

START_TEST (test_coordinated)
{
  CsPolicyView view = { .n = 4 };
  assert_plan (&cs_policy_coordinated, &view, "0 1 2 3", NULL);
}
END_TEST

START_TEST (test_group)
{
  bool exchanged[25] = { false };
  CsPolicyView view = { .n = 5, .exchanged = exchanged };
  assert_plan (&cs_policy_group, &view, "0|1|2|3|4", NULL);
  /* One direction is enough, and it is transitive. */
  exchanged[4 * 5 + 2] = exchanged[2 * 5 + 0] = exchanged[1 * 5 + 3] = true;
  assert_plan (&cs_policy_group, &view, "0 2 4|1 3", NULL);
  exchanged[3 * 5 + 4] = true;
  assert_plan (&cs_policy_group, &view, "0 1 2 3 4", NULL);
  view.exchanged = NULL;
  assert_plan (&cs_policy_group, &view, "0 1 2 3 4", "not known");
}
END_TEST

/* The components against a search through all pairs. */
START_TEST (test_group_against_closure)
{
  guint n = 7;
  for (guint round = 0; round < 500; round++)
    {
      bool exchanged[49] = { false }, reached[49] = { false };
      for (guint k = 0; k < round % 12; k++)
        exchanged[g_random_int_range (0, 49)] = true;
      for (guint i = 0; i < 49; i++)
        reached[i] = exchanged[i] || exchanged[i % n * n + i / n] || i / n == i % n;
      for (guint k = 0; k < n; k++)
        for (guint i = 0; i < n; i++)
          for (guint j = 0; j < n; j++)
            reached[i * n + j] |= reached[i * n + k] && reached[k * n + j];
      CsPolicyView view = { .n = n, .exchanged = exchanged };
      g_autoptr (CsPolicyPlan) plan = cs_policy_group.plan (&view);
      guint set_of[7], members = 0;
      for (guint s = 0; s < plan->sets->len; s++)
        {
          const GArray *set = g_ptr_array_index (plan->sets, s);
          for (guint k = 0; k < set->len; k++, members++)
            set_of[g_array_index (set, guint, k)] = s;
        }
      ck_assert_uint_eq (members, n);
      for (guint i = 0; i < n; i++)
        for (guint j = 0; j < n; j++)
          ck_assert_int_eq (set_of[i] == set_of[j], reached[i * n + j]);
    }
}
END_TEST

static CsHistory *
history_of_two (guint64 snapshots, bool talking)
{
  CsHistory *history = cs_history_new (2);
  for (guint vm = 0; vm < 2; vm++)
    for (guint64 s = 1; s <= snapshots; s++)
      cs_history_add_snapshot (history, vm, s);
  /* VM 1's snapshot s is in VM 0's interval s: whoever goes back takes the other with him. */
  for (guint64 s = 1; talking && s <= snapshots; s++)
    {
      CsDependency to_one = { 0, 1, s, s - 1 }, to_zero = { 1, 0, s - 1, s - 1 };
      if (s > 1)
        cs_history_add_dependency (history, &to_one);
      cs_history_add_dependency (history, &to_zero);
    }
  return history;
}

START_TEST (test_independent)
{
  g_autoptr (CsHistory) quiet = history_of_two (5, false);
  CsPolicyView view = { .n = 2, .history = quiet, .domino_limit = 3 };
  assert_plan (&cs_policy_independent, &view, "0|1", NULL);
  view.history = NULL;
  assert_plan (&cs_policy_independent, &view, "0 1", "not known");
  g_autoptr (CsHistory) none = cs_history_new (2);
  view.history = none;
  assert_plan (&cs_policy_independent, &view, "0 1", "no line");
}
END_TEST

START_TEST (test_domino_is_bounded)
{
  g_autoptr (CsHistory) history = history_of_two (5, true);
  guint others, deepest = 0;
  for (guint vm = 0; vm < 2; vm++)
    {
      guint depth;
      cs_history_domino (history, vm, &others, &depth);
      deepest = MAX (deepest, depth);
    }
  ck_assert_uint_eq (deepest, 4);
  CsPolicyView view = { .n = 2, .history = history, .domino_limit = 4 };
  assert_plan (&cs_policy_independent, &view, "0|1", NULL);
  view.domino_limit = 3;
  assert_plan (&cs_policy_independent, &view, "0 1", "cost 4 snapshots");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("policy");
  TCase *all = tcase_create ("all");
  tcase_add_test (all, test_names);
  tcase_add_test (all, test_coordinated);
  tcase_add_test (all, test_group);
  tcase_add_test (all, test_group_against_closure);
  tcase_add_test (all, test_independent);
  tcase_add_test (all, test_domino_is_bounded);
  suite_add_tcase (suite, all);
  return unit_run (suite);
}
