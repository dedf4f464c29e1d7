/* Quiescing a DSM under load: when a node is ready, nothing about data is in flight to or from it.
 */
#include "config.h"

#include "tests/dsm/load.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define NODES 4
#define ROUNDS 6
#define OPERATIONS 100000
#define READY_MS 300000

typedef struct
{
  guint meetings, stop;
  guint progress[NODES];
  CsDsmStats first[NODES], second[NODES];
  guint64 interval[NODES][NODES];
  guint violations;
  char what[200];
} World;

typedef struct
{
  CsDsm *dsm;
  guint node;
  World *world;
} Self;

static void
violation (World *world, const char *what, guint a, guint b)
{
  if (__atomic_fetch_add (&world->violations, 1, __ATOMIC_SEQ_CST) == 0)
    g_snprintf (world->what, sizeof world->what, "%s (nodes %u, %u)", what, a, b);
}

/* The load, until the test has seen enough; then all stop at the same count of operations. */
static void *
work (void *data)
{
  Self *self = data;
  World *world = self->world;
  guint8 *memory = cs_dsm_memory (self->dsm);
  guint n = 0;
  for (; n < OPERATIONS && !__atomic_load_n (&world->stop, __ATOMIC_SEQ_CST); n++)
    {
      volatile guint64 *at =
          (volatile guint64 *)(memory + (n * 7 + self->node) % LOAD_PAGES * CS_DSM_PAGE);
      if (n % 3 == 0)
        __atomic_fetch_add (at, 1, __ATOMIC_SEQ_CST);
      else
        (void)*at;
      if (n % 50 == 0 && (cs_dsm_lock (self->dsm, 1) < 0 || cs_dsm_unlock (self->dsm, 1) < 0))
        violation (world, "a lock failed", self->node, n);
      __atomic_store_n (&world->progress[self->node], n + 1, __ATOMIC_SEQ_CST);
    }
  return NULL;
}

/* A thread may run into a page that is not here any time: it waits, and nothing is sent. */
static bool
is_same (CsDsmStats first, CsDsmStats second)
{
  first.read_faults = second.read_faults = 0;
  first.write_faults = second.write_faults = 0;
  return memcmp (&first, &second, sizeof first) == 0;
}

/* All are ready: what each sent the other received, and nothing moves. */
static void
check_channels (const Self *self)
{
  World *world = self->world;
  const CsDsmStats *mine = &world->first[self->node];
  if (mine->transfers != 0)
    violation (world, "a transfer is under way", self->node, self->node);
  if (!is_same (*mine, world->second[self->node]))
    violation (world, "something moved after ready", self->node, self->node);
  for (guint i = 0; i < NODES; i++)
    if (i != self->node && mine->sent[i] != world->first[i].received[self->node])
      violation (world, "a frame is in flight", self->node, i);
  for (guint i = 0; i < NODES; i++)
    if (mine->sent[i] != mine->acknowledged[i])
      violation (world, "a frame is not acknowledged", self->node, i);
}

/* Who was ready early has answered the others since: that these have it may not be known yet. */
static void
wait_acknowledged (const Self *self)
{
  gint64 end = g_get_monotonic_time () + READY_MS * 1000;
  bool all = false;
  while (!all && g_get_monotonic_time () < end)
    {
      CsDsmStats stats;
      cs_dsm_stats (self->dsm, &stats);
      all = memcmp (stats.sent, stats.acknowledged, sizeof stats.sent) == 0;
      if (!all)
        g_usleep (1000);
    }
}

static void
round_of_all (const Self *self, guint round)
{
  World *world = self->world;
  guint before = __atomic_load_n (&world->progress[self->node], __ATOMIC_SEQ_CST);
  while (__atomic_load_n (&world->progress[self->node], __ATOMIC_SEQ_CST) < before + 60)
    g_usleep (1000);
  nodes_meet (&world->meetings, NODES);
  /* Not all at once. */
  g_usleep (self->node * 1000);
  if (cs_dsm_prepare (self->dsm) < 0 || cs_dsm_wait_ready (self->dsm, READY_MS) < 0)
    violation (world, "not ready", self->node, round);
  nodes_meet (&world->meetings, NODES);
  wait_acknowledged (self);
  nodes_meet (&world->meetings, NODES);
  cs_dsm_stats (self->dsm, &world->first[self->node]);
  g_usleep (20000);
  cs_dsm_stats (self->dsm, &world->second[self->node]);
  nodes_meet (&world->meetings, NODES);
  check_channels (self);
  nodes_meet (&world->meetings, NODES);
  if (cs_dsm_resume (self->dsm, NULL, round + 1) < 0)
    violation (world, "cannot resume", self->node, round);
}

static int
run_all (CsDsm *dsm, guint node, gpointer data)
{
  Self self = { dsm, node, data };
  pthread_t thread;
  if (pthread_create (&thread, NULL, work, &self) != 0)
    return 1;
  for (guint round = 0; round < ROUNDS; round++)
    round_of_all (&self, round);
  nodes_meet (&self.world->meetings, NODES);
  __atomic_store_n (&self.world->stop, 1, __ATOMIC_SEQ_CST);
  pthread_join (thread, NULL);
  if (cs_dsm_barrier (dsm, 0) < 0)
    return 2;
  CsDsmDependency dependencies[NODES];
  gsize n = cs_dsm_dependencies (dsm, CS_DSM_DIRECT, dependencies, NODES);
  for (gsize i = 0; i < n; i++)
    self.world->interval[node][dependencies[i].vm[2] - '0'] = dependencies[i].interval;
  return 0;
}

START_TEST (all_prepare)
{
  World *world = nodes_share (sizeof *world);
  const Nodes nodes = { .nodes = NODES,
                        .size = LOAD_PAGES * CS_DSM_PAGE,
                        .home_block = 1,
                        .body = run_all,
                        .data = world };
  nodes_run (&nodes);
  ck_assert_msg (world->violations == 0, "%s", world->what);
  for (guint i = 0; i < NODES; i++)
    for (guint j = 0; j < NODES; j++)
      ck_assert_uint_eq (world->interval[i][j], i == j ? 0 : ROUNDS);
}
END_TEST

/* Node 1 alone prepares; nothing comes to it, the others go on, and it goes on after them. */
static int
run_one (CsDsm *dsm, guint node, gpointer data)
{
  Self self = { dsm, node, data };
  World *world = self.world;
  pthread_t thread;
  if (pthread_create (&thread, NULL, work, &self) != 0)
    return 1;
  if (node == 1)
    {
      while (__atomic_load_n (&world->progress[1], __ATOMIC_SEQ_CST) < 60)
        g_usleep (1000);
      if (cs_dsm_prepare (dsm) < 0 || cs_dsm_wait_ready (dsm, READY_MS) < 0)
        violation (world, "not ready", 1, 1);
      cs_dsm_stats (dsm, &world->first[1]);
      g_usleep (100000);
      cs_dsm_stats (dsm, &world->second[1]);
      if (!is_same (world->first[1], world->second[1]))
        violation (world, "something moved after ready", 1, 1);
      guint before = world->progress[1];
      cs_dsm_resume (dsm, NULL, 1);
      while (__atomic_load_n (&world->progress[1], __ATOMIC_SEQ_CST) < before + 60)
        g_usleep (1000);
      __atomic_store_n (&world->stop, 1, __ATOMIC_SEQ_CST);
    }
  pthread_join (thread, NULL);
  return 0;
}

START_TEST (one_prepares)
{
  World *world = nodes_share (sizeof *world);
  const Nodes nodes = { .nodes = NODES,
                        .size = LOAD_PAGES * CS_DSM_PAGE,
                        .home_block = 1,
                        .body = run_one,
                        .data = world };
  nodes_run (&nodes);
  ck_assert_msg (world->violations == 0, "%s", world->what);
}
END_TEST

START_TEST (not_prepared)
{
  char why[300];
  CsDsmOptions options;
  ck_assert_int_eq (cs_dsm_options (&options), 0);
  options.node = 0;
  options.nodes = 1;
  CsDsm *dsm = cs_dsm_open (&options, why, sizeof why);
  ck_assert_msg (dsm != NULL, "%s", why);
  ck_assert_int_eq (cs_dsm_wait_ready (dsm, 0), -1);
  ck_assert_int_eq (errno, EINVAL);
  ck_assert_int_eq (cs_dsm_prepare (dsm), 0);
  ck_assert_int_eq (cs_dsm_wait_ready (dsm, READY_MS), 0);
  ck_assert_int_eq (cs_dsm_resume (dsm, "vm0", 3), 0);
  ck_assert_int_eq (cs_dsm_wait_ready (dsm, 0), -1);
  ck_assert_int_eq (cs_dsm_close (dsm), 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("dsm-quiesce");
  TCase *tcase = tcase_create ("dsm-quiesce");
  tcase_set_timeout (tcase, 900);
  tcase_add_test (tcase, all_prepare);
  tcase_add_test (tcase, one_prepares);
  tcase_add_test (tcase, not_prepared);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
