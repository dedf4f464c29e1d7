#include "config.h"

#include "tests/unit/victim.h"

#include <check.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 65534

/* A pipe tells when the child has set itself up. */
static pid_t
start (void (*func) (void), void (*func_data) (void *), void *data)
{
  int ready[2];
  pid_t parent = getpid ();
  ck_assert_int_eq (pipe (ready), 0);
  pid_t pid = fork ();
  ck_assert_int_ge (pid, 0);
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () != parent)
        _exit (1);
      close (ready[0]);
      close (ready[1]);
      if (func != NULL)
        func ();
      else
        func_data (data);
      _exit (0);
    }
  close (ready[1]);
  char byte;
  ck_assert_int_eq (read (ready[0], &byte, 1), 0);
  close (ready[0]);
  return pid;
}

pid_t
victim_start (void (*func) (void))
{
  return start (func, NULL, NULL);
}

void
victim_end (pid_t pid)
{
  kill (pid, SIGKILL);
  ck_assert_int_eq (waitpid (pid, NULL, __WALL), pid);
}

static char
state_of (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 'X';
  return strrchr (text, ')')[2];
}

bool
victim_is_alive (pid_t pid)
{
  return strchr ("RSD", state_of (pid)) != NULL;
}

void
victim_wait_for_state (pid_t pid, char state)
{
  for (guint i = 0; i < 10000 && state_of (pid) != state; i++)
    g_usleep (1000);
  ck_assert_int_eq (state_of (pid), state);
}

void
victim_wait (void)
{
  for (;;)
    if (ppoll (NULL, 0, NULL, NULL) >= 0 || errno != EINTR)
      _exit (1);
}

void
victim_wait_as_nobody (void)
{
  if (setgroups (0, NULL) != 0 || setgid (NOBODY) != 0 || setuid (NOBODY) != 0)
    _exit (1);
  prctl (PR_SET_PDEATHSIG, SIGKILL); /* setuid has reset it */
  victim_wait ();
}

void
victim_spin (void)
{
  for (volatile guint i = 0;; i++)
    ;
}

VictimReport *
victim_report_new (void)
{
  void *memory =
      mmap (NULL, sizeof (VictimReport), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (memory, MAP_FAILED);
  return memory;
}

static VictimReport *busy_report;

static void
complain (const char *what, long result, int errnum)
{
  if (__atomic_fetch_add (&busy_report->wrong, 1, __ATOMIC_SEQ_CST) == 0)
    g_snprintf (busy_report->text, sizeof busy_report->text, "%s returned %ld (%s)", what, result,
                result < 0 ? g_strerror (errnum) : "");
}

static void
count_signal (int signal)
{
  __atomic_fetch_add (&busy_report->signals, 1, __ATOMIC_SEQ_CST);
}

static gint64
now (void)
{
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return time.tv_sec * G_GINT64_CONSTANT (1000000000) + time.tv_nsec;
}

/* One wait of 1 ms each; the result that says "time is over". */
static long
wait_poll (void)
{
  return poll (NULL, 0, 1);
}

static long
wait_ppoll (void)
{
  const struct timespec time = { 0, 1000000 };
  return ppoll (NULL, 0, &time, NULL);
}

static long
wait_select (void)
{
  struct timeval time = { 0, 1000 };
  return select (0, NULL, NULL, NULL, &time);
}

static long
wait_nanosleep (void)
{
  const struct timespec time = { 0, 1000000 };
  return nanosleep (&time, NULL);
}

static long
wait_futex (void)
{
  static int word;
  const struct timespec time = { 0, 1000000 };
  long result = syscall (SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0);
  return result < 0 && errno == ETIMEDOUT ? 0 : result;
}

static long
wait_epoll (void)
{
  static int epoll = -1;
  struct epoll_event event;
  if (epoll < 0)
    epoll = epoll_create1 (EPOLL_CLOEXEC);
  return epoll_wait (epoll, &event, 1, 1);
}

static const struct
{
  const char *name;
  long (*func) (void);
} waits[] = {
  { "ppoll", wait_ppoll }, { "poll", wait_poll },   { "nanosleep", wait_nanosleep },
  { "futex", wait_futex }, { "epoll", wait_epoll }, { "select", wait_select },
};

/* Keeps values in registers across a loop that is long enough to be interrupted. */
static void
check_registers (void)
{
  double x = 1;
  guint64 a = 1, b = 2, c = 3;
  for (guint i = 0; i < 20000; i++)
    {
      x += 1;
      a += 3;
      b ^= a;
      c += b;
      b ^= a;
    }
  if (x != 20001 || a != 60001 || b != 2)
    complain ("arithmetic", (long)(c & 0xff), 0);
}

static void
wait_and_check (guint which)
{
  guint before = __atomic_load_n (&busy_report->signals, __ATOMIC_SEQ_CST);
  gint64 begin = now ();
  long result = waits[which].func ();
  int errnum = errno;
  bool signalled = __atomic_load_n (&busy_report->signals, __ATOMIC_SEQ_CST) != before;
  gint64 elapsed = now () - begin;

  __atomic_fetch_add (&busy_report->waits, 1, __ATOMIC_SEQ_CST);
  if (result == 0 ? elapsed < 1000000 : errnum != EINTR || result != -1 || !signalled)
    complain (waits[which].name, result, errnum);
}

/* A thread without signals: no wait may ever be interrupted. */
static void *
run_quiet (void *data)
{
  guint which = GPOINTER_TO_UINT (data);
  for (;;)
    {
      guint before = busy_report->wrong;
      gint64 begin = now ();
      long result = waits[which].func ();
      if (result != 0 || now () - begin < 1000000)
        complain (waits[which].name, result, errno);
      if (before == 0)
        check_registers ();
    }
  return NULL;
}

static void
run_busy (void *data)
{
  const struct itimerval timer = { { 0, 700 }, { 0, 700 } };
  struct sigaction action = { .sa_handler = count_signal };
  sigset_t all, none;
  pthread_t thread;

  busy_report = data;
  sigfillset (&all);
  sigemptyset (&none);
  pthread_sigmask (SIG_SETMASK, &all, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (waits); i++)
    if (pthread_create (&thread, NULL, run_quiet, GUINT_TO_POINTER (i)) != 0)
      _exit (1);
  sigaction (SIGALRM, &action, NULL);
  pthread_sigmask (SIG_SETMASK, &none, NULL);
  setitimer (ITIMER_REAL, &timer, NULL);
  for (guint i = 0;; i++)
    {
      wait_and_check (i % G_N_ELEMENTS (waits));
      check_registers ();
    }
}

pid_t
victim_start_busy (VictimReport *report)
{
  return start (NULL, run_busy, report);
}

static void
run_nuisance (void *data)
{
  pid_t pid = GPOINTER_TO_INT (data);
  for (;;)
    {
      kill (pid, SIGSTOP);
      usleep (150);
      kill (pid, SIGCONT);
      usleep (150);
    }
}

pid_t
victim_start_nuisance (pid_t pid)
{
  return start (NULL, run_nuisance, GINT_TO_POINTER (pid));
}

pid_t
victim_start_tracer (pid_t pid)
{
  int ready[2];
  ck_assert_int_eq (pipe (ready), 0);
  pid_t tracer = fork ();
  if (tracer == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (ptrace (PTRACE_SEIZE, pid, NULL, 0) != 0 || write (ready[1], "x", 1) != 1)
        _exit (1);
      for (;;)
        pause ();
    }
  char byte;
  close (ready[1]);
  ck_assert_int_eq (read (ready[0], &byte, 1), 1);
  close (ready[0]);
  return tracer;
}

typedef struct
{
  pid_t pid;
  guint delay;
} KillOrder;

static void
run_killer (void *data)
{
  const KillOrder *order = data;
  usleep (order->delay);
  kill (order->pid, SIGKILL);
}

pid_t
victim_start_killer (pid_t pid, guint delay)
{
  KillOrder order = { pid, delay };
  return start (NULL, run_killer, &order);
}

bool
victim_may_make_userfaultfd (void)
{
  g_autofree char *text = NULL;
  return g_file_get_contents ("/proc/sys/vm/unprivileged_userfaultfd", &text, NULL, NULL)
         && text[0] == '1';
}

bool
victim_tracing_works (void)
{
  g_autofree char *text = NULL;
  guint64 capabilities = 0;
  if (g_file_get_contents ("/proc/self/status", &text, NULL, NULL))
    {
      const char *line = strstr (text, "CapEff:");
      if (line != NULL)
        capabilities = g_ascii_strtoull (line + strlen ("CapEff:"), NULL, 16);
    }
  if (capabilities & (G_GUINT64_CONSTANT (1) << CAP_SYS_PTRACE))
    return true;
  fprintf (stderr, "skipped: CAP_SYS_PTRACE is missing: run as root\n");
  return false;
}
