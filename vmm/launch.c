#include "config.h"

#include "vmm/launch.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/process.h"
#include "vmm/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define START_TIMEOUT (30 * G_USEC_PER_SEC)
#define TERM_TIMEOUT_MS 2000
#define KILL_TIMEOUT_MS 10000
#define RETRY_MS 2
#define LAST_WORDS 4096

void
cs_launch_end (pid_t pid)
{
  cs_autofd int pidfd = cs_process_open (pid, NULL);
  if (pidfd < 0)
    return;
  struct pollfd descriptor = { pidfd, POLLIN, 0 };
  syscall (SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
  if (poll (&descriptor, 1, TERM_TIMEOUT_MS) > 0)
    return;
  syscall (SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
  poll (&descriptor, 1, KILL_TIMEOUT_MS);
}

char *
cs_launch_last_words (int log, off_t begin)
{
  struct stat info;
  char text[LAST_WORDS + 1];
  if (fstat (log, &info) < 0)
    return g_strdup ("");
  off_t at = MAX (begin, info.st_size - LAST_WORDS);
  ssize_t length = pread (log, text, LAST_WORDS, at);
  text[MAX (length, 0)] = '\0';
  g_strchomp (text);
  const char *newline = strrchr (text, '\n');
  return g_utf8_make_valid (newline != NULL ? newline + 1 : text, -1);
}

/* Connects as soon as there is a socket that answers.  A stale one refuses (NOT_FOUND); a QEMU
 * still busy with its start, as with preallocating memory, listens but does not greet (BUSY). */
static CsMonitor *
connect_when_ready (const char *path, int pidfd, gint64 deadline, GError **error)
{
  for (;;)
    {
      g_autoptr (GError) local = NULL;
      CsMonitor *monitor = cs_monitor_open_qmp (path, &local);
      if (monitor != NULL)
        return monitor;
      if (cs_process_has_ended (pidfd))
        {
          g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "QEMU ended at its start");
          return NULL;
        }
      bool later = local->code == CS_ERROR_NOT_FOUND || local->code == CS_ERROR_BUSY;
      if (!later || g_get_monotonic_time () >= deadline)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return NULL;
        }
      struct pollfd descriptor = { pidfd, POLLIN, 0 };
      poll (&descriptor, 1, RETRY_MS);
    }
}

static CsMonitor *
wait_for_monitor (pid_t pid, const char *path, GError **error)
{
  cs_autofd int pidfd = cs_process_open (pid, error);
  if (pidfd < 0)
    return NULL;
  g_autoptr (CsMonitor) monitor =
      connect_when_ready (path, pidfd, g_get_monotonic_time () + START_TIMEOUT, error);
  if (monitor != NULL && cs_monitor_pid (monitor) != pid)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                   "another process (%d) serves '%s': is the VM running already?",
                   cs_monitor_pid (monitor), path);
      return NULL;
    }
  return g_steal_pointer (&monitor);
}

CsMonitor *
cs_launch_qemu (const char *const *argv, const char *directory, const char *path,
                const char *log_path, GError **error)
{
  cs_autofd int log = open (log_path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  struct stat info;
  if (log < 0 || fstat (log, &info) < 0)
    {
      cs_error_set_errno (error, errno, "cannot open QEMU's log '%s'", log_path);
      return NULL;
    }
  pid_t pid = cs_spawn (argv, directory, log, error);
  if (pid == 0)
    {
      g_prefix_error (error, "cannot start QEMU: ");
      return NULL;
    }
  g_autoptr (GError) local = NULL;
  CsMonitor *monitor = wait_for_monitor (pid, path, &local);
  if (monitor != NULL)
    return monitor;
  cs_launch_end (pid);
  g_autofree char *words = cs_launch_last_words (log, info.st_size);
  g_set_error (error, CS_ERROR, local->code, "%s%s%s (its output is in '%s')", local->message,
               *words != '\0' ? ": " : "", words, log_path);
  return NULL;
}
