/* Theory of operation
 *
 * Which thread: one that waits in a system call which the kernel restarts without
 * the program noticing.  /proc/PID/task/TID/syscall tells before anything is disturbed.  Other
 * calls (epoll_wait, KVM_RUN, io_uring_enter, a recv with a time limit) return EINTR
 * when a thread is stopped; those threads are left alone, as are running ones.  QEMU
 * always has such threads: its main loop in ppoll, the RCU thread in futex.  Between that look
 * and the stop the thread may have gone on into such a call: for those that QEMU uses, borrow.c
 * turns the EINTR into a restart.
 *
 * Who traces: a thread made for this one job.  ptrace(2) binds a tracee to a thread of the
 * tracer, and only a stopped tracee can be detached; but a tracer that ends loses all
 * its tracees, stopped or not.  So whatever goes wrong, the target is not left stopped. */
#include "config.h"

#include "vmm/inject.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/borrow.h"
#include "vmm/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* Generous: on a busy host a thread may get no processor for a second, and the target runs
 * meanwhile. */
#define DEADLINE (5 * G_USEC_PER_SEC)

/* Restarted by the kernel when no signal is handled (signal(7), and -ERESTART* in the sources). */
static const long restarted_calls[] = {
  SYS_poll,  SYS_ppoll,     SYS_select,          SYS_pselect6,
  SYS_futex, SYS_nanosleep, SYS_clock_nanosleep, SYS_restart_syscall,
  SYS_wait4, SYS_waitid,    SYS_pause,           SYS_rt_sigsuspend,
};

typedef struct
{
  pid_t pid;
  int pidfd;
  CsBorrowedCall call;
  bool done;
  GError *error;
} Job;

/* The content of /proc/PID/task/TID/@file in @text; false when it cannot be read. */
static bool
read_task_file (pid_t pid, pid_t tid, const char *file, char *text, gsize size)
{
  char path[64];
  g_snprintf (path, sizeof path, "/proc/%d/task/%d/%s", pid, tid, file);
  FILE *stream = fopen (path, "re");
  if (stream == NULL)
    return false;
  gsize length = fread (text, 1, size - 1, stream);
  fclose (stream);
  text[length] = '\0';
  return length > 0;
}

/* "NUMBER arguments sp pc" for a thread that waits in a call, "running", or "-1 sp pc". */
static bool
is_suitable (pid_t pid, pid_t tid)
{
  char text[256];
  long number;
  if (!read_task_file (pid, tid, "syscall", text, sizeof text)
      || sscanf (text, "%ld ", &number) != 1)
    return false;
  for (guint i = 0; i < G_N_ELEMENTS (restarted_calls); i++)
    if (restarted_calls[i] == number)
      return true;
  return false;
}

/* A number of /proc/PID/task/TID/status, e.g. "TracerPid"; 0 when it is not there. */
static int
status_number (pid_t pid, pid_t tid, const char *name)
{
  char text[4096];
  int value = 0;
  if (!read_task_file (pid, tid, "status", text, sizeof text))
    return 0;
  const char *line = strstr (text, name);
  return line != NULL && sscanf (line + strlen (name), ": %d", &value) == 1 ? value : 0;
}

/* Why PTRACE_SEIZE said EPERM.  False when the reason is passing. */
static bool
explain_denial (Job *job, pid_t tid)
{
  int tracer = status_number (job->pid, tid, "TracerPid");
  if (tracer != 0)
    {
      /* A tracer thread of ours that is just ending. */
      if (status_number (tracer, tracer, "Tgid") == getpid ())
        return false;
      g_set_error (&job->error, CS_ERROR, CS_ERROR_BUSY,
                   "process %d is being traced by process %d (a debugger?): end that first",
                   job->pid, tracer);
      return true;
    }
  if (cs_process_has_ended (job->pidfd) || !is_suitable (job->pid, tid))
    return false;
  g_set_error (&job->error, CS_ERROR, CS_ERROR_PERMISSION,
               "process %d may not be traced by us: run as root (CAP_SYS_PTRACE)", job->pid);
  return true;
}

/* Tries thread @tid; true when the job is over, well or not. */
static bool
try_thread (Job *job, pid_t tid)
{
  if (!is_suitable (job->pid, tid))
    return false;
  switch (cs_borrow_thread (tid, &job->call))
    {
    case CS_BORROW_DONE:
      job->done = true;
      return true;
    case CS_BORROW_DENIED:
      return explain_denial (job, tid);
    case CS_BORROW_LATE:
      g_set_error (&job->error, CS_ERROR, CS_ERROR_DEADLINE,
                   "thread %d of process %d did not stop within 5 s", tid, job->pid);
      return true;
    case CS_BORROW_LOST:
      g_set_error (&job->error, CS_ERROR, CS_ERROR_DEADLINE,
                   "system call %ld injected into thread %d of process %d did not return",
                   job->call.number, tid, job->pid);
      return true;
    case CS_BORROW_AGAIN:
      break;
    }
  return false;
}

/* Tries the main thread, then the others. */
static bool
try_all_threads (Job *job)
{
  char path[32];
  const char *name;

  if (try_thread (job, job->pid))
    return true;
  g_snprintf (path, sizeof path, "/proc/%d/task", job->pid);
  g_autoptr (GDir) tasks = g_dir_open (path, 0, NULL);
  while (tasks != NULL && (name = g_dir_read_name (tasks)) != NULL)
    {
      guint64 tid;
      if (g_ascii_string_to_unsigned (name, 10, 1, G_MAXINT, &tid, NULL) && (pid_t)tid != job->pid
          && try_thread (job, (pid_t)tid))
        return true;
    }
  return false;
}

static gpointer
run_job (gpointer data)
{
  Job *job = data;
  for (guint round = 0; !try_all_threads (job); round++)
    {
      if (cs_process_has_ended (job->pidfd))
        g_set_error (&job->error, CS_ERROR, CS_ERROR_GONE, "process %d has ended", job->pid);
      else if (g_get_monotonic_time () >= job->call.deadline)
        g_set_error (&job->error, CS_ERROR, CS_ERROR_DEADLINE,
                     "process %d did not execute system call %ld within 5 s (no thread of it "
                     "waited, or the call did not end)",
                     job->pid, job->call.number);
      if (job->error != NULL)
        break;
      g_usleep (MIN (20 * (round + 1), 1000));
    }
  return NULL;
}

bool
cs_inject_syscall (pid_t pid, long number, const unsigned long arguments[6], long *result,
                   GError **error)
{
  cs_autofd int pidfd = cs_process_open (pid, error);
  if (pidfd < 0)
    return false;

  Job job = { .pid = pid, .pidfd = pidfd };
  job.call = (CsBorrowedCall){ .number = number,
                               .arguments = arguments,
                               .deadline = g_get_monotonic_time () + DEADLINE };
  GThread *thread = g_thread_try_new ("inject", run_job, &job, error);
  if (thread == NULL)
    return false;
  g_thread_join (thread);
  if (job.error != NULL)
    {
      g_propagate_error (error, job.error);
      return false;
    }
  g_assert (job.done);
  *result = job.call.result;
  return true;
}

bool
cs_inject_close (pid_t pid, int fd, GError **error)
{
  const unsigned long arguments[6] = { (unsigned long)fd };
  long result;
  if (!cs_inject_syscall (pid, SYS_close, arguments, &result, error))
    return false;
  if (result < 0)
    return cs_error_set_errno (error, (int)-result, "cannot close descriptor %d in process %d", fd,
                               pid);
  return true;
}
