/* Starting a bare QEMU that outlives us. */
#ifndef CS_VMM_LAUNCH_H
#define CS_VMM_LAUNCH_H

#include "vmm/monitor.h"

/* Starts @argv in @directory, in its own session, stdin /dev/null, output appended to @log_path
 * (0600), and connects to its QMP socket at @path.  When it ends before, the error has its
 * last words.  On failure no process is left. */
CsMonitor *cs_launch_qemu (const char *const *argv, const char *directory, const char *path,
                           const char *log_path, GError **error);

/* The last line written to @log after @begin; "" when there is none. */
char *cs_launch_last_words (int log, off_t begin);

/* Ends the process of @pid: SIGTERM, and after 2 s SIGKILL; returns when it is gone. */
void cs_launch_end (pid_t pid);

#endif
