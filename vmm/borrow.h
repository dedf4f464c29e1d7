/* One thread of another process, borrowed for one system call.  The dance itself; which thread
 * and how long to try is inject.c's business. */
#ifndef CS_VMM_BORROW_H
#define CS_VMM_BORROW_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct
{
  long number;
  const unsigned long *arguments; /* 6 */
  gint64 deadline;                /* g_get_monotonic_time */
  long result;                    /* set by DONE: what the kernel returned, -errno for failure */
} CsBorrowedCall;

typedef enum
{
  CS_BORROW_DONE,
  CS_BORROW_AGAIN,  /* not possible at this moment; the thread is as it was (or has ended) */
  CS_BORROW_DENIED, /* PTRACE_SEIZE: EPERM */
  CS_BORROW_LATE,   /* deadline; the thread is as it was */
  CS_BORROW_LOST,   /* the call was begun and never came back, long after the deadline */
} CsBorrowOutcome;

/* Has thread @tid execute @call and puts it back into the system call it waited in.
 *
 * After LATE and LOST the calling thread may still be the tracer: it must end, upon which
 * the kernel releases the target (exit_ptrace), stopped or not. */
CsBorrowOutcome cs_borrow_thread (pid_t tid, CsBorrowedCall *call);

#endif
