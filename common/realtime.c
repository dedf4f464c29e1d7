#include "config.h"

#include "common/realtime.h"

#include <sched.h>

/* Also how threads that we have raised are recognized: nobody else sets both. */
#define RAISED (SCHED_RR | SCHED_RESET_ON_FORK)

static void
change (pid_t thread, int from, int to, int priority)
{
  struct sched_param parameters = { .sched_priority = priority };
  if (sched_getscheduler (thread) == from)
    sched_setscheduler (thread, to, &parameters);
}

void
cs_realtime_raise (pid_t thread)
{
  change (thread, SCHED_OTHER, RAISED, 1);
}

void
cs_realtime_drop (pid_t thread)
{
  change (thread, RAISED, SCHED_OTHER, 0);
}
