/* libclusnap-participant for tests: the agent is the test, in the same process. */
#include "config.h"

#include "tests/dsm/participant-double.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct CsParticipant
{
  int fd;
  const CsParticipantHandlers *handlers;
  void *data;
};

Double the_double = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static CsParticipant participant;
static CsParticipantIdentity identity;

CsParticipant *
cs_participant_open (const char *path, const char *name, const CsParticipantHandlers *handlers,
                     void *data)
{
  if (!__atomic_load_n (&the_double.there, __ATOMIC_SEQ_CST))
    {
      errno = ENOENT;
      return NULL;
    }
  participant = (CsParticipant){ eventfd (0, EFD_NONBLOCK), handlers, data };
  __atomic_store_n (&the_double.fd, participant.fd, __ATOMIC_SEQ_CST);
  return &participant;
}

void
cs_participant_close (CsParticipant *self)
{
  close (self->fd);
  the_double.fd = 0;
}

int
cs_participant_fd (const CsParticipant *self)
{
  return self->fd;
}

int
cs_participant_dispatch (CsParticipant *self)
{
  guint64 count;
  char reason[CS_PARTICIPANT_REASON] = "";
  ssize_t n = read (self->fd, &count, sizeof count);
  (void)n;
  pthread_mutex_lock (&the_double.mutex);
  DoubleAsks asks = the_double.asks;
  guint value = the_double.value;
  the_double.asks = DOUBLE_NOTHING;
  pthread_mutex_unlock (&the_double.mutex);
  switch (asks)
    {
    case DOUBLE_PREPARE:
      if (self->handlers->prepare (self->data, value, reason))
        cs_participant_ready (self, NULL);
      else if (reason[0] != '\0')
        cs_participant_ready (self, reason);
      break;
    case DOUBLE_RESUME:
      g_strlcpy (identity.vm, "vm0", sizeof identity.vm);
      identity.interval = value;
      self->handlers->resume (self->data, &identity, 0);
      double_says (DOUBLE_RESUMED);
      break;
    case DOUBLE_DEPENDENCIES:
      the_double.n =
          self->handlers->dependencies (self->data, the_double.dependencies, CS_PARTICIPANT_VMS);
      double_says (DOUBLE_TOLD);
      break;
    case DOUBLE_GOES:
      __atomic_store_n (&the_double.there, 0, __ATOMIC_SEQ_CST);
      errno = ECONNRESET;
      return -1;
    default:
      break;
    }
  return 0;
}

int
cs_participant_ready (CsParticipant *self, const char *reason)
{
  double_says (reason == NULL ? DOUBLE_READY : DOUBLE_VETO);
  return 0;
}

const CsParticipantIdentity *
cs_participant_identity (const CsParticipant *self)
{
  return &identity;
}

void
double_says (DoubleSaid said)
{
  __atomic_store_n (&the_double.said, said, __ATOMIC_SEQ_CST);
}

void
double_ask (DoubleAsks asks, guint value)
{
  static const guint64 one = 1;
  while (__atomic_load_n (&the_double.fd, __ATOMIC_SEQ_CST) == 0)
    g_usleep (1000);
  double_says (DOUBLE_SILENT);
  pthread_mutex_lock (&the_double.mutex);
  the_double.asks = asks;
  the_double.value = value;
  pthread_mutex_unlock (&the_double.mutex);
  ssize_t n = write (the_double.fd, &one, sizeof one);
  (void)n;
}

DoubleSaid
double_wait (void)
{
  DoubleSaid said;
  while ((said = __atomic_load_n (&the_double.said, __ATOMIC_SEQ_CST)) == DOUBLE_SILENT)
    g_usleep (1000);
  return said;
}
