#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "tests/unit/unit.h"
#include "tests/unit/victim.h"
#include "vmm/inject.h"
#include "vmm/linux-uapi.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ROUNDS 10000

static const unsigned long no_arguments[6];

static long
inject_getpid (pid_t pid)
{
  g_autoptr (GError) error = NULL;
  long result = 0;
  bool good = cs_inject_syscall (pid, SYS_getpid, no_arguments, &result, &error);
  unit_assert_no_error (error);
  ck_assert (good);
  return result;
}

/* A line of /proc/PID/status. */
static char *
status_of (pid_t pid, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", pid);
  g_autofree char *text = NULL;
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  const char *line = strstr (text, name);
  ck_assert_ptr_nonnull (line);
  return g_strndup (line, strcspn (line, "\n"));
}

static void
assert_free (pid_t pid)
{
  g_autofree char *tracer = status_of (pid, "TracerPid:");
  ck_assert_str_eq (tracer, "TracerPid:\t0");
}

static guint
count_descriptors (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  guint count = 0;
  while (g_dir_read_name (directory) != NULL)
    count++;
  return count;
}

START_TEST (the_call_runs_in_the_target)
{
  pid_t pid = victim_start (victim_wait);
  ck_assert_int_eq (inject_getpid (pid), pid);
  assert_free (pid);
  victim_end (pid);
}
END_TEST

START_TEST (all_arguments_and_errors_pass)
{
  g_autoptr (GError) error = NULL;
  pid_t pid = victim_start (victim_wait);
  void *address = (void *)0x20000000;
  /* Flags MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, descriptor -1. */
  const unsigned long map[6] = { (unsigned long)address, 4096, 3, 0x100022, (unsigned long)-1, 0 };
  long result;
  ck_assert (cs_inject_syscall (pid, SYS_mmap, map, &result, &error));
  ck_assert_ptr_eq ((void *)result, address);
  ck_assert (cs_inject_syscall (pid, SYS_mmap, map, &result, &error));
  ck_assert_int_eq (result, -EEXIST);
  ck_assert (!cs_inject_close (pid, 999, &error));
  unit_assert_error (error, CS_ERROR_IO);
  victim_end (pid);
}
END_TEST

/* What the threads of the busy victim found wrong must stay 0: its waits are interrupted by its own
 * timer's signals only, end not before their time, and its registers keep their values. */
START_TEST (a_busy_target_notices_nothing)
{
  VictimReport *report = victim_report_new ();
  pid_t pid = victim_start_busy (report);
  for (guint i = 0; i < ROUNDS; i++)
    ck_assert_int_eq (inject_getpid (pid), pid);
  assert_free (pid);
  ck_assert (victim_is_alive (pid));
  ck_assert_msg (report->wrong == 0, "the target saw %u wrong results, the first: %s",
                 report->wrong, report->text);
  ck_assert_uint_gt (report->signals, 0);
  ck_assert_uint_gt (report->waits, 0);
  victim_end (pid);
}
END_TEST

START_TEST (a_userfaultfd_comes_over)
{
  g_autoptr (GError) error = NULL;
  pid_t pid = victim_start (victim_wait);
  guint before = count_descriptors (pid);
  int keep = -1;
  cs_autofd int first = cs_inject_userfaultfd (pid, NULL, UFFD_FEATURE_WP_ASYNC, NULL, &error);
  unit_assert_no_error (error);
  ck_assert_int_ge (first, 0);
  ck_assert_uint_eq (count_descriptors (pid), before);
  cs_autofd int second = cs_inject_userfaultfd (pid, NULL, UFFD_FEATURE_WP_ASYNC, &keep, &error);
  ck_assert_int_ge (second, 0);
  ck_assert_uint_eq (count_descriptors (pid), before + 1);
  ck_assert (cs_inject_close (pid, keep, &error));
  ck_assert_uint_eq (count_descriptors (pid), before);
  victim_end (pid);
}
END_TEST

START_TEST (unknown_features_leave_nothing_behind)
{
  g_autoptr (GError) error = NULL;
  pid_t pid = victim_start (victim_wait);
  guint before = count_descriptors (pid);
  ck_assert_int_eq (cs_inject_userfaultfd (pid, NULL, G_GUINT64_CONSTANT (1) << 60, NULL, &error),
                    -1);
  unit_assert_error (error, CS_ERROR_UNSUPPORTED);
  ck_assert_uint_eq (count_descriptors (pid), before);
  victim_end (pid);
}
END_TEST

START_TEST (an_unprivileged_target_needs_a_monitor)
{
  g_autoptr (GError) error = NULL;
  if (victim_may_make_userfaultfd ())
    return;
  pid_t pid = victim_start (victim_wait_as_nobody);
  ck_assert_int_eq (cs_inject_userfaultfd (pid, NULL, UFFD_FEATURE_WP_ASYNC, NULL, &error), -1);
  unit_assert_error (error, CS_ERROR_PERMISSION);
  ck_assert_int_eq (inject_getpid (pid), pid);
  victim_end (pid);
}
END_TEST

START_TEST (a_stopped_target_stays_stopped)
{
  pid_t pid = victim_start (victim_wait);
  victim_wait_for_state (pid, 'S');
  kill (pid, SIGSTOP);
  ck_assert_int_eq (waitpid (pid, NULL, WUNTRACED), pid);
  for (guint i = 0; i < 100; i++)
    ck_assert_int_eq (inject_getpid (pid), pid);
  assert_free (pid);
  victim_wait_for_state (pid, 'T');
  kill (pid, SIGCONT);
  victim_wait_for_state (pid, 'S');
  ck_assert_int_eq (inject_getpid (pid), pid);
  victim_end (pid);
}
END_TEST

/* SIGSTOP and SIGCONT all the time, from another process. */
START_TEST (stopping_and_continuing_meanwhile)
{
  pid_t pid = victim_start (victim_wait);
  victim_wait_for_state (pid, 'S');
  pid_t nuisance = victim_start_nuisance (pid);
  for (guint i = 0; i < 1000; i++)
    ck_assert_int_eq (inject_getpid (pid), pid);
  victim_end (nuisance);
  kill (pid, SIGCONT);
  victim_wait_for_state (pid, 'S');
  assert_free (pid);
  victim_end (pid);
}
END_TEST

START_TEST (a_traced_target_is_busy)
{
  g_autoptr (GError) error = NULL;
  long result;
  pid_t pid = victim_start (victim_wait);
  pid_t tracer = victim_start_tracer (pid);
  ck_assert (!cs_inject_syscall (pid, SYS_getpid, no_arguments, &result, &error));
  unit_assert_error (error, CS_ERROR_BUSY);
  victim_end (tracer);
  ck_assert_int_eq (inject_getpid (pid), pid);
  victim_end (pid);
}
END_TEST

START_TEST (a_target_that_never_waits_meets_the_deadline)
{
  g_autoptr (GError) error = NULL;
  long result;
  pid_t pid = victim_start (victim_spin);
  ck_assert (!cs_inject_syscall (pid, SYS_getpid, no_arguments, &result, &error));
  unit_assert_error (error, CS_ERROR_DEADLINE);
  assert_free (pid);
  victim_wait_for_state (pid, 'R');
  victim_end (pid);
}
END_TEST

START_TEST (a_call_that_blocks_is_broken_off)
{
  g_autoptr (GError) error = NULL;
  long result = 0;
  pid_t pid = victim_start (victim_wait);
  ck_assert (!cs_inject_syscall (pid, SYS_pause, no_arguments, &result, &error));
  unit_assert_error (error, CS_ERROR_DEADLINE);
  assert_free (pid);
  victim_wait_for_state (pid, 'S');
  ck_assert_int_eq (inject_getpid (pid), pid);
  victim_end (pid);
}
END_TEST

START_TEST (a_dead_target_is_gone)
{
  g_autoptr (GError) error = NULL;
  long result;
  pid_t pid = victim_start (victim_wait);
  kill (pid, SIGKILL);
  siginfo_t info;
  ck_assert_int_eq (waitid (P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
  ck_assert (!cs_inject_syscall (pid, SYS_getpid, no_arguments, &result, &error));
  unit_assert_error (error, CS_ERROR_GONE);
  g_clear_error (&error);
  ck_assert_int_eq (waitpid (pid, NULL, 0), pid);
  ck_assert (!cs_inject_syscall (pid, SYS_getpid, no_arguments, &result, &error));
  unit_assert_error (error, CS_ERROR_GONE);
}
END_TEST

/* Killed at any moment: GONE, and its end is still there for its parent, us, to collect. */
START_TEST (dying_in_between)
{
  for (guint i = 0; i < 30; i++)
    {
      g_autoptr (GError) error = NULL;
      long result;
      pid_t pid = victim_start (victim_wait);
      pid_t killer = victim_start_killer (pid, 2000 + i * 37);
      while (cs_inject_syscall (pid, SYS_getpid, no_arguments, &result, &error))
        ck_assert_int_eq (result, pid);
      unit_assert_error (error, CS_ERROR_GONE);
      int status;
      ck_assert_int_eq (waitpid (pid, &status, 0), pid);
      ck_assert (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
      waitpid (killer, NULL, 0);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("inject");
  TCase *tests = tcase_create ("inject");
  tcase_set_timeout (tests, 120);
  tcase_add_test (tests, the_call_runs_in_the_target);
  tcase_add_test (tests, all_arguments_and_errors_pass);
  tcase_add_test (tests, a_busy_target_notices_nothing);
  tcase_add_test (tests, a_userfaultfd_comes_over);
  tcase_add_test (tests, unknown_features_leave_nothing_behind);
  tcase_add_test (tests, an_unprivileged_target_needs_a_monitor);
  tcase_add_test (tests, a_stopped_target_stays_stopped);
  tcase_add_test (tests, stopping_and_continuing_meanwhile);
  tcase_add_test (tests, a_traced_target_is_busy);
  tcase_add_test (tests, a_target_that_never_waits_meets_the_deadline);
  tcase_add_test (tests, a_call_that_blocks_is_broken_off);
  tcase_add_test (tests, a_dead_target_is_gone);
  tcase_add_test (tests, dying_in_between);
  suite_add_tcase (suite, tests);
  if (!victim_tracing_works ())
    return 77;
  return unit_run (suite);
}
