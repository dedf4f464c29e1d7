/* What this node has done, what it knows of the others, and whether a message fits in.
 *
 * Theory of operation.  Every send and every receipt is an event: it raises this node's entry of
 * the vector clock and changes the entry's history, a hash over all of the node's events.  Each
 * message carries the sender's whole clock with the histories, and what the sender has
 * received from the receiver.  The receiver remembers its own last events and the messages it sent,
 * by number.  So it sees at once
 *   - that somebody, over any number of hops, knows an event of it that it has not done: it was set
 *     back behind the others (an orphan message exists), or
 *   - that it has done something else under that number: set back, and gone on since, or
 *   - that two nodes know different histories of a third.
 * Numbers older than what is remembered cannot be checked; they are minutes old.
 *
 * No locking: all of it belongs to the exchange's lock. */
#ifndef CS_PROBE_CAUSALITY_H
#define CS_PROBE_CAUSALITY_H

#include "guest-agent/probe/message.h"

/* Hashes by number, the newest of them. */
struct causality_ring
{
  uint64_t *hashes;
  uint64_t size;   /* a power of two */
  uint64_t newest; /* number; 0: none */
};
void causality_ring_init (struct causality_ring *ring, uint64_t size);
void causality_ring_add (struct causality_ring *ring, uint64_t hash);

struct causality_channel
{
  struct causality_ring sent; /* newest = last sent */
  uint64_t sent_chain;
  struct message_mark received;
  uint64_t lost;
  bool fresh; /* TCP: the first message of this connection is still to come */
};

struct causality_peer
{
  uint64_t run; /* 0: nothing heard yet */
  struct causality_channel channels[2];
};

struct causality
{
  unsigned node, nodes;
  uint64_t random;
  struct causality_ring events; /* own */
  struct message_clock clock[PROBE_NODES_MAX];
  struct causality_peer peers[PROBE_NODES_MAX];
};

void causality_init (struct causality *causality, unsigned node, unsigned nodes);
/* Makes the next message of a channel; it counts as sent. */
void causality_send (struct causality *causality, unsigned to, enum message_protocol protocol,
                     struct message *message);
/* Checks a message that came from @from and takes it in; says what is wrong with it. */
void causality_receive (struct causality *causality, unsigned from, enum message_protocol protocol,
                        const struct message *message);

#endif
