#include "config.h"

#include "tests/unit/unit.h"
#include "tests/unit/victim.h"
#include "vmm/pause-priority.h"

#include <sched.h>

enum
{
  RAISED = SCHED_RR | SCHED_RESET_ON_FORK,
  SELF = 0,
};

static GArray *
vcpus_new (pid_t thread)
{
  GArray *vcpus = g_array_new (FALSE, FALSE, sizeof (pid_t));
  if (thread != 0)
    g_array_append_val (vcpus, thread);
  return vcpus;
}

START_TEST (raised_and_dropped)
{
  pid_t qemu = victim_start (victim_wait);
  g_autoptr (GArray) vcpus = vcpus_new (0);
  cs_pause_priority_raise (qemu, vcpus);
  ck_assert_int_eq (sched_getscheduler (SELF), RAISED);
  ck_assert_int_eq (sched_getscheduler (qemu), RAISED);
  cs_pause_priority_drop (qemu);
  ck_assert_int_eq (sched_getscheduler (SELF), SCHED_OTHER);
  ck_assert_int_eq (sched_getscheduler (qemu), SCHED_OTHER);
  victim_end (qemu);
}
END_TEST

START_TEST (vcpus_are_left_alone)
{
  pid_t qemu = victim_start (victim_wait);
  g_autoptr (GArray) vcpus = vcpus_new (qemu);
  cs_pause_priority_raise (qemu, vcpus);
  ck_assert_int_eq (sched_getscheduler (SELF), RAISED);
  ck_assert_int_eq (sched_getscheduler (qemu), SCHED_OTHER);
  cs_pause_priority_drop (qemu);
  victim_end (qemu);
}
END_TEST

START_TEST (unknown_vcpus)
{
  pid_t qemu = victim_start (victim_wait);
  cs_pause_priority_raise (qemu, NULL);
  ck_assert_int_eq (sched_getscheduler (SELF), RAISED);
  ck_assert_int_eq (sched_getscheduler (qemu), SCHED_OTHER);
  cs_pause_priority_drop (qemu);
  ck_assert_int_eq (sched_getscheduler (SELF), SCHED_OTHER);
  victim_end (qemu);
}
END_TEST

/* Somebody has given the thread a policy of its own (libvirt's emulatorsched). */
START_TEST (own_policy)
{
  static const int policies[] = { SCHED_BATCH, SCHED_FIFO };
  int policy = policies[_i];
  struct sched_param parameters = { .sched_priority = policy == SCHED_FIFO ? 7 : 0 };
  pid_t qemu = victim_start (victim_wait);
  g_autoptr (GArray) vcpus = vcpus_new (0);
  ck_assert_int_eq (sched_setscheduler (qemu, policy, &parameters), 0);
  cs_pause_priority_raise (qemu, vcpus);
  ck_assert_int_eq (sched_getscheduler (qemu), policy);
  cs_pause_priority_drop (qemu);
  ck_assert_int_eq (sched_getscheduler (qemu), policy);
  victim_end (qemu);
}
END_TEST

START_TEST (ended)
{
  pid_t qemu = victim_start (victim_wait);
  g_autoptr (GArray) vcpus = vcpus_new (0);
  victim_end (qemu);
  cs_pause_priority_raise (qemu, vcpus);
  cs_pause_priority_drop (qemu);
  ck_assert_int_eq (sched_getscheduler (SELF), SCHED_OTHER);
}
END_TEST

int
main (void)
{
  struct sched_param parameters = { .sched_priority = 1 };
  if (sched_setscheduler (SELF, SCHED_RR, &parameters) < 0)
    {
      g_printerr ("realtime scheduling is not allowed here\n");
      return 77;
    }
  parameters.sched_priority = 0;
  sched_setscheduler (SELF, SCHED_OTHER, &parameters);
  Suite *suite = suite_create ("pause-priority");
  TCase *priority = tcase_create ("priority");
  tcase_add_test (priority, raised_and_dropped);
  tcase_add_test (priority, vcpus_are_left_alone);
  tcase_add_test (priority, unknown_vcpus);
  tcase_add_loop_test (priority, own_policy, 0, 2);
  tcase_add_test (priority, ended);
  suite_add_tcase (suite, priority);
  return unit_run (suite);
}
