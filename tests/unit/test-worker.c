#include "config.h"

#include "common/error.h"
#include "tests/unit/unit.h"
#include "vmm/worker.h"

typedef struct
{
  GString *trace;
  char letter;
  bool result;
} Step;

static bool
take_step (gpointer data, GError **error)
{
  Step *step = data;
  g_string_append_c (step->trace, step->letter);
  if (!step->result)
    g_set_error (error, CS_ERROR, CS_ERROR_BUSY, "step '%c'", step->letter);
  return step->result;
}

START_TEST (tasks_run_in_order_and_report)
{
  g_autoptr (GString) trace = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  Step a = { trace, 'a', true }, b = { trace, 'b', false }, c = { trace, 'c', true };
  CsWorker *worker = cs_worker_new ("test");
  CsTask *first = cs_worker_post (worker, take_step, &a);
  CsTask *second = cs_worker_post (worker, take_step, &b);
  CsTask *third = cs_worker_post (worker, take_step, &c);
  ck_assert (cs_task_wait (third, NULL));
  ck_assert (!cs_task_wait (second, &error));
  unit_assert_error (error, CS_ERROR_BUSY);
  ck_assert (cs_task_wait (first, NULL));
  ck_assert_str_eq (trace->str, "abc");
  cs_worker_free (worker);
}
END_TEST

START_TEST (freeing_finishes_what_was_posted)
{
  g_autoptr (GString) trace = g_string_new (NULL);
  Step a = { trace, 'a', true };
  CsWorker *worker = cs_worker_new ("test");
  CsTask *task = cs_worker_post (worker, take_step, &a);
  cs_worker_free (worker);
  ck_assert_str_eq (trace->str, "a");
  ck_assert (cs_task_wait (task, NULL));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("worker");
  TCase *tests = tcase_create ("worker");
  tcase_add_test (tests, tasks_run_in_order_and_report);
  tcase_add_test (tests, freeing_finishes_what_was_posted);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
