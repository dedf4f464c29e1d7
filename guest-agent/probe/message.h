/* The message that nodes send each other, over TCP and over UDP; little-endian, fixed size.
 *
 * A channel is one direction of one protocol between two nodes.  Its messages are numbered from 1
 * and chained: chain = mix (previous, number, nonce), so that a message of another history (a
 * sender that was set back and sent something else under the same number) is recognised. */
#ifndef CS_PROBE_MESSAGE_H
#define CS_PROBE_MESSAGE_H

#include "guest-agent/probe/probe.h"

enum message_protocol
{
  MESSAGE_TCP = 0,
  MESSAGE_UDP = 1,
};

struct message_mark
{
  uint64_t number, chain;
};

struct message_clock
{
  uint64_t count;   /* events of that node */
  uint64_t history; /* hash over them */
};

struct message
{
  uint32_t magic;
  uint8_t protocol, from, to, nodes;
  uint64_t run;      /* of the sender */
  uint64_t peer_run; /* of the receiver, as the sender knows it; 0: not yet */
  uint64_t number, nonce, previous, chain;
  struct message_mark received[2]; /* per protocol: the last the sender had from the receiver */
  struct message_clock clock[PROBE_NODES_MAX];
  uint64_t checksum; /* of all before it */
};

uint64_t message_chain (uint64_t previous, uint64_t number, uint64_t nonce);
void message_seal (struct message *message);
/* Magic and checksum are right. */
bool message_is_whole (const struct message *message);

#endif
