/* Theory of operation
 *
 * A fork of a daemon that holds hundreds of MiB copies its page tables, which costs tens of
 * milliseconds of processor time, and afterwards every page that one of its threads writes faults
 * once more, in a pause as well.  posix_spawn of glibc (CLONE_VM | CLONE_VFORK) copies nothing;
 * what it cannot set is a priority, which the child takes from the thread that calls it.
 */
#include "config.h"

#include "vmm/spawn.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Somebody must take the exit status of our child when it ends.  Only then: a wait for it under way
 * would also take the stops of its main thread from whoever traces it (inject.c), ptrace reports
 * to any thread of ours that waits. */
static gpointer
reap (gpointer data)
{
  pid_t pid = GPOINTER_TO_INT (data);
  cs_autofd int pidfd = cs_process_open (pid, NULL);
  struct pollfd descriptor = { pidfd, POLLIN, 0 };
  while (pidfd >= 0 && poll (&descriptor, 1, -1) < 0 && errno == EINTR)
    ;
  while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
    ;
  return NULL;
}

/* What glibc cannot do is an error number. */
static int
describe (posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, const char *directory,
          int output)
{
  sigset_t ignored;
  int failed = posix_spawn_file_actions_addopen (actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (failed == 0)
    failed = posix_spawn_file_actions_adddup2 (actions, output, STDOUT_FILENO);
  if (failed == 0)
    failed = posix_spawn_file_actions_adddup2 (actions, output, STDERR_FILENO);
  if (failed == 0)
    failed = posix_spawn_file_actions_addclosefrom_np (actions, STDERR_FILENO + 1);
  if (failed == 0)
    failed = posix_spawn_file_actions_addchdir_np (actions, directory);
  sigemptyset (&ignored);
  sigaddset (&ignored, SIGPIPE);
  if (failed == 0)
    failed = posix_spawnattr_setsigdefault (attributes, &ignored);
  if (failed == 0)
    failed = posix_spawnattr_setflags (attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF);
  return failed;
}

static int
spawn (const char *const *argv, const char *directory, int output, pid_t *pid)
{
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init (&actions);
  posix_spawnattr_init (&attributes);
  int failed = describe (&actions, &attributes, directory, output);
  if (failed == 0)
    failed = posix_spawnp (pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
  posix_spawnattr_destroy (&attributes);
  posix_spawn_file_actions_destroy (&actions);
  return failed;
}

pid_t
cs_spawn (const char *const *argv, const char *directory, int output, GError **error)
{
  id_t thread = (id_t)syscall (SYS_gettid);
  int raised = getpriority (PRIO_PROCESS, thread);
  pid_t pid = 0;
  /* The process's is its first thread's. */
  setpriority (PRIO_PROCESS, thread, getpriority (PRIO_PROCESS, (id_t)getpid ()));
  int failed = spawn (argv, directory, output, &pid);
  setpriority (PRIO_PROCESS, thread, raised);
  if (failed == 0)
    {
      g_thread_unref (g_thread_new ("reap", reap, GINT_TO_POINTER (pid)));
      return pid;
    }
  /* Of @directory, if it is that which is not there. */
  bool absent = failed == ENOENT && g_file_test (directory, G_FILE_TEST_IS_DIR);
  g_set_error (error, CS_ERROR, absent ? CS_ERROR_NOT_FOUND : CS_ERROR_IO,
               "cannot start '%s' in '%s': %s", argv[0], directory, g_strerror (failed));
  return 0;
}
