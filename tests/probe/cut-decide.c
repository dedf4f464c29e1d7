#include "config.h"

#include "tests/probe/cut-decide.h"

static CutState *
at (GPtrArray *states, guint index)
{
  return g_ptr_array_index (states, index);
}

static void G_GNUC_PRINTF (2, 3) reason (GPtrArray *reasons, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_ptr_array_add (reasons, g_strdup_vprintf (format, arguments));
  va_end (arguments);
}

bool
cut_decide_complete (GPtrArray *states, GPtrArray *reasons)
{
  guint before = reasons->len;
  for (guint i = 0; i < states->len; i++)
    {
      const CutState *state = at (states, i);
      if (state->node != i)
        reason (reasons, "node %u answers where node %u should", state->node, i);
      if (state->nodes != states->len)
        reason (reasons, "node %u knows %u nodes, but %u answer", i, state->nodes, states->len);
      for (guint j = 0; j < state->nodes; j++)
        if (j != state->node && !state->peers[j].known)
          reason (reasons, "node %u says nothing of node %u", state->node, j);
    }
  return reasons->len == before;
}

bool
cut_decide_healthy (GPtrArray *states, GPtrArray *against, GPtrArray *reasons)
{
  guint before = reasons->len;
  for (guint i = 0; i < states->len; i++)
    {
      const CutState *state = at (states, i);
      const CutState *old = against ? at (against, i) : NULL;
      if (state->violations)
        reason (reasons, "node %u saw %" G_GUINT64_FORMAT " violations, the first: %s", i,
                state->violations, state->first ? state->first : "?");
      for (guint j = 0; j < state->nodes; j++)
        {
          const CutPeer *peer = &state->peers[j];
          if (j == i)
            continue;
          if (peer->resets > (old ? old->peers[j].resets : 0))
            reason (reasons, "node %u's TCP connection with node %u was broken", i, j);
          if (peer->skipped > (old ? old->peers[j].skipped : 0))
            reason (reasons, "node %u lost %" G_GUINT64_FORMAT " TCP messages from node %u", i,
                    peer->skipped, j);
          if (!peer->connected)
            reason (reasons, "node %u has no TCP connection with node %u", i, j);
        }
    }
  return reasons->len == before;
}

static void
check_sent (GPtrArray *reasons, const char *protocol, guint from, guint to, guint64 sent,
            guint64 received)
{
  if (received > sent)
    reason (reasons,
            "orphan: node %u received %s message %" G_GUINT64_FORMAT
            " from node %u, which has sent only %" G_GUINT64_FORMAT,
            to, protocol, received, from, sent);
}

bool
cut_decide_no_orphan (GPtrArray *states, GPtrArray *later, GPtrArray *reasons)
{
  guint before = reasons->len;
  for (guint to = 0; to < states->len; to++)
    for (guint from = 0; from < later->len; from++)
      {
        const CutState *receiver = at (states, to), *sender = at (later, from);
        const CutPeer *received = &receiver->peers[from], *sent = &sender->peers[to];
        if (from == to)
          continue;
        check_sent (reasons, "TCP", from, to, sent->tcp_sent, received->tcp_received);
        check_sent (reasons, "UDP", from, to, sent->udp_sent, received->udp_received);
        if (receiver->clock[from] > sender->clock[from])
          reason (reasons,
                  "orphan: node %u knows event %" G_GUINT64_FORMAT
                  " of node %u, which has done only %" G_GUINT64_FORMAT,
                  to, receiver->clock[from], from, sender->clock[from]);
      }
  return reasons->len == before;
}

typedef struct
{
  GPtrArray *reasons;
  guint node;
  const char *when;
} Comparison;

static void
check_counter (const Comparison *comparison, const char *what, guint index, guint64 old,
               guint64 new)
{
  if (new < old)
    reason (comparison->reasons,
            "node %u: %s (%u) went back from %" G_GUINT64_FORMAT " %s to %" G_GUINT64_FORMAT,
            comparison->node, what, index, old, comparison->when, new);
}

static void
check_peer_counters (const Comparison *comparison, guint peer, const CutPeer *old,
                     const CutPeer *new)
{
  check_counter (comparison, "TCP messages sent to", peer, old->tcp_sent, new->tcp_sent);
  check_counter (comparison, "TCP messages received from", peer, old->tcp_received,
                 new->tcp_received);
  check_counter (comparison, "UDP messages sent to", peer, old->udp_sent, new->udp_sent);
  check_counter (comparison, "UDP messages received from", peer, old->udp_received,
                 new->udp_received);
}

static void
check_node_counters (const Comparison *comparison, const CutState *old, const CutState *new)
{
  check_counter (comparison, "uptime", new->node, old->uptime, new->uptime);
  check_counter (comparison, "changes of the table", new->node, old->table_updates,
                 new->table_updates);
  for (guint j = 0; j < new->nodes; j++)
    {
      check_counter (comparison, "clock", j, old->clock[j], new->clock[j]);
      check_peer_counters (comparison, j, &old->peers[j], &new->peers[j]);
    }
  for (guint j = 0; j < new->disk_count &&j < old->disk_count; j++)
    {
      check_counter (comparison, "direct writes of disk", j, old->disks[j].direct,
                     new->disks[j].direct);
      check_counter (comparison, "buffered writes of disk", j, old->disks[j].buffered,
                     new->disks[j].buffered);
      check_counter (comparison, "synced writes of disk", j, old->disks[j].durable,
                     new->disks[j].durable);
    }
}

bool
cut_decide_no_way_back (GPtrArray *before, GPtrArray *after, const char *when, GPtrArray *reasons)
{
  guint length = reasons->len;
  for (guint i = 0; i < after->len && i < before->len; i++)
    {
      const CutState *old = at (before, i), *new = at (after, i);
      const Comparison comparison = { .reasons = reasons, .node = i, .when = when };
      if (g_strcmp0 (old->run, new->run) != 0)
        reason (reasons, "node %u was started anew: its run was %s %s and is %s", i, old->run, when,
                new->run);
      else if (old->disk_count != new->disk_count)
        reason (reasons, "node %u had %u disks %s and has %u", i, old->disk_count, when,
                new->disk_count);
      else
        check_node_counters (&comparison, old, new);
    }
  if (before->len != after->len)
    reason (reasons, "there were %u nodes %s and are %u", before->len, when, after->len);
  return reasons->len == length;
}

bool
cut_decide_progress (GPtrArray *before, GPtrArray *after, guint64 messages, GPtrArray *reasons)
{
  guint length = reasons->len;
  for (guint i = 0; i < after->len && i < before->len; i++)
    {
      const CutState *old = at (before, i), *new = at (after, i);
      for (guint j = 0; j < new->nodes; j++)
        {
          if (j == i)
            continue;
          guint64 tcp = new->peers[j].tcp_received - old->peers[j].tcp_received;
          if (new->peers[j].tcp_received < old->peers[j].tcp_received || tcp < messages)
            reason (reasons, "node %u does not receive %" G_GUINT64_FORMAT " TCP messages from %u",
                    i, messages, j);
          if (messages && new->peers[j].udp_received <= old->peers[j].udp_received)
            reason (reasons, "node %u receives no UDP messages from node %u", i, j);
        }
      for (guint j = 0; messages && j < new->disk_count &&j < old->disk_count; j++)
        if (new->disks[j].direct <= old->disks[j].direct
            || new->disks[j].buffered <= old->disks[j].buffered)
          reason (reasons, "node %u does not write disk %s", i, new->disks[j].name);
    }
  return reasons->len == length;
}
