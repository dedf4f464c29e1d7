/* The rollback's stage machine against scripted daemons: A with all VMs of its own, B with vm3. */
#include "config.h"

#include "common/error.h"
#include "coord/rollback-job.h"
#include "tests/unit/two-hosts.h"
#include "tests/unit/unit.h"

#include <string.h>

static guint finishings;

static void
on_stage (CsRollbackStage stage, void *data)
{
  two_hosts_seen (cs_rollback_stage_name (stage));
}

static bool
on_answered (CsRollbackStage stage, void *data, GError **error)
{
  return two_hosts_answered (cs_rollback_stage_name (stage), error);
}

static void
on_finishing (void *data)
{
  finishings++;
}

static json_object *
run (int hosts, GError **error)
{
  CsRollbackObserver observer = { on_stage, NULL, on_answered, on_finishing, NULL };
  g_autoptr (CsRollbackJob) job =
      cs_rollback_job_new ("/store", "demo", "s1", 0, two_hosts.interrupt_fd, &observer);
  finishings = 0;
  for (int i = 0; i < hosts; i++)
    cs_rollback_job_add_host (job, two_hosts_connect (i),
                              i == 0 ? NULL : json_tokener_parse ("[\"vm3\"]"));
  return cs_rollback_job_run (job, error);
}

START_TEST (one_host_reports)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsJson) report = run (1, &error);
  unit_assert_no_error (error);
  ck_assert_str_eq (two_hosts.stages->str,
                    "rollback-prepare rollback-pause rollback-apply rollback-release ");
  ck_assert_uint_eq (cs_json_uint (report, "pause", 0), 6100);
  ck_assert_uint_eq (cs_json_uint (report, "cold", 99), 0);
  json_object *vm = cs_json_find_named (cs_json_array (report, "vms"), "vm2");
  ck_assert_str_eq (cs_json_string (vm, "way"), "in-place");
  ck_assert_uint_eq (cs_json_uint (vm, "fix-up", 0), 200);
  ck_assert_uint_eq (cs_json_uint (vm, "pages", 0), 150);
  two_hosts_assert_never ("A< job.abort");
}
END_TEST

/* None is changed before all stand, none runs before all are back. */
START_TEST (barrier_has_two_sides)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[_i], "rollback.pause", "late:200");
  fake_daemon_on (two_hosts.daemons[1 - _i], "rollback.apply", "late:200");
  g_autoptr (CsJson) report = run (2, &error);
  unit_assert_no_error (error);
  int stand =
      MAX (two_hosts_position ("A> rollback.pause"), two_hosts_position ("B> rollback.pause"));
  int back =
      MAX (two_hosts_position ("A> rollback.apply"), two_hosts_position ("B> rollback.apply"));
  ck_assert_int_gt (
      MIN (two_hosts_position ("A< rollback.apply"), two_hosts_position ("B< rollback.apply")),
      stand);
  ck_assert_int_gt (
      MIN (two_hosts_position ("A< rollback.release"), two_hosts_position ("B< rollback.release")),
      back);
  ck_assert_uint_eq (json_object_array_length (cs_json_array (report, "vms")), 3);
}
END_TEST

static const char *const methods[] = { "rollback.begin", "rollback.prepare", "rollback.pause",
                                       "rollback.apply", "rollback.release" };

START_TEST (error_of_one_host_ends_both)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[1], methods[_i], "error:no-space:the disk is full");
  ck_assert_ptr_null (run (2, &error));
  unit_assert_error (error, CS_ERROR_NO_SPACE);
  ck_assert_ptr_nonnull (strstr (error->message, "the disk is full"));
  ck_assert_ptr_nonnull (strstr (error->message, _i < 3 ? "the guests run on: nothing was changed"
                                                        : "clusnapd has finished what was begun"));
  ck_assert_uint_eq (fake_journal_count (two_hosts.journal, "A< job.abort"), 1);
  for (gsize i = (gsize)_i + 1; i < G_N_ELEMENTS (methods); i++)
    {
      g_autofree char *later = g_strdup_printf ("A< %s", methods[i]);
      two_hosts_assert_never (later);
    }
}
END_TEST

START_TEST (broken_connection_ends_the_other)
{
  gsize method = (gsize)_i / TWO_HOSTS_BREAKS, how = (gsize)_i % TWO_HOSTS_BREAKS;
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[1], methods[method], two_hosts_breaks[how].action);
  ck_assert_ptr_null (run (2, &error));
  unit_assert_error (error, two_hosts_breaks[how].code);
  two_hosts_position ("A< job.abort");
  if (method > 0)
    ck_assert_ptr_nonnull (
        strstr (error->message, method < 3 ? "undoes it by itself" : "finishes by itself"));
}
END_TEST

/* A VM that runs, and that nobody says stands, is not changed; one that does not run need not. */
START_TEST (missing_vm_breaks_the_barrier)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[0], "rollback.pause",
                  "result:{\"vms\":[{\"name\":\"vm1\",\"paused-at\":1}],\"skew\":0}");
  ck_assert_ptr_null (run (2, &error));
  unit_assert_error (error, CS_ERROR_IO);
  ck_assert_ptr_nonnull (strstr (error->message, "'vm2'"));
  two_hosts_assert_never ("A< rollback.apply");
  two_hosts_assert_never ("B< rollback.apply");
}
END_TEST

START_TEST (cold_vm_need_not_stand)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[0], "rollback.begin",
                  "result:{\"job\":\"j\",\"vms\":[{\"name\":\"vm1\",\"way\":\"in-place\"},"
                  "{\"name\":\"vm2\",\"way\":\"cold\",\"reason\":\"it did not run\"}]}");
  fake_daemon_on (two_hosts.daemons[0], "rollback.pause",
                  "result:{\"vms\":[{\"name\":\"vm1\",\"paused-at\":1}],\"skew\":0}");
  fake_daemon_on (two_hosts.daemons[0], "rollback.release",
                  "result:{\"vms\":[{\"name\":\"vm1\",\"way\":\"cold\",\"reason\":\"x\"},"
                  "{\"name\":\"vm2\",\"way\":\"cold\"}]}");
  g_autoptr (CsJson) report = run (1, &error);
  unit_assert_no_error (error);
  /* vm2 did not run: only vm1 had to be started anew. */
  ck_assert_uint_eq (cs_json_uint (report, "cold", 0), 1);
}
END_TEST

/* Answers that are none. */
START_TEST (malformed_begin_is_refused)
{
  static const char *const answers[] = {
    "result:{\"job\":\"j\"}",
    "result:{\"job\":\"j\",\"vms\":[]}",
    "result:{\"job\":\"j\",\"vms\":[{\"name\":\"vm1\"}]}",
    "result:{\"job\":\"j\",\"vms\":[7,null]}",
    "result:{\"job\":\"j\",\"vms\":[{\"way\":\"in-place\"}]}",
    "result:{\"vms\":[{\"name\":\"vm1\",\"way\":\"in-place\"}]}",
  };
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[0], "rollback.begin", answers[_i]);
  ck_assert_ptr_null (run (1, &error));
  unit_assert_error (error, CS_ERROR_IO);
  two_hosts_assert_never ("A< rollback.prepare");
}
END_TEST

START_TEST (odd_but_correct_peers_are_understood)
{
  static const char *const actions[] = { "batch", "progress", "late:50" };
  g_autoptr (GError) error = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (methods); i++)
    fake_daemon_on (two_hosts.daemons[0], methods[i], actions[_i]);
  g_autoptr (CsJson) report = run (1, &error);
  unit_assert_no_error (error);
}
END_TEST

/* After the stage's answer: before rollback.apply has gone out all is undone, later nothing is. */
START_TEST (interrupt_between_stages)
{
  g_autoptr (GError) error = NULL;
  two_hosts.interrupt_in = cs_rollback_stage_name ((CsRollbackStage)_i);
  g_autoptr (CsJson) report = run (2, &error);
  if (_i < CS_ROLLBACK_STAGE_APPLY)
    {
      ck_assert_ptr_null (report);
      unit_assert_error (error, CS_ERROR_CANCELLED);
      ck_assert_ptr_nonnull (strstr (error->message, "nothing was changed"));
      two_hosts_position ("A< job.abort");
      two_hosts_assert_never ("A< rollback.apply");
      return;
    }
  unit_assert_no_error (error);
  two_hosts_position ("B> rollback.release");
  two_hosts_assert_never ("A< job.abort");
  ck_assert_uint_eq (finishings, _i == CS_ROLLBACK_STAGE_APPLY ? 1 : 0);
}
END_TEST

START_TEST (interrupt_while_undoable)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *entry = g_strdup_printf ("A< %s", methods[_i]);
  fake_daemon_on (two_hosts.daemons[0], methods[_i], "hang");
  GThread *thread = g_thread_new ("interrupt", two_hosts_interrupt_at, entry);
  ck_assert_ptr_null (run (1, &error));
  g_thread_join (thread);
  unit_assert_error (error, CS_ERROR_CANCELLED);
  ck_assert_uint_eq (finishings, 0);
}
END_TEST

START_TEST (interrupt_while_it_cannot_be_undone)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *entry = g_strdup_printf ("A< %s", methods[_i]);
  fake_daemon_on (two_hosts.daemons[0], methods[_i], "late:300");
  GThread *thread = g_thread_new ("interrupt", two_hosts_interrupt_at, entry);
  g_autoptr (CsJson) report = run (1, &error);
  g_thread_join (thread);
  unit_assert_no_error (error);
  ck_assert_uint_eq (finishings, 1);
  two_hosts_assert_never ("A< job.abort");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("rollback-job");
  TCase *tests = tcase_create ("rollback");
  int n_methods = G_N_ELEMENTS (methods);
  tcase_add_checked_fixture (tests, two_hosts_set_up, two_hosts_tear_down);
  tcase_set_timeout (tests, 60);
  tcase_add_test (tests, one_host_reports);
  tcase_add_loop_test (tests, barrier_has_two_sides, 0, TWO_HOSTS);
  tcase_add_loop_test (tests, error_of_one_host_ends_both, 0, n_methods);
  tcase_add_loop_test (tests, broken_connection_ends_the_other, 0, n_methods * TWO_HOSTS_BREAKS);
  tcase_add_test (tests, missing_vm_breaks_the_barrier);
  tcase_add_test (tests, cold_vm_need_not_stand);
  tcase_add_loop_test (tests, malformed_begin_is_refused, 0, 6);
  tcase_add_loop_test (tests, odd_but_correct_peers_are_understood, 0, 3);
  tcase_add_loop_test (tests, interrupt_between_stages, 0, CS_N_ROLLBACK_STAGES);
  tcase_add_loop_test (tests, interrupt_while_undoable, 0, 3);
  tcase_add_loop_test (tests, interrupt_while_it_cannot_be_undone, 3, 5);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
