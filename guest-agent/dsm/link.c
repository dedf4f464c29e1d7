/* A peer's connection and queues; link.h has the rules.
 *
 * Longer than others: out, in and connections are the three sides of one state.  What is written
 * next depends on what was received (acknowledgements ride on frames, a HELLO says where to go on),
 * and each way for a connection to end leaves the queue at a place that the other two must agree
 * about. */
#define _GNU_SOURCE
#include "guest-agent/dsm/link.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX (4 * CS_WIRE_MAX)
#define ACK_AFTER 16 /* frames received: then an acknowledgement goes out on its own */

typedef struct Queued Queued;
struct Queued
{
  Queued *next;
  uint64_t sequence, history; /* of all up to this one */
  bool data;
  size_t n;
  uint8_t bytes[];
};

struct CsLink
{
  /* immutable */
  unsigned peer;
  struct sockaddr_in address;
  const CsLinkShared *shared;

  /* of the connection */
  int fd;
  bool connecting, greeted; /* greeted: the peer's HELLO has come */
  bool must_greet, must_acknowledge, must_ping;
  uint8_t in[IN_MAX], out[CS_WIRE_MAX]; /* out: a frame of the connection */
  size_t n_in, n_out, out_at;
  Queued *writing; /* next to be written, `at` bytes of it are */
  size_t at;

  /* of the peer */
  Queued *first, **last;
  uint64_t incarnation, sent, acknowledged, received;
  uint64_t sent_history, acknowledged_history, received_history; /* wire.h, of so many frames */
  unsigned unacknowledged; /* received frames that the peer does not know of */
  unsigned silent, wait, bad;
  bool left;
  uint64_t connections, rejected;
  char lost[256];
};

CsLink *
cs_link_new (unsigned peer, const struct sockaddr_in *address, const CsLinkShared *shared)
{
  CsLink *link = calloc (1, sizeof *link);
  if (link == NULL)
    return NULL;
  link->peer = peer;
  link->address = *address;
  link->shared = shared;
  link->fd = -1;
  link->last = &link->first;
  return link;
}

static void
disconnect (CsLink *link)
{
  if (link->fd >= 0)
    close (link->fd);
  link->fd = -1;
  link->connecting = link->greeted = false;
  link->must_greet = link->must_acknowledge = link->must_ping = false;
  link->n_in = link->n_out = link->out_at = 0;
  link->writing = NULL;
  link->at = 0;
}

void
cs_link_free (CsLink *link)
{
  if (link == NULL)
    return;
  disconnect (link);
  for (Queued *next, *queued = link->first; queued != NULL; queued = next)
    {
      next = queued->next;
      free (queued);
    }
  free (link);
}

static void
lose (CsLink *link, const char *why)
{
  if (link->lost[0] == '\0')
    snprintf (link->lost, sizeof link->lost, "%s", why);
  disconnect (link);
}

static void
reject (CsLink *link, const char *why)
{
  link->rejected++;
  char text[256];
  snprintf (text, sizeof text, "ended the connection: %s", why);
  link->shared->report (link->shared->data, link->peer, text);
  disconnect (link);
}

/* ---- state ---- */

int
cs_link_fd (const CsLink *link)
{
  return link->fd;
}

bool
cs_link_is_up (const CsLink *link)
{
  return link->fd >= 0 && link->greeted;
}

bool
cs_link_is_drained (const CsLink *link)
{
  return link->first == NULL;
}

bool
cs_link_has_left (const CsLink *link)
{
  return link->left;
}

const char *
cs_link_lost (const CsLink *link)
{
  return link->lost[0] != '\0' ? link->lost : NULL;
}

void
cs_link_counts (const CsLink *link, CsLinkCounts *counts)
{
  *counts = (CsLinkCounts){ link->sent, link->acknowledged, link->received, link->connections,
                            link->rejected };
}

short
cs_link_events (const CsLink *link)
{
  bool has_more =
      link->out_at < link->n_out || link->must_greet
      || (link->greeted && (link->writing != NULL || link->must_acknowledge || link->must_ping));
  return (short)((link->connecting ? 0 : POLLIN) | (link->connecting || has_more ? POLLOUT : 0));
}

/* ---- out ---- */

void
cs_link_send (CsLink *link, const CsFrame *frame)
{
  uint8_t bytes[CS_WIRE_MAX];
  CsFrame copy = *frame;
  copy.sequence = ++link->sent;
  copy.history = link->sent_history;
  size_t n = cs_wire_encode (&copy, bytes);
  link->sent_history = cs_wire_history (link->sent_history, bytes, n);
  Queued *queued = malloc (sizeof *queued + n);
  if (queued == NULL)
    {
      lose (link, "no memory for what it must be told");
      return;
    }
  *queued = (Queued){ .sequence = copy.sequence,
                      .history = link->sent_history,
                      .data = cs_wire_is_data (copy.kind),
                      .n = n };
  memcpy (queued->bytes, bytes, n);
  *link->last = queued;
  link->last = &queued->next;
  if (link->writing == NULL && link->greeted)
    link->writing = queued;
}

static size_t
encode_hello (const CsLink *link, uint8_t *bytes)
{
  const CsLinkShared *shared = link->shared;
  CsFrame frame;
  memset (&frame, 0, sizeof frame);
  frame.kind = CS_WIRE_HELLO;
  frame.history = link->received_history;
  frame.interval = shared->interval (shared->data);
  frame.hello = (CsWireHello){
    .magic = CS_WIRE_MAGIC,
    .version = CS_WIRE_VERSION,
    .node = (uint16_t)shared->node,
    .nodes = (uint16_t)shared->nodes,
    .pages = shared->pages,
    .block = shared->block,
    .incarnation = shared->incarnation,
    .expected = link->incarnation,
    .received = link->received,
  };
  memcpy (frame.name, shared->name, CS_DSM_NAME);
  return cs_wire_encode (&frame, bytes);
}

/* The next frame of the connection itself, if one is due. */
static void
fill_out (CsLink *link)
{
  link->out_at = link->n_out = 0;
  if (link->must_greet)
    {
      link->must_greet = false;
      link->n_out = encode_hello (link, link->out);
      return;
    }
  if (!link->greeted || link->writing != NULL || !(link->must_acknowledge || link->must_ping))
    return;
  CsFrame frame;
  memset (&frame, 0, offsetof (CsFrame, entry));
  frame.kind = link->must_ping ? CS_WIRE_PING : CS_WIRE_ACK;
  frame.interval = link->shared->interval (link->shared->data);
  frame.acknowledged = link->received;
  link->must_ping = link->must_acknowledge = false;
  link->unacknowledged = 0;
  link->n_out = cs_wire_encode (&frame, link->out);
}

/* 1: something was written; 0: nothing can be now; -1: the connection broke. */
static int
write_some (CsLink *link)
{
  /* A frame that is begun is finished first. */
  if (link->at == 0 && link->out_at == link->n_out)
    fill_out (link);
  const uint8_t *bytes = NULL;
  size_t n = 0;
  Queued *queued = link->writing;
  if (link->at == 0 && link->out_at < link->n_out)
    {
      bytes = link->out + link->out_at;
      n = link->n_out - link->out_at;
      queued = NULL;
    }
  else if (queued != NULL && link->greeted)
    {
      if (link->at == 0)
        {
          cs_wire_acknowledge (queued->bytes, link->received);
          link->unacknowledged = 0;
          link->must_acknowledge = false;
        }
      bytes = queued->bytes + link->at;
      n = queued->n - link->at;
    }
  if (n == 0)
    return 0;
  ssize_t done = send (link->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (done < 0)
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
  if (queued == NULL)
    link->out_at += (size_t)done;
  else if ((link->at += (size_t)done) == queued->n)
    {
      link->writing = queued->next;
      link->at = 0;
    }
  return 1;
}

void
cs_link_write (CsLink *link)
{
  int more = 1;
  while (link->fd >= 0 && !link->connecting && more > 0)
    more = write_some (link);
  if (more < 0)
    disconnect (link);
}

/* ---- in ---- */

/* Drops what the peer has.  False: it cannot have that. */
static bool
acknowledge (CsLink *link, uint64_t acknowledged, uint64_t interval)
{
  if (acknowledged > link->sent)
    return false;
  bool data = false;
  while (link->first != NULL && link->first->sequence <= acknowledged)
    {
      Queued *queued = link->first;
      if (queued == link->writing)
        {
          /* Only a peer that has it from an earlier connection; then it was not begun on this one.
           */
          if (link->at > 0)
            return false;
          link->writing = queued->next;
        }
      data = data || queued->data;
      link->acknowledged = queued->sequence;
      link->acknowledged_history = queued->history;
      link->first = queued->next;
      if (link->first == NULL)
        link->last = &link->first;
      free (queued);
    }
  if (data)
    link->shared->acknowledged (link->shared->data, link->peer, interval);
  return true;
}

static const char other_time[] =
    "its state and this node's are of different times: roll all nodes back together";

/* Has the peer received what this node sent, as far as it says? */
static bool
is_of_our_time (const CsLink *link, uint64_t received, uint64_t history)
{
  if (received == link->acknowledged)
    return history == link->acknowledged_history;
  for (const Queued *queued = link->first; queued != NULL; queued = queued->next)
    if (queued->sequence == received)
      return history == queued->history;
  return false;
}

static bool
greet (CsLink *link, const CsFrame *frame)
{
  const CsWireHello *hello = &frame->hello;
  const CsLinkShared *shared = link->shared;
  if (hello->node != link->peer || hello->nodes != shared->nodes || hello->pages != shared->pages
      || hello->block != shared->block)
    {
      reject (link,
              "it has another number, number of nodes, size or home block than is expected of it");
      return false;
    }
  if ((link->incarnation != 0 && hello->incarnation != link->incarnation)
      || (hello->expected != 0 && hello->expected != shared->incarnation))
    {
      reject (link, "it, or this node, was started anew and knows nothing of the pages");
      return false;
    }
  if (!is_of_our_time (link, hello->received, frame->history))
    {
      lose (link, other_time);
      return false;
    }
  if (hello->incarnation == 0 || !acknowledge (link, hello->received, frame->interval))
    {
      reject (link, "its HELLO makes no sense");
      return false;
    }
  link->incarnation = hello->incarnation;
  link->greeted = true;
  link->writing = link->first;
  link->silent = 0;
  link->connections++;
  shared->named (shared->data, link->peer, frame->name);
  return true;
}

/* @frame was @n bytes.  False: the connection has ended. */
static bool
take_sequenced (CsLink *link, const CsFrame *frame, const uint8_t *bytes, size_t n)
{
  if (frame->sequence <= link->received)
    {
      link->must_acknowledge = true;
      return true;
    }
  if (frame->sequence != link->received + 1)
    {
      reject (link, "a frame is missing");
      return false;
    }
  if (frame->history != link->received_history)
    {
      lose (link, other_time);
      return false;
    }
  link->received++;
  link->received_history = cs_wire_history (link->received_history, bytes, n);
  link->bad = 0;
  if (++link->unacknowledged >= ACK_AFTER || (frame->flags & CS_WIRE_ACK_NOW))
    link->must_acknowledge = true;
  if (frame->kind == CS_WIRE_BYE)
    link->left = link->must_acknowledge = true;
  if (link->shared->receive (link->shared->data, link->peer, frame))
    return true;
  lose (link, link->shared->violation (link->shared->data));
  return false;
}

static bool
take (CsLink *link, const CsFrame *frame, const uint8_t *bytes, size_t n)
{
  if (!link->greeted)
    {
      if (frame->kind == CS_WIRE_HELLO)
        return greet (link, frame);
      reject (link, "it did not begin with HELLO");
      return false;
    }
  if (frame->kind == CS_WIRE_HELLO || !acknowledge (link, frame->acknowledged, frame->interval))
    {
      reject (link, "it greeted twice, or acknowledges what it was not sent");
      return false;
    }
  link->silent = 0;
  if (frame->kind == CS_WIRE_PING)
    link->must_acknowledge = true;
  return cs_wire_is_unsequenced (frame->kind) || take_sequenced (link, frame, bytes, n);
}

/* Takes all whole frames from what has come. */
static void
take_all (CsLink *link)
{
  size_t at = 0;
  while (link->fd >= 0)
    {
      CsFrame frame;
      const char *why = NULL;
      long n = cs_wire_parse (link->in + at, link->n_in - at, link->shared->nodes,
                              link->shared->pages, &frame, &why);
      if (n == 0)
        break;
      if (n > 0)
        {
          const uint8_t *bytes = link->in + at;
          at += (size_t)n;
          if (!take (link, &frame, bytes, (size_t)n))
            return;
          continue;
        }
      reject (link, why);
      if (++link->bad >= CS_LINK_BAD)
        lose (link, "it sends malformed frames again and again");
      return;
    }
  if (link->fd < 0)
    return;
  memmove (link->in, link->in + at, link->n_in - at);
  link->n_in -= at;
}

static void
read_some (CsLink *link)
{
  ssize_t n = recv (link->fd, link->in + link->n_in, sizeof link->in - link->n_in, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0)
    {
      disconnect (link);
      return;
    }
  link->n_in += (size_t)n;
  take_all (link);
}

void
cs_link_ready (CsLink *link, short events)
{
  if (link->connecting && (events & (POLLOUT | POLLERR | POLLHUP)))
    {
      int error = 0;
      socklen_t size = sizeof error;
      if (getsockopt (link->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0)
        {
          disconnect (link);
          return;
        }
      link->connecting = false;
      link->must_greet = true;
    }
  else if (events & (POLLIN | POLLERR | POLLHUP))
    read_some (link);
}

/* ---- connections ---- */

static void
set_options (int fd)
{
  int one = 1;
  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void
begin_connecting (CsLink *link)
{
  link->fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (link->fd < 0)
    return;
  set_options (link->fd);
  if (connect (link->fd, (const struct sockaddr *)&link->address, sizeof link->address) == 0
      || errno == EINPROGRESS)
    link->connecting = true;
  else
    disconnect (link);
}

bool
cs_link_accept (CsLink *link, int fd, const CsFrame *frame, const uint8_t *rest, size_t n)
{
  /* The peer has given the old one up; but a stranger may only name itself so.  The incarnation
   * tells. */
  if (link->incarnation != 0 && frame->hello.incarnation != link->incarnation)
    {
      link->rejected++;
      link->shared->report (
          link->shared->data, link->peer,
          "refused a connection: it was started anew and knows nothing of the pages");
      close (fd);
      return false;
    }
  disconnect (link);
  link->fd = fd;
  set_options (fd);
  link->must_greet = true;
  if (!greet (link, frame))
    return false;
  memcpy (link->in, rest, n);
  link->n_in = n;
  take_all (link);
  return true;
}

void
cs_link_tick (CsLink *link, unsigned elapsed)
{
  if (link->lost[0] != '\0' || (link->left && link->fd < 0))
    return;
  unsigned counted = elapsed < 2 * CS_LINK_TICK ? elapsed : 2 * CS_LINK_TICK;
  link->silent += counted;
  link->wait += counted;
  if (link->silent >= link->shared->silence_ms)
    {
      char why[80];
      snprintf (why, sizeof why, "it has answered nothing for %u ms", link->silent);
      lose (link, why);
      return;
    }
  if (link->unacknowledged > 0)
    link->must_acknowledge = true;
  if (link->fd >= 0 && link->greeted)
    {
      link->must_ping = link->must_ping || link->silent >= 3 * CS_LINK_TICK;
      /* The one that listens waits for the other to come again. */
      if (link->silent >= CS_LINK_RETRY && link->peer < link->shared->node
          && link->wait >= CS_LINK_RETRY)
        disconnect (link);
    }
  else if (link->fd >= 0 && link->wait >= CS_LINK_RETRY)
    disconnect (link);
  if (link->fd < 0 && link->peer < link->shared->node)
    {
      link->wait = 0;
      begin_connecting (link);
    }
}
