#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "tests/probe/cut-decide.h"
#include "tests/unit/unit.h"

#include <string.h>

/* A real line of a guest. */
static const char good_line[] =
    "STATE {\"node\":0,\"nodes\":2,\"run\":\"1e1c1a19f8464b0b\",\"seq\":7,\"uptime\":11693,"
    "\"violations\":0,\"events\":1,\"clock\":[10,12],\"history\":\"1e1c1a19f8464b0b\","
    "\"peers\":[{\"node\":1,\"tcp\":[3,2],\"udp\":[3,2],\"lost\":1,\"skipped\":0,\"resets\":0,"
    "\"connected\":true}],\"disks\":[{\"name\":\"vda\",\"direct\":5,\"buffered\":4,\"durable\":3,"
    "\"reads\":1,\"writes\":9}],\"table\":{\"pages\":8192,\"updates\":6,\"sum\":\"00\"}}";

static CutState *
parse (const char *line)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsJson) object = cs_json_parse_object (line + 6, strlen (line + 6), &error);
  unit_assert_no_error (error);
  CutState *state = cut_state_parse (object, &error);
  unit_assert_no_error (error);
  return state;
}

/* A cluster of @nodes in which each pair sent and received @count messages on each protocol. */
static GPtrArray *
cluster (guint nodes, guint64 count)
{
  GPtrArray *states = g_ptr_array_new_with_free_func ((GDestroyNotify)cut_state_free);
  for (guint i = 0; i < nodes; i++)
    {
      CutState *state = parse (good_line);
      state->node = i;
      state->nodes = nodes;
      state->uptime = 1000 + count;
      for (guint j = 0; j < nodes; j++)
        {
          state->clock[j] = 10 * count;
          state->peers[j] = (CutPeer){ j != i, count, count, count, count, 0, 0, 0, true };
        }
      state->disks[0].direct = state->disks[0].buffered = state->disks[0].durable = count;
      state->table_updates = count;
      g_ptr_array_add (states, state);
    }
  return states;
}

static CutState *
at (GPtrArray *states, guint index)
{
  return g_ptr_array_index (states, index);
}

static GPtrArray *before, *after, *reasons;

static void
set_up (void)
{
  before = cluster (3, 100);
  after = cluster (3, 200);
  reasons = g_ptr_array_new_with_free_func (g_free);
}

static void
tear_down (void)
{
  g_ptr_array_unref (before);
  g_ptr_array_unref (after);
  g_ptr_array_unref (reasons);
}

#define assert_one_reason(text)                                                                    \
  do                                                                                               \
    {                                                                                              \
      ck_assert_uint_eq (reasons->len, 1);                                                         \
      ck_assert_msg (strstr (g_ptr_array_index (reasons, 0), (text)), "reason: %s",                \
                     (char *)g_ptr_array_index (reasons, 0));                                      \
    }                                                                                              \
  while (0)

START_TEST (good_states_give_no_reason)
{
  ck_assert (cut_decide_complete (after, reasons));
  ck_assert (cut_decide_healthy (after, NULL, reasons));
  ck_assert (cut_decide_healthy (after, before, reasons));
  ck_assert (cut_decide_no_orphan (before, after, reasons));
  ck_assert (cut_decide_no_orphan (after, after, reasons));
  ck_assert (cut_decide_no_way_back (before, after, "before", reasons));
  ck_assert (cut_decide_no_way_back (after, after, "before", reasons));
  ck_assert (cut_decide_progress (before, after, 100, reasons));
  ck_assert_uint_eq (reasons->len, 0);
}
END_TEST

START_TEST (received_but_not_sent_is_an_orphan)
{
  at (before, 2)->peers[1].tcp_received = 201;
  ck_assert (!cut_decide_no_orphan (before, after, reasons));
  assert_one_reason (
      "orphan: node 2 received TCP message 201 from node 1, which has sent only 200");
  g_ptr_array_set_size (reasons, 0);
  at (before, 2)->peers[1].tcp_received = 200;
  ck_assert (cut_decide_no_orphan (before, after, reasons));
  at (before, 0)->peers[2].udp_received = 201;
  ck_assert (!cut_decide_no_orphan (before, after, reasons));
  assert_one_reason ("node 0 received UDP message 201 from node 2");
}
END_TEST

START_TEST (knowing_too_much_is_an_orphan)
{
  at (before, 0)->clock[1] = 2001;
  ck_assert (!cut_decide_no_orphan (before, after, reasons));
  assert_one_reason ("orphan: node 0 knows event 2001 of node 1, which has done only 2000");
}
END_TEST

START_TEST (violations_and_broken_connections_are_told)
{
  CutState *state = at (after, 1);
  state->violations = 3;
  g_free (state->first);
  state->first = g_strdup ("what it saw");
  ck_assert (!cut_decide_healthy (after, NULL, reasons));
  assert_one_reason ("node 1 saw 3 violations, the first: what it saw");
  g_ptr_array_set_size (reasons, 0);
  state->violations = 0;
  state->peers[0].resets = 1;
  ck_assert (!cut_decide_healthy (after, NULL, reasons));
  assert_one_reason ("node 1's TCP connection with node 0 was broken");
  g_ptr_array_set_size (reasons, 0);
  /* One that was broken before the moment compared with is an old story. */
  at (before, 1)->peers[0].resets = 1;
  ck_assert (cut_decide_healthy (after, before, reasons));
  state->peers[2].connected = false;
  ck_assert (!cut_decide_healthy (after, before, reasons));
  assert_one_reason ("node 1 has no TCP connection with node 2");
  g_ptr_array_set_size (reasons, 0);
  state->peers[2].connected = true;
  state->peers[2].skipped = 4;
  ck_assert (!cut_decide_healthy (after, before, reasons));
  assert_one_reason ("node 1 lost 4 TCP messages from node 2");
}
END_TEST

START_TEST (counters_must_not_go_back)
{
  guint64 *counters[] = {
    &at (after, 1)->uptime,
    &at (after, 1)->clock[2],
    &at (after, 1)->table_updates,
    &at (after, 1)->peers[0].tcp_sent,
    &at (after, 1)->peers[0].tcp_received,
    &at (after, 1)->peers[2].udp_sent,
    &at (after, 1)->peers[2].udp_received,
    &at (after, 1)->disks[0].direct,
    &at (after, 1)->disks[0].buffered,
    &at (after, 1)->disks[0].durable,
  };
  for (guint i = 0; i < G_N_ELEMENTS (counters); i++)
    {
      guint64 good = *counters[i];
      *counters[i] = 99;
      ck_assert (!cut_decide_no_way_back (before, after, "then", reasons));
      assert_one_reason ("node 1: ");
      ck_assert_ptr_nonnull (strstr (g_ptr_array_index (reasons, 0), " then to 99"));
      g_ptr_array_set_size (reasons, 0);
      *counters[i] = good;
    }
}
END_TEST

START_TEST (a_restarted_program_is_told)
{
  g_free (at (after, 2)->run);
  at (after, 2)->run = g_strdup ("another");
  ck_assert (!cut_decide_no_way_back (before, after, "then", reasons));
  assert_one_reason ("node 2 was started anew");
}
END_TEST

START_TEST (missing_nodes_are_told)
{
  g_ptr_array_remove_index (after, 2);
  ck_assert (!cut_decide_complete (after, reasons));
  ck_assert_uint_eq (reasons->len, 2);
  g_ptr_array_set_size (reasons, 0);
  ck_assert (!cut_decide_no_way_back (before, after, "then", reasons));
  assert_one_reason ("there were 3 nodes then and are 2");
  g_ptr_array_set_size (reasons, 0);
  at (before, 1)->peers[0].known = false;
  ck_assert (!cut_decide_complete (before, reasons));
  assert_one_reason ("node 1 says nothing of node 0");
}
END_TEST

START_TEST (standstill_is_told)
{
  at (after, 0)->peers[1].tcp_received = 199;
  ck_assert (!cut_decide_progress (before, after, 100, reasons));
  assert_one_reason ("node 0 does not receive 100 TCP messages from 1");
  g_ptr_array_set_size (reasons, 0);
  at (after, 0)->peers[1].tcp_received = 200;
  at (after, 0)->peers[1].udp_received = 100;
  ck_assert (!cut_decide_progress (before, after, 100, reasons));
  assert_one_reason ("no UDP messages from node 1");
  g_ptr_array_set_size (reasons, 0);
  at (after, 0)->peers[1].udp_received = 101;
  at (after, 2)->disks[0].direct = 100;
  ck_assert (!cut_decide_progress (before, after, 100, reasons));
  assert_one_reason ("node 2 does not write disk vda");
}
END_TEST

START_TEST (torn_lines_are_not_taken)
{
  static const char line[] = "EVENT tcp connection with node 1 #10b3f713\r";
  g_autofree char *text = cut_line_check (line);
  ck_assert_str_eq (text, "EVENT tcp connection with node 1");
  ck_assert_ptr_null (cut_line_check (line + 1));
  ck_assert_ptr_null (cut_line_check ("EVENT tcp connection with node 2 #10b3f713"));
  ck_assert_ptr_null (cut_line_check ("EVENT tcp connection with node 1 #10b3f71"));
  ck_assert_ptr_null (cut_line_check ("EVENT tcp connection with node 1"));
  ck_assert_ptr_null (cut_line_check (" #10b3f713"));
  ck_assert_ptr_null (cut_line_check (""));
}
END_TEST

START_TEST (bad_states_are_refused)
{
  static const char *const bad[] = {
    "{}",
    "{\"node\":2,\"nodes\":2,\"run\":\"a\",\"clock\":[1,2]}",
    "{\"node\":0,\"nodes\":9,\"run\":\"a\",\"clock\":[1,2]}",
    "{\"node\":0,\"nodes\":2,\"run\":\"a\"}",
    "{\"node\":0,\"nodes\":2,\"run\":\"a\",\"clock\":[1,2],\"peers\":[{\"node\":0}]}",
    "{\"node\":0,\"nodes\":2,\"run\":\"a\",\"clock\":[1,2],\"peers\":[{\"node\":7,\"tcp\":[1,1],"
    "\"udp\":[1,1],\"connected\":true}]}",
    "{\"node\":0,\"nodes\":2,\"run\":\"a\",\"clock\":[1,2],\"peers\":[5]}",
  };
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (CsJson) object = json_tokener_parse (bad[i]);
      ck_assert_ptr_null (cut_state_parse (object, &error));
      unit_assert_error (error, CS_ERROR_INVALID);
    }
}
END_TEST

START_TEST (saved_states_come_back)
{
  g_autofree char *directory = g_dir_make_tmp ("clusnap-unit-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "states", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) states = g_ptr_array_new_with_free_func ((GDestroyNotify)cut_state_free);
  g_ptr_array_add (states, parse (good_line));
  ck_assert (cut_states_save (states, path, &error));
  g_autoptr (GPtrArray) loaded = cut_states_load (path, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (loaded->len, 1);
  ck_assert_str_eq (at (loaded, 0)->run, "1e1c1a19f8464b0b");
  ck_assert_uint_eq (at (loaded, 0)->peers[1].tcp_sent, 3);
  ck_assert_uint_eq (at (loaded, 0)->clock[1], 12);
  ck_assert_uint_eq (at (loaded, 0)->disks[0].durable, 3);
  ck_assert (g_file_set_contents (path, "{", 1, NULL));
  ck_assert_ptr_null (cut_states_load (path, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  unlink (path);
  rmdir (directory);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cut-decide");
  TCase *tests = tcase_create ("cut-decide");
  tcase_add_checked_fixture (tests, set_up, tear_down);
  tcase_add_test (tests, good_states_give_no_reason);
  tcase_add_test (tests, received_but_not_sent_is_an_orphan);
  tcase_add_test (tests, knowing_too_much_is_an_orphan);
  tcase_add_test (tests, violations_and_broken_connections_are_told);
  tcase_add_test (tests, counters_must_not_go_back);
  tcase_add_test (tests, a_restarted_program_is_told);
  tcase_add_test (tests, missing_nodes_are_told);
  tcase_add_test (tests, standstill_is_told);
  tcase_add_test (tests, torn_lines_are_not_taken);
  tcase_add_test (tests, bad_states_are_refused);
  tcase_add_test (tests, saved_states_come_back);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
