/* Programs of the administrator, run one after the other, as qemu-ga's fsfreeze-hook runs those in
 * fsfreeze-hook.d: with one argument that says what is happening.  What packagers and editors leave
 * behind (NAME~, NAME.dpkg-old, .NAME) is none. */
#include "config.h"

#include "guest-agent/agent/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const ignored[] = { ".*",       "*~",        "*.bak",     "*.orig",  "*.rpmnew",
                                       "*.sample", "*.rpmorig", "*.rpmsave", "*.dpkg-*" };

static int
is_hook (const struct dirent *entry)
{
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
    if (fnmatch (ignored[i], entry->d_name, 0) == 0)
      return 0;
  return 1;
}

static void
forget_names (Hooks *hooks)
{
  while (hooks->count > 0)
    free (hooks->names[--hooks->count]);
}

static void
list (Hooks *hooks)
{
  struct dirent **entries;
  forget_names (hooks);
  int n = scandir (hooks->directory, &entries, is_hook, alphasort);
  if (n < 0)
    return;
  for (int i = 0; i < n; i++)
    {
      char path[4096];
      struct stat status;
      int length = snprintf (path, sizeof path, "%s/%s", hooks->directory, entries[i]->d_name);
      bool wanted = length < (int)sizeof path && stat (path, &status) == 0
                    && S_ISREG (status.st_mode) && access (path, X_OK) == 0;
      if (wanted && hooks->count < AGENT_HOOKS)
        hooks->names[hooks->count++] = strdup (entries[i]->d_name);
      else if (wanted)
        agent_log ("hook '%s' is one too many: only %d are run", path, AGENT_HOOKS);
      free (entries[i]);
    }
  free (entries);
}

static void __attribute__ ((noreturn))
execute (const Hooks *hooks, const char *path, const CsParticipantIdentity *identity)
{
  char number[24];
  sigset_t none;
  setpgid (0, 0);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  signal (SIGPIPE, SIG_DFL);
  int null = open ("/dev/null", O_RDWR);
  if (null >= 0)
    {
      dup2 (null, STDIN_FILENO);
      dup2 (STDERR_FILENO, STDOUT_FILENO);
    }
  snprintf (number, sizeof number, "%llu", (unsigned long long)identity->interval);
  setenv ("CLUSNAP_VM", identity->vm, 1);
  setenv ("CLUSNAP_INTERVAL", number, 1);
  execl (path, path, hooks->event, (char *)NULL);
  _exit (127);
}

static void
fail (Hooks *hooks, const char *name, const char *how, int number)
{
  char text[AGENT_TEXT];
  snprintf (text, sizeof text, "hook '%.100s' %s", name, how);
  size_t length = strlen (text);
  if (number >= 0)
    snprintf (text + length, sizeof text - length, " %d", number);
  agent_log ("%s (%s)", text, hooks->event);
  if (hooks->failure[0] == '\0')
    memcpy (hooks->failure, text, sizeof text);
}

/* Starts the next one that can be started. */
static void
start_next (Hooks *hooks, const CsParticipantIdentity *identity)
{
  hooks->pid = 0;
  while (hooks->pid == 0 && hooks->next >= 0 && hooks->next < hooks->count)
    {
      char path[4096];
      const char *name = hooks->names[hooks->next];
      hooks->next += hooks->step;
      if (name == NULL
          || snprintf (path, sizeof path, "%s/%s", hooks->directory, name) >= (int)sizeof path)
        continue;
      pid_t pid = fork ();
      if (pid == 0)
        execute (hooks, path, identity);
      if (pid < 0)
        fail (hooks, name, "cannot be started: error", errno);
      else
        {
          setpgid (pid, pid);
          hooks->pid = pid;
          hooks->started++;
        }
    }
}

/* Undoing takes those that were started, the last one first; they are not listed again. */
void
agent_hooks_run (Hooks *hooks, const char *event, bool backwards, int64_t deadline,
                 const CsParticipantIdentity *identity)
{
  agent_hooks_stop (hooks);
  if (!backwards)
    list (hooks);
  hooks->event = event;
  hooks->step = backwards ? -1 : 1;
  hooks->next = backwards ? hooks->started - 1 : 0;
  hooks->started = 0;
  hooks->deadline = deadline;
  hooks->failure[0] = '\0';
  hooks->active = true;
  start_next (hooks, identity);
}

bool
agent_hooks_work (Hooks *hooks, const CsParticipantIdentity *identity)
{
  int status;
  while (hooks->active && hooks->pid > 0)
    {
      const char *name = hooks->names[hooks->next - hooks->step];
      pid_t ended = waitpid (hooks->pid, &status, WNOHANG);
      if (ended == 0 && agent_now () < hooks->deadline)
        return false;
      if (ended == 0)
        {
          kill (-hooks->pid, SIGKILL);
          waitpid (hooks->pid, &status, 0);
          fail (hooks, name, "did not end in time", -1);
          hooks->next = -1; /* no time is left for others */
        }
      else if (ended > 0 && WIFSIGNALED (status))
        fail (hooks, name, "was killed by signal", WTERMSIG (status));
      else if (ended > 0 && WEXITSTATUS (status) != 0)
        fail (hooks, name, "failed with status", WEXITSTATUS (status));
      /* One that refuses to quiesce: the others need not try. */
      if (hooks->failure[0] != '\0' && strcmp (hooks->event, "quiesce") == 0)
        hooks->next = -1;
      start_next (hooks, identity);
    }
  bool ended = hooks->active;
  hooks->active = false;
  return ended;
}

void
agent_hooks_stop (Hooks *hooks)
{
  if (hooks->pid > 0)
    {
      kill (-hooks->pid, SIGKILL);
      waitpid (hooks->pid, NULL, 0);
    }
  hooks->pid = 0;
  hooks->active = false;
}

void
agent_hooks_clear (Hooks *hooks)
{
  agent_hooks_stop (hooks);
  forget_names (hooks);
}
