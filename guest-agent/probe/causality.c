#include "config.h"

#include "guest-agent/probe/causality.h"

#include <stdio.h>
#include <stdlib.h>

#define EVENTS_REMEMBERED (1u << 17)
#define MESSAGES_REMEMBERED (1u << 14)

typedef unsigned long long ull;

static const char *const protocol_names[] = { "tcp", "udp" };

void
causality_ring_init (struct causality_ring *ring, uint64_t size)
{
  ring->hashes = calloc (size, sizeof *ring->hashes);
  if (!ring->hashes)
    {
      fprintf (stderr, "cut-probe: no memory\n");
      exit (EXIT_FAILURE);
    }
  ring->size = size;
  ring->newest = 0;
}

void
causality_ring_add (struct causality_ring *ring, uint64_t hash)
{
  ring->newest++;
  ring->hashes[ring->newest & (ring->size - 1)] = hash;
}

/* Number 0 is before everything and too old numbers are forgotten: both fit. */
static bool
ring_fits (const struct causality_ring *ring, uint64_t number, uint64_t hash)
{
  if (number == 0 || number + ring->size <= ring->newest)
    return true;
  return ring->hashes[number & (ring->size - 1)] == hash;
}

void
causality_init (struct causality *causality, unsigned node, unsigned nodes)
{
  causality->node = node;
  causality->nodes = nodes;
  causality->random = probe_run;
  causality_ring_init (&causality->events, EVENTS_REMEMBERED);
  causality->clock[node].history = probe_run;
  for (unsigned i = 0; i < nodes; i++)
    for (unsigned protocol = 0; protocol < 2 && i != node; protocol++)
      causality_ring_init (&causality->peers[i].channels[protocol].sent, MESSAGES_REMEMBERED);
}

static void
own_event (struct causality *causality, uint64_t what)
{
  struct message_clock *own = &causality->clock[causality->node];
  own->history = probe_mix (own->history, what);
  own->count++;
  causality_ring_add (&causality->events, own->history);
}

void
causality_send (struct causality *causality, unsigned to, enum message_protocol protocol,
                struct message *message)
{
  struct causality_peer *peer = &causality->peers[to];
  struct causality_channel *channel = &peer->channels[protocol];
  *message = (struct message){
    .protocol = (uint8_t)protocol,
    .from = (uint8_t)causality->node,
    .to = (uint8_t)to,
    .nodes = (uint8_t)causality->nodes,
    .run = probe_run,
    .peer_run = peer->run,
    .number = channel->sent.newest + 1,
    .nonce = probe_random (&causality->random),
    .previous = channel->sent_chain,
    .received = { peer->channels[0].received, peer->channels[1].received },
  };
  message->chain = message_chain (message->previous, message->number, message->nonce);
  own_event (causality, message->chain);
  for (unsigned i = 0; i < causality->nodes; i++)
    message->clock[i] = causality->clock[i];
  channel->sent_chain = message->chain;
  causality_ring_add (&channel->sent, message->chain);
  message_seal (message);
}

/* Is it for us, from a node that has always been the same? */
static bool
check_identity (struct causality *causality, unsigned from, enum message_protocol protocol,
                const struct message *message)
{
  struct causality_peer *peer = &causality->peers[from];
  if (!message_is_whole (message))
    {
      probe_violation ("%s message from node %u is damaged", protocol_names[protocol], from);
      return false;
    }
  if (message->from != from || message->to != causality->node || message->nodes != causality->nodes
      || message->protocol != protocol)
    {
      probe_violation ("%s message from node %u says it goes from %u to %u",
                       protocol_names[protocol], from, message->from, message->to);
      return false;
    }
  if (peer->run && peer->run != message->run)
    probe_violation ("node %u lost its memory: it was run %llx and is run %llx", from,
                     (ull)peer->run, (ull)message->run);
  peer->run = message->run;
  if (message->peer_run && message->peer_run != probe_run)
    probe_violation ("node %u knows run %llx of this node, which is run %llx", from,
                     (ull)message->peer_run, (ull)probe_run);
  return true;
}

/* The number follows the last one, and the chain is that of the same history. */
static void
check_number (struct causality_channel *channel, unsigned from, enum message_protocol protocol,
              const struct message *message)
{
  const char *name = protocol_names[protocol];
  uint64_t last = channel->received.number;
  bool gap_allowed = protocol == MESSAGE_UDP || channel->fresh;
  if (message->number <= last)
    probe_violation ("%s message %llu from node %u came after message %llu", name,
                     (ull)message->number, from, (ull)last);
  else if (message->number > last + 1 && !gap_allowed)
    probe_violation ("%s messages %llu to %llu from node %u are lost", name, (ull)last + 1,
                     (ull)message->number - 1, from);
  else if (message->number == last + 1 && message->previous != channel->received.chain)
    probe_violation ("%s message %llu from node %u follows another message %llu than the one "
                     "received: node %u was set back",
                     name, (ull)message->number, from, (ull)last, from);
  if (message->chain != message_chain (message->previous, message->number, message->nonce))
    probe_violation ("%s message %llu from node %u has a wrong chain", name, (ull)message->number,
                     from);
  if (message->number > last + 1)
    channel->lost += message->number - last - 1;
  channel->fresh = false;
  channel->received = (struct message_mark){ message->number, message->chain };
}

/* What the sender says it has received from us is what we sent. */
static void
check_receipts (const struct causality_peer *peer, unsigned from, const struct message *message)
{
  for (unsigned protocol = 0; protocol < 2; protocol++)
    {
      const struct message_mark *mark = &message->received[protocol];
      const struct causality_ring *sent = &peer->channels[protocol].sent;
      if (mark->number > sent->newest)
        probe_violation ("orphan: node %u received %s message %llu, but this node sent only %llu",
                         from, protocol_names[protocol], (ull)mark->number, (ull)sent->newest);
      else if (!ring_fits (sent, mark->number, mark->chain))
        probe_violation ("orphan: node %u received another %s message %llu than this node sent",
                         from, protocol_names[protocol], (ull)mark->number);
    }
}

/* The vector clock: nobody knows more of us than we have done; then take the newer entries. */
static void
check_clock (struct causality *causality, unsigned from, const struct message *message)
{
  for (unsigned i = 0; i < causality->nodes; i++)
    {
      const struct message_clock *theirs = &message->clock[i];
      struct message_clock *ours = &causality->clock[i];
      if (i == causality->node && theirs->count > ours->count)
        probe_violation ("orphan: node %u knows event %llu of this node, which has done only %llu",
                         from, (ull)theirs->count, (ull)ours->count);
      else if (i == causality->node
               && !ring_fits (&causality->events, theirs->count, theirs->history))
        probe_violation ("orphan: node %u knows another event %llu than this node has done", from,
                         (ull)theirs->count);
      else if (i != causality->node && theirs->count == ours->count && theirs->count
               && theirs->history != ours->history)
        probe_violation ("node %u knows another event %llu of node %u than this node", from,
                         (ull)theirs->count, i);
      if (i != causality->node && theirs->count > ours->count)
        *ours = *theirs;
    }
}

void
causality_receive (struct causality *causality, unsigned from, enum message_protocol protocol,
                   const struct message *message)
{
  struct causality_peer *peer = &causality->peers[from];
  if (!check_identity (causality, from, protocol, message))
    return;
  check_number (&peer->channels[protocol], from, protocol, message);
  check_receipts (peer, from, message);
  check_clock (causality, from, message);
  own_event (causality, message->chain);
}
