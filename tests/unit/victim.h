/* Processes to inject system calls into. */
#ifndef CS_TESTS_VICTIM_H
#define CS_TESTS_VICTIM_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Runs @func in a child process that dies with us. */
pid_t victim_start (void (*func) (void));
void victim_end (pid_t pid);
bool victim_is_alive (pid_t pid);
/* Waits (up to 10 s) until the state in /proc/PID/stat is @state. */
void victim_wait_for_state (pid_t pid, char state);

void victim_wait (void);           /* for good, in ppoll */
void victim_wait_as_nobody (void); /* the same without any privilege */
void victim_spin (void);           /* never makes a system call */

/* What the busy victim found out about itself; shared memory. */
typedef struct
{
  guint wrong; /* results that no undisturbed process could see */
  guint signals;
  guint waits;
  char text[128]; /* the first wrong result */
} VictimReport;
VictimReport *victim_report_new (void);

/* Threads that wait in every way and check what they get, and a timer that sends signals. */
pid_t victim_start_busy (VictimReport *report);

/* Processes that send SIGSTOP and SIGCONT to @pid, trace it, or kill it after @delay us. */
pid_t victim_start_nuisance (pid_t pid);
pid_t victim_start_tracer (pid_t pid);
pid_t victim_start_killer (pid_t pid, guint delay);

bool victim_may_make_userfaultfd (void); /* vm.unprivileged_userfaultfd */
bool victim_tracing_works (void);        /* says why not */

#endif
