/* Numbered messages between all nodes, over TCP and UDP (causality.h says what they prove).
 *
 * One thread, poll().  Node I listens; it connects to every node below it and is called by every
 * node above it.  A connection that breaks is an event and is made again.  Messages go out at a
 * steady rate; a peer that does not take them (it is paused) only stops that rate: nothing piles
 * up beyond one buffer. */
#include "config.h"

#include "guest-agent/probe/causality.h"
#include "guest-agent/probe/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_PORT 7001
#define UDP_PORT 7002
#define TICK_MS 10
#define RECONNECT_MS 300
#define BURST 4

/* The thread's only, but for what stands under the lock. */
static const struct probe_options *options;
static int listener, datagrams;
static struct stream streams[PROBE_NODES_MAX];
static struct probe_pace pace;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct causality causality;
static uint64_t resets[PROBE_NODES_MAX];
static bool connected[PROBE_NODES_MAX];

static struct sockaddr_in
address_of (unsigned node, unsigned port)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons ((uint16_t)port) };
  char text[64];
  snprintf (text, sizeof text, "%s.%u", options->net, 10 + node);
  if (inet_pton (AF_INET, text, &address.sin_addr) != 1)
    {
      fprintf (stderr, "cut-probe: net='%s' is not the first three parts of an address\n",
               options->net);
      exit (EXIT_FAILURE);
    }
  return address;
}

/* Which node has this address; own number for none. */
static unsigned
node_of (const struct sockaddr_in *address)
{
  for (unsigned i = 0; i < options->nodes; i++)
    if (address_of (i, 0).sin_addr.s_addr == address->sin_addr.s_addr)
      return i;
  return options->node;
}

static int
open_socket (int type, unsigned port)
{
  struct sockaddr_in own = address_of (options->node, port);
  int one = 1;
  int fd = socket (AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one)
      || bind (fd, (struct sockaddr *)&own, sizeof own))
    {
      perror ("cut-probe: cannot bind to this node's address");
      exit (EXIT_FAILURE);
    }
  return fd;
}

/* Ends a connection; one that had been made is missed. */
static void
drop (unsigned peer, const char *why)
{
  struct stream *stream = &streams[peer];
  bool was = stream_close (stream);
  stream->retry_ms = probe_now_ms () + RECONNECT_MS;
  pthread_mutex_lock (&lock);
  connected[peer] = false;
  if (was)
    resets[peer]++;
  pthread_mutex_unlock (&lock);
  if (was)
    probe_event ("tcp connection with node %u broke: %s", peer, why);
}

static void
established (unsigned peer)
{
  pthread_mutex_lock (&lock);
  causality.peers[peer].channels[MESSAGE_TCP].fresh = true;
  connected[peer] = true;
  pthread_mutex_unlock (&lock);
  probe_event ("tcp connection with node %u", peer);
}

static void
accept_peer (void)
{
  struct sockaddr_in from;
  socklen_t length = sizeof from;
  int fd = accept4 (listener, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0)
    return;
  unsigned peer = node_of (&from);
  if (peer <= options->node)
    {
      close (fd);
      return;
    }
  if (streams[peer].fd >= 0)
    drop (peer, "it was made again by the other side");
  stream_accepted (&streams[peer], fd);
  established (peer);
}

static void
connect_peer (unsigned peer)
{
  struct sockaddr_in to = address_of (peer, TCP_PORT);
  int fd = open_socket (SOCK_STREAM, 0);
  stream_connect (&streams[peer], fd, &to);
  if (streams[peer].fd < 0)
    streams[peer].retry_ms = probe_now_ms () + RECONNECT_MS;
}

static void
receive (unsigned from, enum message_protocol protocol, const struct message *message)
{
  pthread_mutex_lock (&lock);
  causality_receive (&causality, from, protocol, message);
  pthread_mutex_unlock (&lock);
}

static void
send_one (unsigned peer)
{
  struct message message;
  struct sockaddr_in to = address_of (peer, UDP_PORT);
  if (stream_has_room (&streams[peer], sizeof message))
    {
      pthread_mutex_lock (&lock);
      causality_send (&causality, peer, MESSAGE_TCP, &message);
      pthread_mutex_unlock (&lock);
      stream_put (&streams[peer], &message, sizeof message);
    }
  pthread_mutex_lock (&lock);
  causality_send (&causality, peer, MESSAGE_UDP, &message);
  pthread_mutex_unlock (&lock);
  /* A datagram that is not sent is lost like any other. */
  sendto (datagrams, &message, sizeof message, 0, (struct sockaddr *)&to, sizeof to);
}

static void
receive_datagrams (void)
{
  for (unsigned i = 0; i < 64; i++)
    {
      struct message message;
      struct sockaddr_in from;
      socklen_t length = sizeof from;
      ssize_t got = recvfrom (datagrams, &message, sizeof message, MSG_TRUNC,
                              (struct sockaddr *)&from, &length);
      if (got < 0)
        return;
      unsigned peer = node_of (&from);
      if (got == sizeof message && peer != options->node)
        receive (peer, MESSAGE_UDP, &message);
    }
}

static void
receive_stream (unsigned peer)
{
  struct message message;
  const char *error = stream_fill (&streams[peer]);
  while (stream_take (&streams[peer], &message, sizeof message))
    receive (peer, MESSAGE_TCP, &message);
  if (error)
    drop (peer, error);
}

static void
serve_stream (unsigned peer, short events)
{
  struct stream *stream = &streams[peer];
  if (stream->connecting)
    {
      if (!(events & (POLLOUT | POLLERR | POLLHUP)))
        return;
      if (stream_connected (stream))
        established (peer);
      else
        drop (peer, "refused");
      return;
    }
  if (events & (POLLIN | POLLERR | POLLHUP))
    receive_stream (peer);
  if (stream->fd >= 0 && !stream->connecting)
    {
      const char *error = stream_flush (stream);
      if (error)
        drop (peer, error);
    }
}

static void
send_round (void)
{
  unsigned count = probe_pace_take (&pace, options->rate, BURST);
  for (unsigned peer = 0; peer < options->nodes; peer++)
    {
      if (peer == options->node || peer / options->group != options->node / options->group)
        continue;
      for (unsigned i = 0; i < count; i++)
        send_one (peer);
      if (peer < options->node && streams[peer].fd < 0 && probe_now_ms () >= streams[peer].retry_ms)
        connect_peer (peer);
      if (streams[peer].fd >= 0 && !streams[peer].connecting)
        serve_stream (peer, 0);
    }
}

static void *
exchange_body (void *unused)
{
  struct pollfd fds[PROBE_NODES_MAX + 2];
  for (;;)
    {
      fds[0] = (struct pollfd){ .fd = listener, .events = POLLIN };
      fds[1] = (struct pollfd){ .fd = datagrams, .events = POLLIN };
      for (unsigned i = 0; i < options->nodes; i++)
        fds[2 + i] = (struct pollfd){ .fd = streams[i].fd, .events = stream_events (&streams[i]) };
      int ready = poll (fds, 2 + options->nodes, TICK_MS);
      if (ready > 0 && fds[1].revents)
        receive_datagrams ();
      for (unsigned i = 0; ready > 0 && i < options->nodes; i++)
        if (fds[2 + i].revents && streams[i].fd == fds[2 + i].fd)
          serve_stream (i, fds[2 + i].revents);
      if (ready > 0 && fds[0].revents)
        accept_peer ();
      send_round ();
    }
  return NULL;
}

void
exchange_start (const struct probe_options *given)
{
  options = given;
  causality_init (&causality, given->node, given->nodes);
  for (unsigned i = 0; i < given->nodes; i++)
    stream_init (&streams[i]);
  if (!*given->net || given->nodes < 2)
    return;
  listener = open_socket (SOCK_STREAM, TCP_PORT);
  datagrams = open_socket (SOCK_DGRAM, UDP_PORT);
  if (listen (listener, PROBE_NODES_MAX))
    {
      perror ("cut-probe: cannot listen");
      exit (EXIT_FAILURE);
    }
  probe_thread (exchange_body, NULL);
}

void
exchange_get (struct exchange_state *state)
{
  pthread_mutex_lock (&lock);
  for (unsigned i = 0; i < causality.nodes; i++)
    {
      const struct causality_channel *channels = causality.peers[i].channels;
      state->peers[i].tcp = (struct exchange_channel_state){
        channels[MESSAGE_TCP].sent.newest,
        channels[MESSAGE_TCP].received.number,
        channels[MESSAGE_TCP].lost,
      };
      state->peers[i].udp = (struct exchange_channel_state){
        channels[MESSAGE_UDP].sent.newest,
        channels[MESSAGE_UDP].received.number,
        channels[MESSAGE_UDP].lost,
      };
      state->peers[i].resets = resets[i];
      state->peers[i].connected = connected[i];
      state->clock[i].count = causality.clock[i].count;
      state->clock[i].history = causality.clock[i].history;
    }
  pthread_mutex_unlock (&lock);
}
