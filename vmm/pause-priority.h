/* While a VM stands, what lets it run again goes before all else on the host (common/realtime.h):
 * the thread that drives it and the threads of its QEMU, but for the vCPUs'. */
#ifndef CS_VMM_PAUSE_PRIORITY_H
#define CS_VMM_PAUSE_PRIORITY_H

#include <glib.h>
#include <sys/types.h>

/* Raises the calling thread and, unless @vcpus (of pid_t) is NULL, those of process @qemu that are
 * not in it. */
void cs_pause_priority_raise (pid_t qemu, const GArray *vcpus);
/* Takes that back, whoever has done it: also a clusnapd that was killed. */
void cs_pause_priority_drop (pid_t qemu);

#endif
