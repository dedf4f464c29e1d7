/* The node's thread: it alone runs engine, links and region, so none of these has a lock.
 *
 *     poll: faults of the program, calls of the program, peers, strangers, time
 *        -> engine (frames queued at the links, pages installed or dropped)
 *        -> links write
 *        -> ready?  a peer lost?  all said BYE? */
#define _GNU_SOURCE
#include "guest-agent/dsm/dsm-private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAULTS_AT_ONCE 64
#define LINGER_MS 5000 /* of our own time: then it closes though a peer has not said BYE */

static int64_t
now_us (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* @peer CS_DSM_NODES: nobody knows who. */
void
dsm_report (CsDsm *dsm, unsigned peer, const char *what)
{
  char line[400];
  if (peer < CS_DSM_NODES)
    snprintf (line, sizeof line, "node %u: peer %u: %s", dsm->options.node, peer, what);
  else
    snprintf (line, sizeof line, "node %u: %s", dsm->options.node, what);
  /* A peer that is refused tries again and again. */
  if (strcmp (line, dsm->reported) == 0)
    return;
  memcpy (dsm->reported, line, sizeof dsm->reported);
  if (dsm->options.report != NULL)
    dsm->options.report (dsm->options.data, line);
  else
    fprintf (stderr, "clusdsm: %s\n", line);
}

static void
signal_ready (CsDsm *dsm)
{
  static const uint64_t one = 1;
  ssize_t n = write (dsm->ready_fd, &one, sizeof one);
  (void)n;
}

/* Everything that waits for the peer ends. */
static void
fail (CsDsm *dsm, unsigned peer, const char *why)
{
  if (dsm->failed)
    return;
  snprintf (dsm->lost, sizeof dsm->lost, "lost peer %u: %s", peer, why);
  __atomic_store_n (&dsm->failed, true, __ATOMIC_SEQ_CST);
  dsm_report (dsm, peer, why);
  if (dsm->options.lost != NULL)
    dsm->options.lost (dsm->options.data, peer, why);
  dsm_fail_calls (dsm);
  signal_ready (dsm);
  for (uint32_t page = 0; page < dsm->pages; page++)
    if (cs_engine_waits (dsm->engine, page))
      cs_region_poison (dsm->region, page);
}

static void
take_faults (CsDsm *dsm)
{
  uint32_t page;
  bool write;
  for (unsigned i = 0; i < FAULTS_AT_ONCE && cs_region_fault (dsm->region, &page, &write); i++)
    if (dsm->failed && !cs_engine_has (dsm->engine, page, write))
      cs_region_poison (dsm->region, page);
    else
      cs_engine_fault (dsm->engine, page, write);
}

static void
tick (CsDsm *dsm, int64_t now)
{
  int64_t elapsed = (now - dsm->last_tick) / 1000;
  if (elapsed >= 0 && elapsed < CS_LINK_TICK)
    return;
  dsm->last_tick = now;
  unsigned counted = elapsed > 0 && elapsed < 2 * CS_LINK_TICK ? (unsigned)elapsed : CS_LINK_TICK;
  for (unsigned i = 0; i < dsm->options.nodes; i++)
    if (dsm->links[i] != NULL)
      cs_link_tick (dsm->links[i], counted);
  strangers_tick (dsm, counted);
  if (dsm->said_bye)
    dsm->linger += counted;
}

/* ---- what has become of all that ---- */

static void
check_open (CsDsm *dsm)
{
  if (dsm->opening == NULL)
    return;
  for (unsigned i = 0; i < dsm->options.nodes; i++)
    if (dsm->links[i] != NULL && !cs_link_is_up (dsm->links[i]))
      return;
  dsm->shared.silence_ms = dsm->options.silence_ms;
  dsm_answer (dsm, dsm->opening, 0);
  dsm->opening = NULL;
}

static void
check_ready (CsDsm *dsm)
{
  if (!dsm->prepared || dsm->ready || dsm->failed || !cs_engine_is_still (dsm->engine))
    return;
  for (unsigned i = 0; i < dsm->options.nodes; i++)
    if (dsm->links[i] != NULL && !cs_link_is_drained (dsm->links[i]))
      return;
  dsm->ready = true;
  signal_ready (dsm);
}

static void
say_bye (CsDsm *dsm)
{
  CsFrame frame;
  memset (&frame, 0, offsetof (CsFrame, entry));
  frame.kind = CS_WIRE_BYE;
  frame.flags = CS_WIRE_ACK_NOW;
  frame.interval = cs_engine_interval (dsm->engine);
  for (unsigned i = 0; i < dsm->options.nodes; i++)
    if (dsm->links[i] != NULL)
      cs_link_send (dsm->links[i], &frame);
  dsm->said_bye = true;
}

/* A peer that has said BYE and ended the connection had all it needed. */
static void
check_close (CsDsm *dsm)
{
  if (dsm->closing == NULL)
    return;
  if (!dsm->said_bye && !dsm->failed)
    say_bye (dsm);
  bool all = true;
  for (unsigned i = 0; i < dsm->options.nodes; i++)
    {
      const CsLink *link = dsm->links[i];
      if (link != NULL
          && (!cs_link_has_left (link) || (!cs_link_is_drained (link) && cs_link_fd (link) >= 0)))
        all = false;
    }
  dsm->ended = all || dsm->failed || dsm->linger > LINGER_MS;
}

static void
check_links (CsDsm *dsm)
{
  for (unsigned i = 0; i < dsm->options.nodes; i++)
    if (dsm->links[i] != NULL)
      {
        cs_link_write (dsm->links[i]);
        if (cs_link_lost (dsm->links[i]) != NULL)
          fail (dsm, i, cs_link_lost (dsm->links[i]));
      }
}

/* ---- polling ---- */

enum
{
  WAKE,
  FAULTS,
  LISTENER,
  STRANGERS,
  LINKS = STRANGERS + DSM_STRANGERS,
  POLLERS = LINKS + CS_DSM_NODES,
};

static void
fill_pollers (const CsDsm *dsm, struct pollfd *pollers)
{
  pollers[WAKE] = (struct pollfd){ .fd = dsm->wake_fd, .events = POLLIN };
  pollers[FAULTS] = (struct pollfd){ .fd = cs_region_fd (dsm->region), .events = POLLIN };
  pollers[LISTENER] = (struct pollfd){ .fd = dsm->listener, .events = POLLIN };
  for (unsigned i = 0; i < DSM_STRANGERS; i++)
    pollers[STRANGERS + i] = (struct pollfd){ .fd = dsm->strangers[i].fd, .events = POLLIN };
  for (unsigned i = 0; i < CS_DSM_NODES; i++)
    {
      const CsLink *link = dsm->links[i];
      pollers[LINKS + i] = (struct pollfd){ .fd = -1 };
      if (link != NULL)
        pollers[LINKS + i] = (struct pollfd){ cs_link_fd (link), cs_link_events (link), 0 };
    }
}

static void
dispatch (CsDsm *dsm, const struct pollfd *pollers)
{
  /* Calls first: prepare shall stop what the program asks for next. */
  if (pollers[WAKE].revents)
    dsm_take_calls (dsm);
  for (unsigned i = 0; i < CS_DSM_NODES; i++)
    if (pollers[LINKS + i].revents && cs_link_fd (dsm->links[i]) == pollers[LINKS + i].fd)
      cs_link_ready (dsm->links[i], pollers[LINKS + i].revents);
  if (pollers[FAULTS].revents)
    take_faults (dsm);
  for (unsigned i = 0; i < DSM_STRANGERS; i++)
    if (pollers[STRANGERS + i].revents && dsm->strangers[i].fd >= 0)
      strangers_read (dsm, &dsm->strangers[i]);
  if (pollers[LISTENER].revents)
    strangers_accept (dsm);
}

void *
dsm_run (void *data)
{
  CsDsm *dsm = data;
  sigset_t all;
  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, NULL);
  dsm->last_tick = now_us ();
  int64_t due = -1;
  while (!dsm->ended)
    {
      struct pollfd pollers[POLLERS];
      fill_pollers (dsm, pollers);
      int64_t wait = due >= 0 && due < CS_LINK_TICK * 1000 ? due : CS_LINK_TICK * 1000;
      struct timespec timeout = { 0, (long)wait * 1000 };
      int n = ppoll (pollers, POLLERS, &timeout, NULL);
      int64_t now = now_us ();
      cs_engine_tick (dsm->engine, now);
      if (n > 0)
        dispatch (dsm, pollers);
      due = cs_engine_tick (dsm->engine, now_us ());
      tick (dsm, now);
      check_links (dsm);
      check_open (dsm);
      check_ready (dsm);
      check_close (dsm);
    }
  check_links (dsm);
  dsm_answer (dsm, dsm->closing, dsm->failed ? EHOSTDOWN : 0);
  return NULL;
}
