/* Threads for which VMs stand and wait go before all others on the host: SCHED_RR, sched(7).  Nice
 * values do not do that where the kernel weighs groups of threads against each other (autogroup,
 * the cgroups of services and of libvirt's domains).  Threads that have a policy of their own keep
 * it, those that they start are not raised, and where realtime is not allowed all stays as it is.
 */
#ifndef CS_COMMON_REALTIME_H
#define CS_COMMON_REALTIME_H

#include <sys/types.h>

#define CS_REALTIME_SELF 0 /* the calling thread */

void cs_realtime_raise (pid_t thread);
/* Takes that back, whoever has done it: also a process that was killed. */
void cs_realtime_drop (pid_t thread);

#endif
