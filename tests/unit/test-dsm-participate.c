/* The DSM as a participant, against an agent that is the test. */
#include "config.h"

#include "tests/dsm/nodes.h"
#include "tests/dsm/participant-double.h"
#include "tests/unit/unit.h"

/* Node 1 only serves; it answers what node 0 prepares. */
static int
run (CsDsm *dsm, guint node, gpointer data)
{
  volatile guint8 *memory = cs_dsm_memory (dsm);
  guint *served = data;
  if (node == 1)
    {
      memory[CS_DSM_PAGE] = 1;
      __atomic_store_n (served, 1, __ATOMIC_SEQ_CST);
      return 0;
    }
  while (__atomic_load_n (served, __ATOMIC_SEQ_CST) == 0)
    g_usleep (1000);
  /* The agent comes later than the program. */
  if (cs_dsm_participate (dsm, NULL, "test") < 0)
    return 20;
  g_usleep (50000);
  __atomic_store_n (&the_double.there, 1, __ATOMIC_SEQ_CST);
  double_ask (DOUBLE_PREPARE, 600000);
  if (double_wait () != DOUBLE_READY || cs_dsm_wait_ready (dsm, 0) < 0)
    return 21;
  double_ask (DOUBLE_RESUME, 4);
  if (double_wait () != DOUBLE_RESUMED || cs_dsm_wait_ready (dsm, 0) == 0)
    return 22;
  if (memory[CS_DSM_PAGE] != 1)
    return 23;
  double_ask (DOUBLE_DEPENDENCIES, 0);
  if (double_wait () != DOUBLE_TOLD || the_double.n != 1
      || g_strcmp0 (the_double.dependencies[0].vm, "vm1") != 0)
    return 24;
  /* The agent dies between prepare and resume: the node goes on by itself. */
  double_ask (DOUBLE_PREPARE, 600000);
  if (double_wait () != DOUBLE_READY)
    return 25;
  double_ask (DOUBLE_GOES, 0);
  memory[CS_DSM_PAGE] = 2;
  return cs_dsm_lock (dsm, 1) < 0 || cs_dsm_unlock (dsm, 1) < 0 ? 26 : 0;
}

START_TEST (participates)
{
  const Nodes nodes = {
    .nodes = 2, .size = 2 * CS_DSM_PAGE, .body = run, .data = nodes_share (sizeof (guint))
  };
  nodes_run (&nodes);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("dsm-participate");
  TCase *tcase = tcase_create ("dsm-participate");
  tcase_set_timeout (tcase, 600);
  tcase_add_test (tcase, participates);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
