/* libclusnap-participant for tests: the agent is the test, in the same process. */
#ifndef CS_TESTS_DSM_PARTICIPANT_DOUBLE_H
#define CS_TESTS_DSM_PARTICIPANT_DOUBLE_H

#include "guest-agent/participant/participant.h"

#include <glib.h>
#include <pthread.h>

typedef enum
{
  DOUBLE_NOTHING,
  DOUBLE_PREPARE, /* value: the deadline */
  DOUBLE_RESUME,  /* value: the interval */
  DOUBLE_DEPENDENCIES,
  DOUBLE_GOES, /* the agent ends */
} DoubleAsks;

typedef enum
{
  DOUBLE_SILENT,
  DOUBLE_READY,
  DOUBLE_VETO,
  DOUBLE_RESUMED,
  DOUBLE_TOLD,
} DoubleSaid;

typedef struct
{
  pthread_mutex_t mutex;
  DoubleAsks asks;
  guint value;
  int there, fd; /* there: an agent can be reached */
  DoubleSaid said;
  gsize n;
  CsParticipantDependency dependencies[CS_PARTICIPANT_VMS];
} Double;

extern Double the_double;

void double_says (DoubleSaid said);
void double_ask (DoubleAsks asks, guint value);
DoubleSaid double_wait (void); /* what the participant says, as soon as it does */

#endif
