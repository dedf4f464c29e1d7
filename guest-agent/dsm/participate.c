/* The DSM as a participant in snapshots: binds participant.h to cs_dsm_prepare, _resume and
 * _dependencies.
 *
 * One thread.  When the agent goes away, or the deadline passes before the node was ready, the node
 * goes on by itself: nobody would tell it to. */
#include "guest-agent/dsm/dsm-private.h"
#include "guest-agent/participant/participant.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define AGENT_AGAIN 1000 /* milliseconds between attempts to find the agent again */

_Static_assert(CS_PARTICIPANT_NAME == CS_DSM_NAME, "a VM's name has one length");

typedef struct
{
  /* immutable */
  CsDsm *dsm;
  char *path, *name;
  int stop_fd;
  pthread_t thread;
  /* its thread's */
  CsParticipant *participant; /* NULL: no agent */
  bool waits;                 /* for the node to become ready */
  bool prepared;
  CsParticipantIdentity identity; /* that the DSM has */
  int64_t deadline;               /* milliseconds, of waits */
} Participation;

static int64_t
now_ms (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int
prepare (void *data, unsigned deadline, char *reason)
{
  Participation *self = data;
  reason[0] = '\0';
  if (cs_dsm_prepare (self->dsm) < 0)
    {
      snprintf (reason, CS_PARTICIPANT_REASON, "the DSM has lost a peer");
      return 0;
    }
  self->prepared = true;
  self->waits = true;
  self->deadline = now_ms () + deadline;
  return 0;
}

static void
go_on (Participation *self, const CsParticipantIdentity *identity)
{
  self->waits = self->prepared = false;
  self->identity = *identity;
  cs_dsm_resume (self->dsm, identity->vm[0] != '\0' ? identity->vm : NULL, identity->interval);
}

static void
resume (void *data, const CsParticipantIdentity *identity, int restored)
{
  (void)restored; /* memory, directory and connections went back together: nothing is to be done */
  go_on (data, identity);
}

static size_t
dependencies (void *data, CsParticipantDependency *list, size_t n)
{
  Participation *self = data;
  CsDsmDependency own[CS_DSM_NODES];
  size_t count =
      cs_dsm_dependencies (self->dsm, CS_DSM_DIRECT, own, n < CS_DSM_NODES ? n : CS_DSM_NODES);
  for (size_t i = 0; i < count; i++)
    {
      memcpy (list[i].vm, own[i].vm, CS_DSM_NAME);
      list[i].interval = own[i].interval;
    }
  return count;
}

static const CsParticipantHandlers handlers = { prepare, resume, dependencies };

static void
leave_agent (Participation *self)
{
  CsParticipantIdentity identity = *cs_participant_identity (self->participant);
  cs_participant_close (self->participant);
  self->participant = NULL;
  if (self->prepared)
    go_on (self, &identity);
}

/* The node is ready, lost a peer, or is too late. */
static void
answer (Participation *self)
{
  self->waits = false;
  if (cs_dsm_wait_ready (self->dsm, 0) == 0)
    cs_participant_ready (self->participant, NULL);
  else
    {
      bool lost = errno == EHOSTDOWN;
      cs_participant_ready (self->participant, lost ? "the DSM has lost a peer"
                                                    : "the DSM's transfers did not end in time");
      CsParticipantIdentity identity = *cs_participant_identity (self->participant);
      go_on (self, &identity);
    }
}

/* The agent's welcome tells who this guest is. */
static void
adopt (Participation *self)
{
  if (self->participant == NULL || self->prepared)
    return;
  const CsParticipantIdentity *identity = cs_participant_identity (self->participant);
  if (identity->vm[0] == '\0'
      || (identity->interval == self->identity.interval
          && strcmp (identity->vm, self->identity.vm) == 0))
    return;
  self->identity = *identity;
  cs_dsm_resume (self->dsm, identity->vm, identity->interval);
}

static void *
run (void *data)
{
  Participation *self = data;
  for (;;)
    {
      struct pollfd pollers[] = {
        { .fd = self->stop_fd, .events = POLLIN },
        { .fd = -1, .events = POLLIN },
        { .fd = self->waits ? cs_dsm_ready_fd (self->dsm) : -1, .events = POLLIN },
      };
      int64_t left = self->waits ? self->deadline - now_ms () : AGENT_AGAIN;
      if (self->participant == NULL)
        self->participant = cs_participant_open (self->path, self->name, &handlers, self);
      if (self->participant != NULL)
        pollers[1].fd = cs_participant_fd (self->participant);
      poll (pollers, 3, left > 0 ? (int)left : 0);
      if (pollers[0].revents)
        break;
      if (self->participant == NULL)
        continue;
      if (pollers[1].revents && cs_participant_dispatch (self->participant) < 0)
        leave_agent (self);
      adopt (self);
      if (self->participant != NULL && self->waits
          && (pollers[2].revents || now_ms () >= self->deadline))
        answer (self);
    }
  if (self->participant != NULL)
    leave_agent (self);
  return NULL;
}

static void
participation_free (Participation *self)
{
  if (self->stop_fd >= 0)
    close (self->stop_fd);
  free (self->path);
  free (self->name);
  free (self);
}

static void
stop (void *data)
{
  static const uint64_t one = 1;
  Participation *self = data;
  ssize_t n = write (self->stop_fd, &one, sizeof one);
  (void)n;
  pthread_join (self->thread, NULL);
  participation_free (self);
}

int
cs_dsm_participate (CsDsm *dsm, const char *path, const char *name)
{
  if (dsm->stop_participating != NULL)
    {
      errno = EBUSY;
      return -1;
    }
  Participation *self = calloc (1, sizeof *self);
  if (self == NULL)
    return -1;
  self->dsm = dsm;
  self->path = path != NULL ? strdup (path) : NULL;
  self->name = strdup (name);
  self->stop_fd = eventfd (0, EFD_CLOEXEC);
  int error = self->name == NULL || self->stop_fd < 0 ? errno : 0;
  if (error == 0)
    error = pthread_create (&self->thread, NULL, run, self);
  if (error == 0)
    {
      dsm->participation = self;
      dsm->stop_participating = stop;
      return 0;
    }
  participation_free (self);
  errno = error;
  return -1;
}
