/* Frames between the nodes of a DSM.  Little-endian; all lengths in bytes.
 *
 *   frame    = length:32  kind:8 flags:8 entries:16  sequence:64 acknowledged:64 interval:64
 *              history:64 entries * (node:16 interval:64)  body
 *   length   = what follows it; at most CS_WIRE_MAX - 4
 *   sequence = 0 for the kinds of a connection (HELLO, ACK, PING), else 1, 2, ... per pair of nodes
 * and direction, over all their connections interval = the sender's (docs/dependencies.md); the
 * entries are what its merged dependency vector gained since its last frame to this peer
 *   history  = of a frame with a sequence: cs_wire_history of all that its sender sent to this peer
 *              before; of HELLO: of all that its sender received; else 0
 *
 *   HELLO       magic:64 version:16 node:16 nodes:16 pad:16 pages:32 block:32
 *               incarnation:64 expected:64 received:64 name:64*8
 *   ACK PING BYE THAW           nothing
 *   IDENTITY                    name:64*8
 *   READ WRITE INVALIDATE INVALIDATED LOCK_ASK LOCK_FREE ARRIVE FREEZE FROZEN     id:32
 *   RECALL                      id:32                           flag KEEP
 *   RECALLED GRANT              id:32 writer:16 writer_interval:64 content:8 [4096 bytes]  flag
 * WRITABLE LOCK_GIVE                   id:32 holder:16 holder_interval:64 PASS id:32 nodes:16 nodes
 * * interval:64
 *
 *   node 2 (higher)                      node 1 (listens)
 *     connect, HELLO {received n}  -->
 *                                  <--   HELLO {received m}
 *     frames m+1, m+2, ...         -->
 *                                  <--   frames n+1, n+2, ...
 *
 * HELLO tells what of the peer's frames was received on earlier connections; these are dropped, the
 * rest is sent again.  `incarnation` is a random number of the process, `expected` the one that it
 * talked with before (0: none): who was started anew knows nothing of the pages and is refused.
 *
 * A node that was rolled back without its peer sends other frames under numbers that the peer has
 * seen, or has not sent yet what the peer received.  Numbers alone do not always tell: when it has
 * caught up they fit again, and a TCP connection may even go on in the middle of a frame.  The
 * histories differ from the first other frame on, and stay so. */
#ifndef CS_DSM_WIRE_H
#define CS_DSM_WIRE_H

#include "guest-agent/dsm/clusdsm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CS_WIRE_MAGIC UINT64_C (0x314d5344534c4358)
#define CS_WIRE_VERSION 2
#define CS_WIRE_HEADER 40 /* of a frame, its length field included */
#define CS_WIRE_ACK_AT 16 /* where `acknowledged` lies: it is renewed whenever a frame is sent */
#define CS_WIRE_HISTORY_AT 32
#define CS_WIRE_INTERVAL_MAX (UINT64_MAX / 2)
#define CS_WIRE_NOBODY 0xffff /* as writer or holder */
#define CS_WIRE_MAX (CS_WIRE_HEADER + CS_DSM_NODES * 10 + 16 + CS_DSM_PAGE)

/* Numbers are never used again. */
enum
{
  CS_WIRE_HELLO = 1,
  CS_WIRE_ACK = 2,
  CS_WIRE_PING = 3,
  CS_WIRE_BYE = 4,
  CS_WIRE_IDENTITY = 5,
  CS_WIRE_FREEZE = 6,
  CS_WIRE_FROZEN = 7,
  CS_WIRE_THAW = 8,
  CS_WIRE_READ = 16,
  CS_WIRE_WRITE = 17,
  CS_WIRE_INVALIDATE = 18,
  CS_WIRE_INVALIDATED = 19,
  CS_WIRE_RECALL = 20,
  CS_WIRE_RECALLED = 21,
  CS_WIRE_GRANT = 22,
  CS_WIRE_LOCK_ASK = 32,
  CS_WIRE_LOCK_GIVE = 33,
  CS_WIRE_LOCK_FREE = 34,
  CS_WIRE_ARRIVE = 35,
  CS_WIRE_PASS = 36,
};

enum
{
  CS_WIRE_ACK_NOW = 1,  /* do not wait for something to carry the acknowledgement */
  CS_WIRE_KEEP = 2,     /* RECALL: a read copy stays */
  CS_WIRE_WRITABLE = 4, /* GRANT */
};

enum
{
  CS_WIRE_NOTHING = 0, /* the receiver has a copy */
  CS_WIRE_ZEROS = 1,
  CS_WIRE_PAGE = 2,
};

typedef struct
{
  uint16_t node;
  uint64_t interval;
} CsWireEntry;

typedef struct
{
  uint16_t node, nodes, version;
  uint32_t pages, block;
  uint64_t magic, incarnation, expected, received;
} CsWireHello;

/* One frame, decoded.  Fields that the kind does not have are 0. */
typedef struct
{
  uint8_t kind, flags, content;
  uint16_t entries, writer, passed;
  uint32_t id;
  uint64_t sequence, acknowledged, interval, writer_interval, history;
  const uint8_t *page; /* borrowed */
  CsWireHello hello;
  char name[CS_DSM_NAME]; /* HELLO, IDENTITY */
  CsWireEntry entry[CS_DSM_NODES];
  uint64_t pass[CS_DSM_NODES]; /* PASS: interval in which each node arrived */
} CsFrame;

/* Is it about the program's data?  Then it makes the receiver depend on the sender. */
static inline bool
cs_wire_is_data (uint8_t kind)
{
  return kind >= CS_WIRE_READ;
}

/* Belongs to a connection, not to the sequence? */
static inline bool
cs_wire_is_unsequenced (uint8_t kind)
{
  return kind <= CS_WIRE_PING;
}

/* Writes @frame to @bytes (CS_WIRE_MAX); returns how many bytes it has. */
size_t cs_wire_encode (const CsFrame *frame, uint8_t *bytes);

/* Replaces the acknowledgement of an encoded frame. */
void cs_wire_acknowledge (uint8_t *bytes, uint64_t acknowledged);

/* The history with one more frame, of @n encoded bytes; that of no frame is 0.  What is renewed
 * when a frame is sent again does not count. */
uint64_t cs_wire_history (uint64_t history, const uint8_t *bytes, size_t n);

/* Takes one frame from the @n bytes that have come.  Returns its length, 0 when it is not complete
 * yet, or -1 with *@why (static) when it is none.  @nodes and @pages bound what may be named; a
 * HELLO's values are for the caller to compare.  @frame borrows from @bytes. */
long cs_wire_parse (const uint8_t *bytes, size_t n, unsigned nodes, uint32_t pages, CsFrame *frame,
                    const char **why);

#endif
