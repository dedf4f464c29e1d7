/* A peer: frames to and from it in order and once, over however many connections that takes.
 *
 * What was sent stays queued until the peer acknowledged it; a new connection begins with the first
 * frame that it has not.  A peer counts as lost by silence only: every tick (cs_link_tick) in which
 * it answered nothing adds the tick's length, and a tick counts for no more than CS_LINK_TICK
 * however long it took.  So a guest that stood for a snapshot, a whole cluster that did, or a clock
 * that jumped lose nobody.
 *
 * Both ends keep a digest of all frames in each direction (wire.h).  One that was rolled back
 * without the other is found by it, with the first frame or the first connection that does not fit,
 * and is lost: nobody goes on with the state of another time. */
#ifndef CS_DSM_LINK_H
#define CS_DSM_LINK_H

#include "guest-agent/dsm/wire.h"

#include <netinet/in.h>

#define CS_LINK_TICK 100   /* milliseconds */
#define CS_LINK_RETRY 2000 /* of silence: then another connection is tried */
#define CS_LINK_BAD 8      /* malformed frames in a row: then it is hopeless */

typedef struct CsLink CsLink;

/* What all links of a node have in common; borrowed. */
typedef struct
{
  unsigned node, nodes;
  uint32_t pages, block;
  uint64_t incarnation;
  unsigned silence_ms;
  const char *name; /* this node's VM; CS_DSM_NAME bytes, may change */
  void *data;
  bool (*receive) (void *data, unsigned from, const CsFrame *frame); /* false: a violation */
  const char *(*violation) (void *data);
  void (*acknowledged) (void *data, unsigned from, uint64_t interval); /* of frames about data */
  uint64_t (*interval) (void *data);
  void (*named) (void *data, unsigned from, const char *name);
  void (*report) (void *data, unsigned peer, const char *what);
} CsLinkShared;

CsLink *cs_link_new (unsigned peer, const struct sockaddr_in *address, const CsLinkShared *shared);
void cs_link_free (CsLink *link);

/* Queues a sequenced frame; it goes out with the next cs_link_write. */
void cs_link_send (CsLink *link, const CsFrame *frame);

/* A connection that the peer made, after its HELLO @frame.  Takes @fd, and the bytes that came
 * behind.  False: it was refused and closed, with a report. */
bool cs_link_accept (CsLink *link, int fd, const CsFrame *frame, const uint8_t *rest, size_t n);

int cs_link_fd (const CsLink *link); /* -1: no connection */
short cs_link_events (const CsLink *link);
void cs_link_ready (CsLink *link, short events);
void cs_link_write (CsLink *link);

/* @elapsed: milliseconds since the last tick. */
void cs_link_tick (CsLink *link, unsigned elapsed);

bool cs_link_is_up (const CsLink *link);
bool cs_link_is_drained (const CsLink *link);  /* all that was sent is acknowledged */
bool cs_link_has_left (const CsLink *link);    /* it said BYE */
const char *cs_link_lost (const CsLink *link); /* why, or NULL */

typedef struct
{
  uint64_t sent, acknowledged, received, connections, rejected;
} CsLinkCounts;
void cs_link_counts (const CsLink *link, CsLinkCounts *counts);

#endif
