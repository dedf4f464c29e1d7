#include "config.h"

#include "vmm/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum
{
  SLOTS = 1024, /* VMs that stand at the same time; more are not watched */
  NAME_LENGTH = 112,
  LOOK_MS = 500,
  MARGIN = 8000000, /* us: after its deadline a pause has 5 s for its cont */
};

typedef struct
{
  _Atomic gint64 deadline; /* 0: free; G_MAXINT64: being filled in */
  char name[NAME_LENGTH];
} Slot;

static Slot *slots; /* shared with the supervisor; NULL: there is none */

int
cs_watchdog_begin (const char *name, gint64 deadline)
{
  for (int i = 0; slots != NULL && i < SLOTS; i++)
    {
      gint64 unused = 0;
      if (!atomic_compare_exchange_strong (&slots[i].deadline, &unused, G_MAXINT64))
        continue;
      g_strlcpy (slots[i].name, name, NAME_LENGTH);
      atomic_store (&slots[i].deadline, deadline);
      return i;
    }
  return -1;
}

void
cs_watchdog_move (int number, gint64 deadline)
{
  if (number >= 0)
    atomic_store (&slots[number].deadline, deadline);
}

void
cs_watchdog_end (int number)
{
  if (number >= 0)
    atomic_store (&slots[number].deadline, 0);
}

/* ---- the supervisor ---- */

/* The name of a VM that stands too long, or NULL. */
static const char *
find_overdue (void)
{
  gint64 now = g_get_monotonic_time ();
  for (int i = 0; i < SLOTS; i++)
    {
      gint64 deadline = atomic_load (&slots[i].deadline);
      if (deadline != 0 && deadline != G_MAXINT64 && now > deadline + MARGIN)
        return slots[i].name;
    }
  return NULL;
}

/* The pid of a new worker, 0 in the worker itself. */
static pid_t
start_worker (const sigset_t *old)
{
  pid_t supervisor = getpid ();
  for (int i = 0; i < SLOTS; i++)
    atomic_store (&slots[i].deadline, 0);
  pid_t worker = fork ();
  if (worker != 0)
    return worker;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != supervisor)
    _exit (EXIT_FAILURE);
  sigprocmask (SIG_SETMASK, old, NULL);
  return 0;
}

static int
wait_for (pid_t worker)
{
  int status = 0;
  while (waitpid (worker, &status, 0) < 0 && errno == EINTR)
    ;
  return status;
}

/* Ends as the worker did. */
static int
follow (int status)
{
  if (!WIFSIGNALED (status))
    return WEXITSTATUS (status);
  signal (WTERMSIG (status), SIG_DFL);
  kill (getpid (), WTERMSIG (status));
  sigset_t none;
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  return 128 + WTERMSIG (status);
}

/* Until the worker has ended (true: *@status) or hangs (false). */
static bool
watch (pid_t worker, const sigset_t *signals, int *status)
{
  const struct timespec look = { 0, LOOK_MS * 1000000L };
  for (;;)
    {
      int number = sigtimedwait (signals, NULL, &look);
      if (number == SIGTERM || number == SIGINT)
        kill (worker, number);
      if (waitpid (worker, status, WNOHANG) == worker)
        return true;
      const char *name = find_overdue ();
      if (name == NULL)
        continue;
      g_warning ("%s has stood for too long, clusnapd hangs: it is killed and started anew", name);
      kill (worker, SIGKILL);
      wait_for (worker);
      return false;
    }
}

bool
cs_watchdog_supervise (int *status)
{
  sigset_t signals, old;
  sigemptyset (&signals);
  sigaddset (&signals, SIGTERM);
  sigaddset (&signals, SIGINT);
  sigaddset (&signals, SIGCHLD);
  slots =
      mmap (NULL, SLOTS * sizeof *slots, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (slots == MAP_FAILED)
    {
      g_warning ("no memory for a supervisor: a clusnapd that hangs is not noticed");
      slots = NULL;
      return true;
    }
  sigprocmask (SIG_BLOCK, &signals, &old);
  for (;;)
    {
      pid_t worker = start_worker (&old);
      if (worker == 0)
        return true;
      if (worker < 0)
        {
          g_warning ("cannot start a worker: %s", g_strerror (errno));
          *status = EXIT_FAILURE;
          return false;
        }
      int ended = 0;
      if (!watch (worker, &signals, &ended))
        continue;
      *status = follow (ended);
      return false;
    }
}
