/* Executes one system call inside another process, with ptrace, without touching its text.
 *
 * Source: DESIGN.md section 2; ptrace(2).  A thread of the target that waits in a system
 * call is stopped (PTRACE_SEIZE, PTRACE_INTERRUPT); the two bytes before its instruction
 * pointer are the `syscall` instruction, which is executed once more with our registers; then all
 * registers are restored and the thread detached, its own call restarted.  How: inject.c, borrow.c.
 *
 * Threads: any; but nobody else in this process may wait for @pid's stops meanwhile (waitpid with
 * WUNTRACED, or of everything: waitpid (-1)). */
#ifndef CS_VMM_INJECT_H
#define CS_VMM_INJECT_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Makes process @pid execute system call @number with @arguments; *@result gets what the kernel
 * returned (-errno for failure, which is not an @error of this function).  A deadline
 * of 5 s holds, at which a call that blocks is broken off; the target is never left stopped.
 * Errors: GONE, BUSY (traced by somebody else), PERMISSION, DEADLINE. */
bool cs_inject_syscall (pid_t pid, long number, const unsigned long arguments[6], long *result,
                        GError **error);

/* Makes a userfaultfd of process @pid's address space with UFFDIO_API @features done and
 * returns our descriptor to it, or -1.  With @keep, *@keep gets the number of the copy that
 * is left open in the target, so that a fault waits (rather than reading zeros) should we die;
 * without, none is left.  @monitor passes /dev/userfaultfd where the target itself may not make
 * one. */
struct CsMonitor;
int cs_inject_userfaultfd (pid_t pid, struct CsMonitor *monitor, guint64 features, int *keep,
                           GError **error);

/* Closes descriptor @fd in process @pid. */
bool cs_inject_close (pid_t pid, int fd, GError **error);

#endif
