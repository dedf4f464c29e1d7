/* What the cut probe sees when one of its nodes is set back. */
#include "config.h"

#include "guest-agent/probe/causality.h"
#include "tests/unit/unit.h"

#include <string.h>

#define NODES 3

/* The rest of the probe, as far as causality.c needs it. */
uint64_t probe_run;
static guint violations;
static char violation[300];
static uint64_t random_count;

void
probe_violation (const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  if (violations++ == 0)
    g_vsnprintf (violation, sizeof violation, format, arguments);
  va_end (arguments);
}

uint64_t
probe_random (uint64_t *state)
{
  return *state = probe_mix (*state, random_count++);
}

static struct causality nodes[NODES];

/* What a snapshot of a node would hold. */
struct saved
{
  struct causality node;
  uint64_t *rings[1 + 2 * NODES];
};

static struct causality_ring *
ring_at (struct causality *node, guint index)
{
  return index == 0 ? &node->events : &node->peers[(index - 1) / 2].channels[(index - 1) % 2].sent;
}

static void
save (struct saved *saved, guint index)
{
  saved->node = nodes[index];
  for (guint i = 0; i < G_N_ELEMENTS (saved->rings); i++)
    {
      const struct causality_ring *ring = ring_at (&nodes[index], i);
      saved->rings[i] = g_memdup2 (ring->hashes, ring->size * sizeof *ring->hashes);
    }
}

static void
restore (struct saved *saved, guint index)
{
  nodes[index] = saved->node;
  for (guint i = 0; i < G_N_ELEMENTS (saved->rings); i++)
    {
      struct causality_ring *ring = ring_at (&nodes[index], i);
      if (saved->rings[i])
        memcpy (ring->hashes, saved->rings[i], ring->size * sizeof *ring->hashes);
      g_free (saved->rings[i]);
    }
}

static void
transfer (guint from, guint to, enum message_protocol protocol)
{
  struct message message;
  probe_run = 100 + from;
  causality_send (&nodes[from], to, protocol, &message);
  probe_run = 100 + to;
  causality_receive (&nodes[to], from, protocol, &message);
}

static void
chatter (guint rounds)
{
  for (guint round = 0; round < rounds; round++)
    for (guint from = 0; from < NODES; from++)
      for (guint to = 0; to < NODES; to++)
        for (guint protocol = 0; protocol < 2 && from != to; protocol++)
          transfer (from, to, (enum message_protocol)protocol);
}

static void
set_up (void)
{
  violations = 0;
  for (guint i = 0; i < NODES; i++)
    {
      memset (&nodes[i], 0, sizeof nodes[i]);
      probe_run = 100 + i;
      causality_init (&nodes[i], i, NODES);
    }
}

static void
tear_down (void)
{
  for (guint i = 0; i < NODES; i++)
    for (guint j = 0; j < 1 + 2 * NODES; j++)
      free (ring_at (&nodes[i], j)->hashes);
}

#define assert_violation(text)                                                                     \
  do                                                                                               \
    {                                                                                              \
      ck_assert_msg (violations > 0, "nothing was seen");                                          \
      ck_assert_msg (strstr (violation, (text)), "seen: %s", violation);                           \
    }                                                                                              \
  while (0)

START_TEST (long_chatter_is_clean)
{
  chatter (20000); /* more than the rings remember */
  ck_assert_msg (violations == 0, "seen: %s", violation);
}
END_TEST

START_TEST (all_set_back_together_is_clean)
{
  struct saved saved[NODES];
  chatter (10);
  for (guint i = 0; i < NODES; i++)
    save (&saved[i], i);
  chatter (10);
  for (guint i = 0; i < NODES; i++)
    restore (&saved[i], i);
  chatter (10);
  ck_assert_msg (violations == 0, "seen: %s", violation);
}
END_TEST

START_TEST (lost_datagrams_are_clean)
{
  struct message message;
  chatter (3);
  probe_run = 100;
  causality_send (&nodes[0], 1, MESSAGE_UDP, &message);
  chatter (3);
  ck_assert_uint_eq (violations, 0);
  ck_assert_uint_eq (nodes[1].peers[0].channels[MESSAGE_UDP].lost, 1);
}
END_TEST

/* Node 0 is set back; the first message from a node that has heard of it since shows it. */
START_TEST (one_set_back_sees_it)
{
  struct saved saved;
  chatter (10);
  save (&saved, 0);
  transfer (0, 1, MESSAGE_UDP);
  restore (&saved, 0);
  transfer (1, 0, MESSAGE_UDP);
  assert_violation ("orphan: node 1 received udp message 11, but this node sent only 10");
}
END_TEST

/* The same over a third node, which never had the orphan message itself. */
START_TEST (one_set_back_sees_it_over_a_third)
{
  struct saved saved;
  chatter (10);
  save (&saved, 0);
  transfer (0, 1, MESSAGE_UDP);
  transfer (1, 2, MESSAGE_UDP);
  restore (&saved, 0);
  transfer (2, 0, MESSAGE_UDP);
  assert_violation ("orphan: node 2 knows event");
}
END_TEST

/* Node 0 has overtaken its old self: the numbers fit again, the histories do not. */
START_TEST (set_back_and_gone_on_is_seen)
{
  struct saved saved;
  chatter (10);
  save (&saved, 0);
  transfer (0, 1, MESSAGE_UDP);
  transfer (1, 2, MESSAGE_UDP);
  restore (&saved, 0);
  struct message unseen;
  probe_run = 100;
  for (guint i = 0; i < 5; i++)
    causality_send (&nodes[0], 1, MESSAGE_UDP, &unseen);
  transfer (2, 0, MESSAGE_UDP);
  assert_violation ("orphan: node 2 knows another event");
}
END_TEST

START_TEST (receiver_sees_a_replay_and_another_history)
{
  struct saved saved;
  chatter (10);
  save (&saved, 0);
  transfer (0, 1, MESSAGE_TCP);
  restore (&saved, 0);
  transfer (0, 1, MESSAGE_TCP);
  assert_violation ("tcp message 11 from node 0 came after message 11");
  violations = 0;
  tear_down ();
  set_up ();
  chatter (10);
  save (&saved, 0);
  transfer (0, 1, MESSAGE_UDP);
  restore (&saved, 0);
  struct message unseen;
  probe_run = 100;
  causality_send (&nodes[0], 1, MESSAGE_UDP, &unseen);
  transfer (0, 1, MESSAGE_UDP);
  assert_violation ("udp message 12 from node 0 follows another message 11");
}
END_TEST

START_TEST (a_set_back_receiver_misses_tcp_messages)
{
  struct saved saved;
  chatter (10);
  save (&saved, 1);
  transfer (0, 1, MESSAGE_TCP);
  restore (&saved, 1);
  transfer (0, 1, MESSAGE_TCP);
  assert_violation ("tcp messages 11 to 11 from node 0 are lost");
}
END_TEST

START_TEST (a_damaged_message_is_seen)
{
  struct message message;
  probe_run = 100;
  causality_send (&nodes[0], 1, MESSAGE_UDP, &message);
  message.clock[2].count ^= 1;
  probe_run = 101;
  causality_receive (&nodes[1], 0, MESSAGE_UDP, &message);
  assert_violation ("udp message from node 0 is damaged");
}
END_TEST

START_TEST (a_restarted_node_is_seen)
{
  struct message message;
  chatter (2);
  probe_run = 555;
  causality_send (&nodes[0], 1, MESSAGE_UDP, &message);
  probe_run = 101;
  causality_receive (&nodes[1], 0, MESSAGE_UDP, &message);
  assert_violation ("node 0 lost its memory");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("causality");
  TCase *tests = tcase_create ("causality");
  tcase_add_checked_fixture (tests, set_up, tear_down);
  tcase_add_test (tests, long_chatter_is_clean);
  tcase_add_test (tests, all_set_back_together_is_clean);
  tcase_add_test (tests, lost_datagrams_are_clean);
  tcase_add_test (tests, one_set_back_sees_it);
  tcase_add_test (tests, one_set_back_sees_it_over_a_third);
  tcase_add_test (tests, set_back_and_gone_on_is_seen);
  tcase_add_test (tests, receiver_sees_a_replay_and_another_history);
  tcase_add_test (tests, a_set_back_receiver_misses_tcp_messages);
  tcase_add_test (tests, a_damaged_message_is_seen);
  tcase_add_test (tests, a_restarted_node_is_seen);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
