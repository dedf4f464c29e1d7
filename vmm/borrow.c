/* Theory of operation
 *
 * The thread waits in a system call.  PTRACE_INTERRUPT makes the kernel leave that call with a
 * restart code (-ERESTARTNOHAND and the like) in rax and stop in get_signal (): "event stop".
 * What happens to the interrupted call is decided only after that stop, from rax and orig_rax:
 * restarted when no signal is to be handled, EINTR when one is, a restart_syscall(2)
 * for calls with a time limit.  The kernel must take this decision, since only it
 * knows about signals that arrive meanwhile; so
 *
 *   event stop    registers saved; rip back onto the two bytes `syscall`, rax and the
 *                 arguments ours, orig_rax -1: "no system call to restart"
 *   entry stop    (PTRACE_SYSCALL) our call is about to begin
 *   exit stop     (PTRACE_SYSCALL) result in rax; all registers as saved, orig_rax and the
 *                 restart code in rax too; PTRACE_INTERRUPT once more
 *   event stop    the same place as in the first line, with the same registers: detach,
 *                 and the kernel decides what it would have decided then
 *
 * Single-stepping instead of the two PTRACE_SYSCALL stops would send a SIGTRAP, and the kernel
 * resets the process's action for it where the thread blocks it, as QEMU's do.
 *
 * A signal that comes before the entry stop is reported first (signal stop): registers
 * as saved, detach with that signal, try again.  One that comes later stays pending until
 * the last line.  A process that is stopped (SIGSTOP) stops again after the detach.
 *
 * restart_block, which restart_syscall(2) uses, belongs to the task and is left alone by the
 * calls that we inject (userfaultfd, ioctl, close).
 *
 * Not done: floating point and vector registers (a system call keeps them); 32-bit
 * targets.  Should our whole process be killed between the entry stop and the exit stop (some
 * 20 us), the thread's own call returns our result. */
#include "config.h"

#include "vmm/borrow.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128 /* linux/ptrace.h */
#endif
#define CODE_SEGMENT_64 0x33 /* arch/x86/include/asm/segment.h __USER_CS */
#define SYSCALL_BYTES 0x050f /* 0f 05, read as a little-endian word */
#define ERESTARTSYS 512      /* include/linux/errno.h: the first and the last of the codes, */
#define ERESTARTNOHAND 514   /* and "restart unless a handler runs" */
#define ERESTART_RESTARTBLOCK 516
#define GRACE (10 * G_USEC_PER_SEC)
#define MAX_EVENT_STOPS 16

typedef enum
{
  STOP_EVENT,
  STOP_SYSCALL,
  STOP_SIGNAL, /* about to be delivered */
  STOP_ENDED,  /* no stop: the thread is gone */
  STOP_NONE,   /* no stop: still running at the deadline */
} StopKind;

typedef struct
{
  StopKind kind;
  int signal;
} Stop;

static bool
request (int what, pid_t tid, unsigned long data)
{
  return ptrace (what, tid, NULL, data) == 0;
}

static bool
set_registers (pid_t tid, const struct user_regs_struct *registers)
{
  return ptrace (PTRACE_SETREGS, tid, NULL, registers) == 0;
}

static Stop
stop_of (int status)
{
  int signal = status & 0xff, event = status >> 8;
  if (event == PTRACE_EVENT_STOP)
    return (Stop){ STOP_EVENT, 0 };
  if (signal == (SIGTRAP | 0x80))
    return (Stop){ STOP_SYSCALL, 0 };
  return (Stop){ STOP_SIGNAL, signal };
}

/* The next stop of @tid.  An end is only looked at (WNOWAIT): collecting it is its parent's
 * business, who may be us in another place. */
static Stop
wait_stop (pid_t tid, gint64 deadline)
{
  for (guint round = 0;; round++)
    {
      siginfo_t info = { 0 };
      if (waitid (P_PID, tid, &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL) != 0)
        return (Stop){ STOP_ENDED, 0 };
      if (info.si_pid != 0 && info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
        return (Stop){ STOP_ENDED, 0 };
      if (info.si_pid != 0 && waitid (P_PID, tid, &info, WSTOPPED | WNOHANG | __WALL) == 0
          && info.si_pid != 0)
        return stop_of (info.si_status);
      if (g_get_monotonic_time () >= deadline)
        return (Stop){ STOP_NONE, 0 };
      if (round < 50)
        sched_yield ();
      else
        g_usleep (MIN (round, 1000));
    }
}

/* A stop in a thread whose registers are ours: at the deadline it is stopped by force. */
static Stop
wait_stop_surely (pid_t tid, gint64 deadline)
{
  Stop stop = wait_stop (tid, deadline);
  if (stop.kind != STOP_NONE)
    return stop;
  request (PTRACE_INTERRUPT, tid, 0);
  return wait_stop (tid, g_get_monotonic_time () + GRACE);
}

/* Lets @tid go from @stop; a signal that was about to be delivered is. */
static void
release (pid_t tid, Stop stop)
{
  request (PTRACE_DETACH, tid, stop.kind == STOP_SIGNAL ? (unsigned long)stop.signal : 0);
}

static CsBorrowOutcome
outcome_of (Stop stop, bool ours)
{
  if (stop.kind != STOP_NONE)
    return CS_BORROW_AGAIN;
  return ours ? CS_BORROW_LOST : CS_BORROW_LATE;
}

/* Calls that answer a stop with EINTR, having done nothing: starting them again loses nothing. */
static bool
is_repeatable (const struct user_regs_struct *registers)
{
  switch (registers->orig_rax)
    {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_io_getevents:
    case SYS_io_pgetevents:
    case SYS_io_uring_enter:
    case SYS_rt_sigtimedwait:
      return true;
    case SYS_ioctl:
      return registers->rsi == KVM_RUN;
    default:
      return false;
    }
}

/* Whether @tid stands behind a 64-bit `syscall` instruction.  A thread that has gone on into a
 * call of the kind above between being chosen and being stopped has it restarted. */
static bool
save_registers (pid_t tid, struct user_regs_struct *saved)
{
  if (ptrace (PTRACE_GETREGS, tid, NULL, saved) != 0)
    return false;
  if (saved->cs != CODE_SEGMENT_64 || (long)saved->orig_rax < 0)
    return false;
  if ((long)saved->rax == -EINTR && is_repeatable (saved))
    {
      saved->rax = (unsigned long)-ERESTARTNOHAND;
      if (!set_registers (tid, saved))
        return false;
    }
  errno = 0;
  long word = ptrace (PTRACE_PEEKTEXT, tid, (void *)(saved->rip - 2), NULL);
  return errno == 0 && (word & 0xffff) == SYSCALL_BYTES;
}

static struct user_regs_struct
registers_for (const CsBorrowedCall *call, const struct user_regs_struct *saved)
{
  struct user_regs_struct registers = *saved;
  registers.rip = saved->rip - 2;
  registers.rax = (unsigned long)call->number;
  registers.orig_rax = (unsigned long)-1;
  registers.rdi = call->arguments[0];
  registers.rsi = call->arguments[1];
  registers.rdx = call->arguments[2];
  registers.r10 = call->arguments[3];
  registers.r8 = call->arguments[4];
  registers.r9 = call->arguments[5];
  return registers;
}

/* From the event stop to the entry stop.  Event stops on the way come from SIGSTOP and SIGCONT. */
static Stop
run_to_entry (pid_t tid, const CsBorrowedCall *call, const struct user_regs_struct *saved)
{
  struct user_regs_struct registers = registers_for (call, saved);
  Stop stop = { STOP_EVENT, 0 };

  if (!set_registers (tid, &registers))
    return (Stop){ STOP_ENDED, 0 };
  for (guint i = 0; i < MAX_EVENT_STOPS && stop.kind == STOP_EVENT; i++)
    {
      if (!request (PTRACE_SYSCALL, tid, 0))
        return (Stop){ STOP_ENDED, 0 };
      stop = wait_stop_surely (tid, call->deadline);
      if (g_get_monotonic_time () >= call->deadline)
        break;
    }
  return stop;
}

/* From the entry stop through the call back to where the thread was found. */
static CsBorrowOutcome
run_call (pid_t tid, CsBorrowedCall *call, const struct user_regs_struct *saved)
{
  struct user_regs_struct registers;

  if (!request (PTRACE_SYSCALL, tid, 0))
    return CS_BORROW_AGAIN;
  Stop stop = wait_stop_surely (tid, call->deadline);
  if (stop.kind != STOP_SYSCALL)
    return outcome_of (stop, true);
  if (ptrace (PTRACE_GETREGS, tid, NULL, &registers) != 0 || !set_registers (tid, saved)
      || !request (PTRACE_INTERRUPT, tid, 0) || !request (PTRACE_CONT, tid, 0))
    return CS_BORROW_AGAIN;
  call->result = (long)registers.rax;
  release (tid, wait_stop (tid, g_get_monotonic_time () + GRACE));
  /* Broken off by a signal, or by us at the deadline. */
  bool interrupted = call->result <= -ERESTARTSYS && call->result >= -ERESTART_RESTARTBLOCK;
  return interrupted ? CS_BORROW_AGAIN : CS_BORROW_DONE;
}

CsBorrowOutcome
cs_borrow_thread (pid_t tid, CsBorrowedCall *call)
{
  struct user_regs_struct saved;

  if (!request (PTRACE_SEIZE, tid, PTRACE_O_TRACESYSGOOD))
    return errno == EPERM ? CS_BORROW_DENIED : CS_BORROW_AGAIN;
  if (!request (PTRACE_INTERRUPT, tid, 0))
    return CS_BORROW_AGAIN;
  Stop stop = wait_stop (tid, call->deadline);
  if (stop.kind != STOP_EVENT || !save_registers (tid, &saved))
    {
      release (tid, stop);
      return outcome_of (stop, false);
    }

  stop = run_to_entry (tid, call, &saved);
  if (stop.kind == STOP_SYSCALL)
    return run_call (tid, call, &saved);
  set_registers (tid, &saved);
  release (tid, stop);
  return outcome_of (stop, true);
}
