/* The stage machines against scripted daemons: one and two hosts. */
#include "config.h"

#include "common/error.h"
#include "common/fault.h"
#include "coord/restore-job.h"
#include "coord/snapshot-job.h"
#include "tests/unit/two-hosts.h"
#include "tests/unit/unit.h"

#include <string.h>

static void
snapshot_stage (CsStage stage, void *data)
{
  two_hosts_seen (cs_stage_name (stage));
}

static bool
snapshot_answered (CsStage stage, void *data, GError **error)
{
  return two_hosts_answered (cs_stage_name (stage), error);
}

static void
restore_stage (CsRestoreStage stage, void *data)
{
  two_hosts_seen (cs_restore_stage_name (stage));
}

static bool
restore_answered (CsRestoreStage stage, void *data, GError **error)
{
  return two_hosts_answered (cs_restore_stage_name (stage), error);
}

static json_object *
run_snapshot (int hosts, GError **error)
{
  static const char *const vms[TWO_HOSTS] = {
    "[{\"name\":\"vm1\",\"qmp\":\"/1\"},{\"name\":\"vm2\",\"qmp\":\"/2\"}]",
    "[{\"name\":\"vm3\",\"qmp\":\"/3\"}]"
  };
  CsSnapshotObserver observer = { snapshot_stage, NULL, snapshot_answered, NULL };
  g_autoptr (CsSnapshotJob) job =
      cs_snapshot_job_new ("/store", "demo", "s1", 0, two_hosts.interrupt_fd, &observer);
  for (int i = 0; i < hosts; i++)
    cs_snapshot_job_add_host (job, two_hosts_connect (i), json_tokener_parse (vms[i]));
  cs_snapshot_job_set_manifest (job, json_tokener_parse ("{\"policy\":\"coordinated\"}"));
  return cs_snapshot_job_run (job, error);
}

static json_object *
run_restore (int hosts, bool wait, GError **error)
{
  CsRestoreObserver observer = { restore_stage, NULL, restore_answered, NULL };
  g_autoptr (CsRestoreJob) job =
      cs_restore_job_new ("/store", "demo", "s1", false, wait, two_hosts.interrupt_fd, &observer);
  for (int i = 0; i < hosts; i++)
    cs_restore_job_add_host (job, two_hosts_connect (i),
                             i == 0 ? NULL : json_tokener_parse ("[\"vm3\"]"));
  return cs_restore_job_run (job, error);
}

START_TEST (stages_are_one_table)
{
  CsStage stage;
  for (int i = 0; i < CS_N_STAGES; i++)
    {
      ck_assert (cs_stage_from_name (cs_stage_name ((CsStage)i), &stage));
      ck_assert_int_eq (stage, i);
      ck_assert (*cs_stage_sentence (stage) != '\0' && *cs_stage_undo (stage) != '\0'
                 && *cs_stage_participants (stage) != '\0');
    }
  ck_assert (!cs_stage_from_name ("CHECK", &stage));
  ck_assert (!cs_stage_from_name (NULL, &stage));
}
END_TEST

START_TEST (one_host_reports)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsJson) report = run_snapshot (1, &error);
  unit_assert_no_error (error);
  ck_assert_str_eq (two_hosts.stages->str,
                    "check quiesce precopy pause capture resume store seal ");
  ck_assert_uint_eq (cs_json_uint (report, "pause", 0), 9100);
  ck_assert_uint_eq (cs_json_uint (report, "cluster-pause", 0), 9100);
  ck_assert_uint_eq (cs_json_uint (report, "pages-captured", 0), 2000);
  ck_assert_uint_eq (cs_json_uint (report, "bytes-stored", 0), 819200);
  ck_assert_uint_eq (cs_json_uint (report, "disk-bytes", 0), 131072);
  ck_assert_double_eq_tol (json_object_get_double (json_object_object_get (report, "dedup-ratio")),
                           2.0, 0.001);
  ck_assert_double_eq_tol (
      json_object_get_double (json_object_object_get (report, "compression-ratio")), 4.0, 0.001);
  json_object *vms = cs_json_array (report, "vms");
  ck_assert_uint_eq (json_object_array_length (vms), 2);
  json_object *vm = cs_json_find_named (vms, "vm2");
  ck_assert_uint_eq (cs_json_uint (vm, "pages", 0), 150);
  ck_assert_uint_eq (cs_json_uint (cs_json_member_object (vm, "precopy"), "pages", 0), 9000);
  two_hosts_assert_never ("A< job.abort");
}
END_TEST

/* B is slow to pause: A, which paused at once, must not be released before. */
START_TEST (barrier_holds_for_two_hosts)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[_i], "snapshot.pause", "late:300");
  g_autoptr (CsJson) report = run_snapshot (2, &error);
  unit_assert_no_error (error);
  int a_paused = two_hosts_position ("A> snapshot.pause"),
      b_paused = two_hosts_position ("B> snapshot.pause");
  int a_release = two_hosts_position ("A< snapshot.release"),
      b_release = two_hosts_position ("B< snapshot.release");
  ck_assert_int_gt (MIN (a_release, b_release), MAX (a_paused, b_paused));
  ck_assert_int_gt (
      MIN (two_hosts_position ("A< snapshot.seal"), two_hosts_position ("B< snapshot.seal")),
      MAX (two_hosts_position ("A> snapshot.store"), two_hosts_position ("B> snapshot.store")));
  ck_assert_uint_eq (json_object_array_length (cs_json_array (report, "vms")), 3);
  two_hosts_assert_never ("A< job.abort");
}
END_TEST

START_TEST (requests_go_to_all_hosts_at_once)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[0], "snapshot.pause", "late:300");
  g_autoptr (CsJson) report = run_snapshot (2, &error);
  unit_assert_no_error (error);
  ck_assert_int_lt (two_hosts_position ("B< snapshot.pause"),
                    two_hosts_position ("A> snapshot.pause"));
}
END_TEST

static const struct
{
  const char *method;
  const char *stage;
} requests[] = {
  { "snapshot.check", "check" },     { "snapshot.quiesce", "quiesce" },
  { "snapshot.precopy", "precopy" }, { "snapshot.pause", "pause" },
  { "snapshot.release", "capture" }, { "snapshot.store", "store" },
  { "snapshot.seal", "seal" },
};

/* B fails in each stage in turn: both hosts are told to undo, nothing later is asked of them. */
START_TEST (error_of_one_host_aborts_both)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *named = g_strdup_printf ("stage '%s'", requests[_i].stage);
  fake_daemon_on (two_hosts.daemons[1], requests[_i].method, "error:no-space:the store is full");
  ck_assert_ptr_null (run_snapshot (2, &error));
  unit_assert_error (error, CS_ERROR_NO_SPACE);
  ck_assert_ptr_nonnull (strstr (error->message, named));
  ck_assert_ptr_nonnull (strstr (error->message, "the store is full"));
  ck_assert_ptr_nonnull (strstr (error->message, "guests run on"));
  ck_assert_uint_eq (fake_journal_count (two_hosts.journal, "A< job.abort"), 1);
  ck_assert_uint_eq (fake_journal_count (two_hosts.journal, "B< job.abort"), 1);
  for (gsize i = (gsize)_i + 1; i < G_N_ELEMENTS (requests); i++)
    {
      g_autofree char *later = g_strdup_printf ("A< %s", requests[i].method);
      two_hosts_assert_never (later);
    }
}
END_TEST

/* A hangs in PAUSE while B fails: A is told at once, not when it answers. */
START_TEST (hanging_host_is_aborted_with_the_failed_one)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[0], "snapshot.pause", "hang");
  fake_daemon_on (two_hosts.daemons[1], "snapshot.pause", "error:deadline:the guest did not stop");
  ck_assert_ptr_null (run_snapshot (2, &error));
  unit_assert_error (error, CS_ERROR_DEADLINE);
  ck_assert_ptr_nonnull (strstr (error->message, "guests run on"));
  two_hosts_position ("A< job.abort");
  two_hosts_position ("B< job.abort");
  two_hosts_assert_never ("A< snapshot.release");
  two_hosts_assert_never ("B< snapshot.release");
}
END_TEST

START_TEST (begin_that_fails_aborts_the_other)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[0], "snapshot.begin", "late:100");
  fake_daemon_on (two_hosts.daemons[1], "snapshot.begin",
                  "error:busy:another snapshot is under way");
  ck_assert_ptr_null (run_snapshot (2, &error));
  unit_assert_error (error, CS_ERROR_BUSY);
  two_hosts_position ("A< job.abort");
  two_hosts_assert_never ("B< job.abort");
  two_hosts_assert_never ("A< snapshot.check");
}
END_TEST

/* A host that does not name all of its VMs as paused does not count as standing. */
START_TEST (missing_vm_breaks_the_barrier)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[0], "snapshot.pause",
                  "result:{\"vms\":[{\"name\":\"vm1\",\"paused-at\":1}],\"skew\":0}");
  ck_assert_ptr_null (run_snapshot (2, &error));
  unit_assert_error (error, CS_ERROR_IO);
  ck_assert_ptr_nonnull (strstr (error->message, "'vm2'"));
  two_hosts_assert_never ("A< snapshot.release");
  two_hosts_assert_never ("B< snapshot.release");
  two_hosts_position ("B< job.abort");
}
END_TEST

START_TEST (broken_connection_aborts_the_other)
{
  gsize request = (gsize)_i / TWO_HOSTS_BREAKS, how = (gsize)_i % TWO_HOSTS_BREAKS;
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[1], requests[request].method, two_hosts_breaks[how].action);
  ck_assert_ptr_null (run_snapshot (2, &error));
  ck_assert_ptr_nonnull (error);
  unit_assert_error (error, two_hosts_breaks[how].code);
  ck_assert_ptr_nonnull (strstr (error->message, "undoes it by itself"));
  two_hosts_position ("A< job.abort");
  ck_assert (fake_journal_wait (two_hosts.journal, "B! closed"));
}
END_TEST

START_TEST (odd_but_correct_peers_are_understood)
{
  static const char *const actions[] = { "batch", "progress", "late:50" };
  g_autoptr (GError) error = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (requests); i++)
    fake_daemon_on (two_hosts.daemons[0], requests[i].method, actions[_i]);
  g_autoptr (CsJson) report = run_snapshot (1, &error);
  unit_assert_no_error (error);
  ck_assert_ptr_nonnull (report);
}
END_TEST

/* Interrupted after each stage's answer: the next stage's request is not sent. */
START_TEST (interrupt_cancels)
{
  g_autoptr (GError) error = NULL;
  two_hosts.interrupt_in = cs_stage_name ((CsStage)_i);
  ck_assert_ptr_null (run_snapshot (2, &error));
  unit_assert_error (error, CS_ERROR_CANCELLED);
  ck_assert_ptr_nonnull (strstr (error->message, "guests run on"));
  two_hosts_position ("A< job.abort");
  two_hosts_position ("B< job.abort");
  two_hosts_assert_never ("A< snapshot.seal");
  if (_i < CS_STAGE_PAUSE)
    two_hosts_assert_never ("A< snapshot.release");
}
END_TEST

START_TEST (interrupt_during_a_request)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *entry = g_strdup_printf ("A< %s", requests[_i].method);
  fake_daemon_on (two_hosts.daemons[0], requests[_i].method, "hang");
  GThread *thread = g_thread_new ("interrupt", two_hosts_interrupt_at, entry);
  ck_assert_ptr_null (run_snapshot (1, &error));
  g_thread_join (thread);
  unit_assert_error (error, CS_ERROR_CANCELLED);
  ck_assert_ptr_nonnull (strstr (error->message, "guests run on"));
  two_hosts_position ("A< job.abort");
}
END_TEST

/* The manifest was written before the abort arrived: the snapshot exists, so that is said. */
START_TEST (seal_that_won_the_race_counts)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[0], "snapshot.seal", "complete");
  GThread *thread =
      g_thread_new ("interrupt", two_hosts_interrupt_at, (gpointer) "A< snapshot.seal");
  g_autoptr (CsJson) report = run_snapshot (1, &error);
  g_thread_join (thread);
  unit_assert_no_error (error);
  ck_assert_ptr_nonnull (report);
}
END_TEST

START_TEST (fault_error_aborts)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *fault = g_strdup_printf ("%s:error", cs_stage_name ((CsStage)_i));
  g_setenv ("CLUSNAP_FAULT", fault, TRUE);
  g_autoptr (CsJson) report = run_snapshot (1, &error);
  /* After SEAL was answered the snapshot exists: nothing can undo it. */
  if (_i == CS_STAGE_SEAL)
    {
      unit_assert_no_error (error);
      ck_assert_ptr_nonnull (report);
      return;
    }
  ck_assert_ptr_null (report);
  unit_assert_error (error, CS_ERROR_FAILED);
  two_hosts_position ("A< job.abort");
}
END_TEST

START_TEST (restore_waits_for_all_loads)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[1], "restore.load", "late:200");
  g_autoptr (CsJson) report = run_restore (2, true, &error);
  unit_assert_no_error (error);
  ck_assert_str_eq (two_hosts.stages->str, "restore-load restore-release restore-wait ");
  ck_assert_int_gt (two_hosts_position ("A< restore.release"),
                    two_hosts_position ("B> restore.load"));
  ck_assert_uint_eq (cs_json_uint (report, "running", 0), 81000);
  ck_assert_uint_eq (cs_json_uint (report, "resident", 0), 912000);
  json_object *vm = cs_json_find_named (cs_json_array (report, "vms"), "vm3");
  ck_assert_uint_eq (cs_json_uint (vm, "launch", 0), 52000);
  ck_assert_uint_eq (cs_json_uint (vm, "faults", 0), 321);
}
END_TEST

START_TEST (restore_without_wait)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsJson) report = run_restore (1, false, &error);
  unit_assert_no_error (error);
  two_hosts_assert_never ("A< restore.wait");
  two_hosts_assert_never ("A< job.abort");
}
END_TEST

START_TEST (restore_that_fails_is_undone)
{
  static const char *const methods[] = { "restore.begin", "restore.load", "restore.release" };
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[1], methods[_i], "error:state:domain 'vm3' is running");
  ck_assert_ptr_null (run_restore (2, true, &error));
  unit_assert_error (error, CS_ERROR_STATE);
  two_hosts_position ("A< job.abort");
  ck_assert_ptr_nonnull (
      strstr (error->message, _i == 0 ? "no VM was started" : "are ended again"));
}
END_TEST

START_TEST (running_vms_are_never_undone)
{
  g_autoptr (GError) error = NULL;
  fake_daemon_on (two_hosts.daemons[0], "restore.wait", "hang");
  GThread *thread =
      g_thread_new ("interrupt", two_hosts_interrupt_at, (gpointer) "A< restore.wait");
  ck_assert_ptr_null (run_restore (1, true, &error));
  g_thread_join (thread);
  unit_assert_error (error, CS_ERROR_CANCELLED);
  ck_assert_ptr_nonnull (strstr (error->message, "the VMs run"));
  two_hosts_assert_never ("A< job.abort");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("jobs");
  TCase *tests = tcase_create ("jobs");
  int n_requests = G_N_ELEMENTS (requests);
  tcase_add_checked_fixture (tests, two_hosts_set_up, two_hosts_tear_down);
  tcase_set_timeout (tests, 60);
  tcase_add_test (tests, stages_are_one_table);
  tcase_add_test (tests, one_host_reports);
  tcase_add_loop_test (tests, barrier_holds_for_two_hosts, 0, TWO_HOSTS);
  tcase_add_test (tests, requests_go_to_all_hosts_at_once);
  tcase_add_loop_test (tests, error_of_one_host_aborts_both, 0, n_requests);
  tcase_add_test (tests, hanging_host_is_aborted_with_the_failed_one);
  tcase_add_test (tests, begin_that_fails_aborts_the_other);
  tcase_add_test (tests, missing_vm_breaks_the_barrier);
  tcase_add_loop_test (tests, broken_connection_aborts_the_other, 0,
                       n_requests * (int)TWO_HOSTS_BREAKS);
  tcase_add_loop_test (tests, odd_but_correct_peers_are_understood, 0, 3);
  tcase_add_loop_test (tests, interrupt_cancels, 0, CS_STAGE_SEAL);
  tcase_add_loop_test (tests, interrupt_during_a_request, 0, n_requests);
  tcase_add_test (tests, seal_that_won_the_race_counts);
  tcase_add_loop_test (tests, fault_error_aborts, 0, CS_N_STAGES);
  tcase_add_test (tests, restore_waits_for_all_loads);
  tcase_add_test (tests, restore_without_wait);
  tcase_add_loop_test (tests, restore_that_fails_is_undone, 0, 3);
  tcase_add_test (tests, running_vms_are_never_undone);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
