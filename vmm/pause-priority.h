/* While a VM stands, what lets it run again goes before all else on the host: the thread that
 * drives it and the threads of its QEMU, but for the vCPUs'.  Nice values do not do that where the
 * kernel weighs groups of threads against each other (autogroup, the cgroups of services and of
 * libvirt's domains), so it is the realtime policy SCHED_RR, sched(7).  Where that is not allowed
 * (a cgroup without realtime) all stays as it is. */
#ifndef CS_VMM_PAUSE_PRIORITY_H
#define CS_VMM_PAUSE_PRIORITY_H

#include <glib.h>
#include <sys/types.h>

/* Raises the calling thread and, unless @vcpus (of pid_t) is NULL, those of process @qemu that are
 * not in it.  Threads with a policy of their own keep it; threads that they start are not raised.
 */
void cs_pause_priority_raise (pid_t qemu, const GArray *vcpus);
/* Takes that back, whoever has done it: also a clusnapd that was killed. */
void cs_pause_priority_drop (pid_t qemu);

#endif
