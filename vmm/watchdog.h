/* Who sees to it that a guest runs when clusnapd itself hangs: a supervisor, the process that was
 * started, whose child does the work.  It does nothing else, so nothing can make it hang.
 *
 * The worker notes in memory that both share which VMs stand, and until when that is in order.  A
 * VM that stands longer means that the worker's own deadlines did not work (a thread hangs): the
 * supervisor kills it and starts another one, whose journal recovery resumes what stands. */
#ifndef CS_VMM_WATCHDOG_H
#define CS_VMM_WATCHDOG_H

#include <glib.h>
#include <stdbool.h>

/* Before any thread is started.  Returns true in the worker, which is to go on; false in the
 * supervisor when the worker has ended, with its exit status.  A worker that was killed by a signal
 * takes the supervisor with it, and the other way round. */
bool cs_watchdog_supervise (int *status);

/* A VM is about to stand, until @deadline (g_get_monotonic_time) at the latest.  Returns a number
 * for cs_watchdog_end; -1, which that ignores, without a supervisor.  Any thread; no system call.
 */
int cs_watchdog_begin (const char *name, gint64 deadline);
/* Gives it another deadline. */
void cs_watchdog_move (int number, gint64 deadline);
void cs_watchdog_end (int number);

#endif
