/* Starting a process that outlives us: QEMU, an NBD server. */
#ifndef CS_VMM_SPAWN_H
#define CS_VMM_SPAWN_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Starts @argv (argv[0] is looked for in PATH) in @directory, in its own session, stdin /dev/null,
 * stdout and stderr @output; it inherits no other descriptor, and the priority of the process, not
 * the calling worker's.  While we live its exit status is taken when it ends.
 * Returns the process, 0 for an error: NOT_FOUND when there is no such program. */
pid_t cs_spawn (const char *const *argv, const char *directory, int output, GError **error);

#endif
