/* The DSM's engine under random interleavings: several engines, a queue per pair of nodes, pages in
 * fake memory.
 *
 * One writer or many readers at every moment means that a read sees the last write that any node
 * made; that is asserted at each access (it is stronger than sequential consistency). */
#include "config.h"

#include "guest-agent/dsm/engine.h"
#include "tests/unit/unit.h"

#include <string.h>

#define NODES 5
#define PAGES 7
#define LOCKS 3
#define SEEDS 120
#define STEPS 4000

typedef enum
{
  IDLE,
  ACCESS,  /* waits for a page */
  LOCKING, /* waits for a lock */
  HOLDING,
  WAITING, /* at the barrier */
} State;

typedef struct
{
  State state;
  guint32 page;
  bool write, asleep;
  guint lock;
  guint64 passed;
} Program;

typedef struct
{
  CsEngine *engine;
  Program program;
  bool frozen;
  guint64 rounds;
  struct
  {
    bool present, writable;
    guint64 value;
  } memory[PAGES];
} Node;

static Node nodes[NODES];
static GQueue channels[NODES][NODES]; /* GBytes: encoded */
static guint64 truth[PAGES];
static gint holder[LOCKS];
static GRand *chance;
static gint64 now;
static guint64 operations;

static guint
any (guint n)
{
  return g_rand_int_range (chance, 0, n);
}

/* ---- the engine's outside ---- */

static void
on_send (void *data, unsigned to, const CsFrame *frame)
{
  Node *node = data;
  CsFrame copy = *frame;
  copy.sequence = 1;
  guint8 bytes[CS_WIRE_MAX];
  gsize n = cs_wire_encode (&copy, bytes);
  ck_assert_uint_ne (to, node - nodes);
  g_queue_push_tail (&channels[node - nodes][to], g_bytes_new (bytes, n));
}

static void
on_install (void *data, uint32_t page, const uint8_t *content, bool writable)
{
  Node *node = data;
  ck_assert (!node->memory[page].present);
  node->memory[page].present = true;
  node->memory[page].writable = writable;
  node->memory[page].value = 0;
  if (content != NULL)
    memcpy (&node->memory[page].value, content, sizeof (guint64));
  node->program.asleep = false;
}

static void
on_allow (void *data, uint32_t page)
{
  Node *node = data;
  ck_assert (node->memory[page].present && !node->memory[page].writable);
  node->memory[page].writable = true;
  node->program.asleep = false;
}

static void
on_protect (void *data, uint32_t page)
{
  Node *node = data;
  ck_assert (node->memory[page].present && node->memory[page].writable);
  node->memory[page].writable = false;
}

static void
on_drop (void *data, uint32_t page)
{
  Node *node = data;
  ck_assert (node->memory[page].present);
  node->memory[page].present = false;
}

static void
on_read (void *data, uint32_t page, uint8_t *content)
{
  Node *node = data;
  ck_assert (node->memory[page].present && !node->memory[page].writable);
  memset (content, 0, CS_DSM_PAGE);
  memcpy (content, &node->memory[page].value, sizeof (guint64));
}

static void
on_wake (void *data, uint32_t page)
{
  ((Node *)data)->program.asleep = false;
}

static void
on_locked (void *data, unsigned lock)
{
  Node *node = data;
  ck_assert_int_eq (holder[lock], -1);
  ck_assert (node->program.state == LOCKING && node->program.lock == lock);
  holder[lock] = (gint)(node - nodes);
  node->program.state = HOLDING;
}

static void
on_passed (void *data, unsigned barrier)
{
  Node *node = data;
  ck_assert (node->program.state == WAITING);
  node->program.state = IDLE;
  node->rounds++;
  for (guint i = 0; i < NODES; i++)
    ck_assert_uint_le (node->rounds, nodes[i].rounds + 1);
}

static const CsEngineOutside outside = {
  on_send, on_install, on_allow, on_protect, on_drop, on_read, on_wake, on_locked, on_passed,
};

/* ---- programs ---- */

static void
access_page (Node *node)
{
  Program *program = &node->program;
  guint32 page = program->page;
  if (!node->memory[page].present || (program->write && !node->memory[page].writable))
    {
      /* Now and then a fault is reported twice, as by two threads. */
      if (!program->asleep || any (10) == 0)
        {
          program->asleep = true;
          cs_engine_fault (node->engine, page, program->write);
        }
      return;
    }
  ck_assert_uint_eq (node->memory[page].value, truth[page]);
  if (program->write)
    node->memory[page].value = ++truth[page];
  program->state = IDLE;
  operations++;
}

static void
begin (Node *node)
{
  Program *program = &node->program;
  guint what = any (40);
  *program = (Program){ .page = any (PAGES), .write = any (2), .lock = any (LOCKS) };
  if (what == 0)
    {
      program->state = WAITING;
      cs_engine_arrive (node->engine, 3);
    }
  else if (what < 5)
    {
      program->state = LOCKING;
      cs_engine_lock (node->engine, program->lock);
    }
  else
    program->state = ACCESS;
}

static void
step_program (Node *node, bool begins)
{
  switch (node->program.state)
    {
    case IDLE:
      if (begins)
        begin (node);
      break;
    case ACCESS:
      access_page (node);
      break;
    case HOLDING:
      holder[node->program.lock] = -1;
      node->program.state = IDLE;
      ck_assert (cs_engine_unlock (node->engine, node->program.lock));
      break;
    default:
      break;
    }
}

/* ---- the world ---- */

static bool
deliver (guint from, guint to)
{
  g_autoptr (GBytes) bytes = g_queue_pop_head (&channels[from][to]);
  if (bytes == NULL)
    return false;
  CsFrame frame;
  const char *why = NULL;
  gsize n;
  const guint8 *data = g_bytes_get_data (bytes, &n);
  ck_assert_int_eq (cs_wire_parse (data, n, NODES, PAGES, &frame, &why), (long)n);
  ck_assert_msg (cs_engine_receive (nodes[to].engine, from, &frame), "%s",
                 cs_engine_violation (nodes[to].engine));
  return true;
}

static void
tick (guint node)
{
  cs_engine_tick (nodes[node].engine, now += any (40));
}

static bool
is_about_freezing (GBytes *bytes)
{
  guint8 kind = ((const guint8 *)g_bytes_get_data (bytes, NULL))[4];
  return !cs_wire_is_data (kind);
}

static guint
data_in_flight (guint from, guint to)
{
  guint n = 0;
  for (GList *l = channels[from][to].head; l != NULL; l = l->next)
    n += !is_about_freezing (l->data);
  return n;
}

static bool
is_ready (guint node)
{
  if (!cs_engine_is_still (nodes[node].engine))
    return false;
  for (guint i = 0; i < NODES; i++)
    if (!g_queue_is_empty (&channels[node][i]))
      return false;
  return true;
}

/* Whoever is ready has nothing about data in flight, in either direction. */
static void
check_ready (void)
{
  for (guint i = 0; i < NODES; i++)
    if (is_ready (i))
      for (guint j = 0; j < NODES; j++)
        ck_assert_uint_eq (data_in_flight (i, j) + data_in_flight (j, i), 0);
}

static void
step (bool begins, bool freezes)
{
  guint node = any (NODES);
  switch (any (8))
    {
    case 0:
    case 1:
      step_program (&nodes[node], begins);
      break;
    case 2:
      tick (node);
      break;
    case 3:
      if (freezes && any (20) == 0)
        cs_engine_freeze (nodes[node].engine);
      else if (freezes && any (20) == 0)
        cs_engine_thaw (nodes[node].engine);
      break;
    default:
      deliver (node, any (NODES));
    }
}

static void
begin_world (guint seed, guint hold)
{
  chance = g_rand_new_with_seed (seed);
  memset (nodes, 0, sizeof nodes);
  memset (truth, 0, sizeof truth);
  now = 0;
  for (guint i = 0; i < LOCKS; i++)
    holder[i] = -1;
  for (guint i = 0; i < NODES; i++)
    {
      nodes[i].engine = cs_engine_new (i, NODES, PAGES, 1, hold, &outside, &nodes[i]);
      g_autofree char *name = g_strdup_printf ("vm%u", i);
      cs_engine_identify (nodes[i].engine, name, i);
    }
}

static void
end_world (void)
{
  for (guint i = 0; i < NODES; i++)
    {
      cs_engine_free (nodes[i].engine);
      for (guint j = 0; j < NODES; j++)
        g_queue_clear_full (&channels[i][j], (GDestroyNotify)g_bytes_unref);
    }
  g_rand_free (chance);
}

/* Everything that was begun comes to its end, but for barriers at which not all arrive. */
static void
run_out (void)
{
  for (guint i = 0; i < NODES; i++)
    cs_engine_thaw (nodes[i].engine);
  guint left = 1;
  for (guint n = 0; left > 0 && n < 200000; n++)
    {
      step (false, false);
      left = 0;
      for (guint i = 0; i < NODES; i++)
        {
          left += nodes[i].program.state != IDLE && nodes[i].program.state != WAITING;
          left += cs_engine_transfers (nodes[i].engine);
          for (guint j = 0; j < NODES; j++)
            left += g_queue_get_length (&channels[i][j]);
        }
    }
  ck_assert_msg (left == 0, "the world does not come to rest");
}

START_TEST (random_interleavings)
{
  begin_world (_i + 1, _i % 3 == 0 ? 0 : 100);
  for (guint n = 0; n < STEPS; n++)
    {
      step (true, _i % 2 == 1);
      check_ready ();
    }
  ck_assert_uint_gt (operations, 0);
  run_out ();
  end_world ();
}
END_TEST

/* All prepare at different moments, in the middle of everything; all become ready. */
START_TEST (all_freeze)
{
  begin_world (_i + 1000, _i % 2 == 0 ? 0 : 100);
  for (guint round = 0; round < 5; round++)
    {
      for (guint n = 0; n < 500; n++)
        step (true, false);
      guint ready = 0;
      for (guint n = 0; ready < NODES && n < 100000; n++)
        {
          cs_engine_freeze (nodes[any (NODES)].engine);
          step (true, false);
          ready = 0;
          for (guint i = 0; i < NODES; i++)
            ready += is_ready (i);
        }
      ck_assert_uint_eq (ready, NODES);
      check_ready ();
      /* Nothing happens any more: what the programs do with what they have changes no owner. */
      for (guint n = 0; n < 500; n++)
        step (true, false);
      for (guint i = 0; i < NODES; i++)
        ck_assert (is_ready (i));
      for (guint i = 0; i < NODES; i++)
        cs_engine_thaw (nodes[i].engine);
    }
  run_out ();
  end_world ();
}
END_TEST

static void
settle (void)
{
  bool moved = true;
  while (moved)
    {
      moved = false;
      for (guint i = 0; i < NODES; i++)
        for (guint j = 0; j < NODES; j++)
          while (deliver (i, j))
            moved = true;
    }
}

static guint64
dependency (guint node, int which, const char *vm)
{
  CsDsmDependency list[NODES];
  gsize n = cs_engine_dependencies (nodes[node].engine, which, list, NODES);
  for (gsize i = 0; i < n; i++)
    if (strcmp (list[i].vm, vm) == 0)
      return list[i].interval;
  return G_MAXUINT64;
}

static void
access_now (guint node, guint32 page, bool write)
{
  nodes[node].program = (Program){ .state = ACCESS, .page = page, .write = write };
  while (nodes[node].program.state == ACCESS)
    {
      step_program (&nodes[node], false);
      settle ();
    }
}

/* Node 1 writes a page whose home is 0 in its interval 7; node 2 reads it: from 0, but depends
 * on 1. */
START_TEST (last_writer)
{
  begin_world (1, 0);
  settle ();
  cs_engine_identify (nodes[1].engine, "vm1", 7);
  access_now (1, 0, true);
  ck_assert_uint_eq (dependency (0, CS_DSM_DIRECT, "vm1"), 7);
  ck_assert_uint_eq (dependency (1, CS_DSM_DIRECT, "vm0"), 0);
  access_now (2, 0, false);
  ck_assert_uint_eq (dependency (2, CS_DSM_DIRECT, "vm1"), 7);
  ck_assert_uint_eq (dependency (2, CS_DSM_DIRECT, "vm0"), 0);
  ck_assert_uint_eq (dependency (1, CS_DSM_DIRECT, "vm2"), G_MAXUINT64);
  /* 3 deals with 2's page only: 1 is in its history, but not direct. */
  access_now (3, 2, false);
  ck_assert_uint_eq (dependency (3, CS_DSM_DIRECT, "vm1"), G_MAXUINT64);
  ck_assert_uint_eq (dependency (3, CS_DSM_MERGED, "vm1"), 7);
  end_world ();
}
END_TEST

START_TEST (lock_and_barrier)
{
  begin_world (1, 0);
  settle ();
  for (guint i = 0; i < NODES; i++)
    cs_engine_identify (nodes[i].engine, NULL, 10 + i);
  for (guint i = 1; i <= 3; i += 2)
    {
      nodes[i].program = (Program){ .state = LOCKING, .lock = 0 };
      cs_engine_lock (nodes[i].engine, 0);
      settle ();
      step_program (&nodes[i], false);
      settle ();
    }
  ck_assert_uint_eq (dependency (3, CS_DSM_DIRECT, "vm1"), 11);
  ck_assert_uint_eq (dependency (1, CS_DSM_DIRECT, "vm3"), G_MAXUINT64);
  for (guint i = 0; i < NODES; i++)
    {
      nodes[i].program.state = WAITING;
      cs_engine_arrive (nodes[i].engine, 3);
    }
  settle ();
  for (guint i = 0; i < NODES; i++)
    for (guint j = 0; j < NODES; j++)
      {
        g_autofree char *name = g_strdup_printf ("vm%u", j);
        ck_assert_uint_eq (dependency (i, CS_DSM_DIRECT, name), i == j ? G_MAXUINT64 : 10 + j);
      }
  end_world ();
}
END_TEST

/* One node alone prepares: the others go on with each other, and with it when it resumes. */
START_TEST (one_freezes)
{
  begin_world (1, 0);
  settle ();
  access_now (1, 2, true);
  cs_engine_freeze (nodes[1].engine);
  settle ();
  ck_assert (is_ready (1));
  access_now (3, 4, true);
  nodes[3].program = (Program){ .state = ACCESS, .page = 2 };
  step_program (&nodes[3], false);
  settle ();
  ck_assert (nodes[3].program.state == ACCESS);
  ck_assert (is_ready (1));
  cs_engine_thaw (nodes[1].engine);
  settle ();
  step_program (&nodes[3], false);
  ck_assert (nodes[3].program.state == IDLE);
  end_world ();
}
END_TEST

/* What a peer may not say now is refused, and nothing else happens. */
START_TEST (violations)
{
  static const struct
  {
    guint8 kind;
    guint32 id;
  } cases[] = {
    { CS_WIRE_GRANT, 1 },      { CS_WIRE_RECALL, 1 },   { CS_WIRE_RECALL, 2 },
    { CS_WIRE_INVALIDATE, 1 }, { CS_WIRE_RECALLED, 0 }, { CS_WIRE_INVALIDATED, 0 },
    { CS_WIRE_READ, 1 },       { CS_WIRE_WRITE, 2 },    { CS_WIRE_LOCK_GIVE, 1 },
    { CS_WIRE_LOCK_FREE, 0 },  { CS_WIRE_LOCK_ASK, 1 }, { CS_WIRE_PASS, 1 },
    { CS_WIRE_ARRIVE, 1 },     { CS_WIRE_HELLO, 0 },    { CS_WIRE_INVALIDATED, 2 },
  };
  begin_world (1, 0);
  settle ();
  CsFrame frame = { .kind = cases[_i].kind, .id = cases[_i].id, .passed = NODES };
  frame.writer = CS_WIRE_NOBODY;
  ck_assert (!cs_engine_receive (nodes[0].engine, 1, &frame));
  ck_assert (cs_engine_violation (nodes[0].engine)[0] != '\0');
  end_world ();
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("dsm-engine");
  TCase *tcase = tcase_create ("dsm-engine");
  tcase_set_timeout (tcase, 600);
  tcase_add_loop_test (tcase, random_interleavings, 0, SEEDS);
  tcase_add_loop_test (tcase, all_freeze, 0, SEEDS / 3);
  tcase_add_test (tcase, last_writer);
  tcase_add_test (tcase, lock_and_barrier);
  tcase_add_test (tcase, one_freezes);
  tcase_add_loop_test (tcase, violations, 0, 15);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
