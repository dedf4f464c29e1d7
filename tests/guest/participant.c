/* A participant (guest-agent/participant) that does as the serial port says, for
 * tests/system/agent*.sh.
 *
 * Says each call of the agent as a line "PARTICIPANT ...".  Lines on the serial port:
 *
 *   accept             is ready at once (at the beginning)
 *   veto TEXT          refuses
 *   late MS            is ready so much later
 *   depend VM N        depends on interval N of VM, too
 *   stop, cont         stops the agent's process, or lets it go on
 *   leave, join        closes its connection to the agent, or registers again (at the beginning)
 *   say                says who it is, the time, and what the random numbers are: "PARTICIPANT says
 * ..." poweroff */
#include "config.h"

#include "guest-agent/participant/participant.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

static CsParticipant *participant;
static char veto[CS_PARTICIPANT_REASON];
static long late;     /* ms; 0: at once */
static long ready_at; /* when to be ready; 0: not asked */
static int away;
static CsParticipantDependency dependencies[CS_PARTICIPANT_VMS];
static size_t n_dependencies;

static long
now (void)
{
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* One write per line: the kernel and others use the port, too. */
static void __attribute__ ((format (printf, 1, 2))) say (const char *format, ...)
{
  char line[512] = "PARTICIPANT ";
  size_t length = strlen (line);
  va_list args;
  va_start (args, format);
  vsnprintf (line + length, sizeof line - length - 1, format, args);
  va_end (args);
  length = strlen (line);
  line[length] = '\n';
  if (write (STDOUT_FILENO, line, length + 1) < 0)
    exit (1);
}

static int
on_prepare (void *data, unsigned deadline, char *reason)
{
  say ("prepare deadline=%u", deadline);
  if (veto[0] != '\0')
    memcpy (reason, veto, sizeof veto);
  else if (late > 0)
    ready_at = now () + late;
  return veto[0] == '\0' && late == 0;
}

static void
on_resume (void *data, const CsParticipantIdentity *identity, int restored)
{
  ready_at = 0;
  say ("resume vm=%s interval=%llu restored=%d", identity->vm,
       (unsigned long long)identity->interval, restored);
}

static size_t
on_dependencies (void *data, CsParticipantDependency *array, size_t n)
{
  memcpy (array, dependencies, n_dependencies * sizeof *array);
  return n_dependencies;
}

static void
depend (const char *text)
{
  unsigned long long interval;
  CsParticipantDependency *one = &dependencies[n_dependencies];
  if (n_dependencies < CS_PARTICIPANT_VMS && sscanf (text, "%63s %llu", one->vm, &interval) == 2)
    {
      one->interval = interval;
      n_dependencies++;
    }
}

static void
signal_agent (int number)
{
  DIR *directory = opendir ("/proc");
  struct dirent *entry;
  while (directory != NULL && (entry = readdir (directory)) != NULL)
    {
      char path[512], name[32] = "";
      if (!isdigit ((unsigned char)entry->d_name[0]))
        continue;
      snprintf (path, sizeof path, "/proc/%s/comm", entry->d_name);
      FILE *file = fopen (path, "r");
      if (file != NULL && fgets (name, sizeof name, file) != NULL
          && strcmp (name, "clusnap-agent\n") == 0)
        kill ((pid_t)strtol (entry->d_name, NULL, 10), number);
      if (file != NULL)
        fclose (file);
    }
  if (directory != NULL)
    closedir (directory);
  say ("signalled %d", number);
}

static void
say_state (void)
{
  unsigned char bytes[8] = { 0 };
  char text[2 * sizeof bytes + 1];
  int fd = open ("/dev/urandom", O_RDONLY);
  if (fd < 0 || read (fd, bytes, sizeof bytes) != sizeof bytes)
    say ("has no random numbers");
  for (size_t i = 0; i < sizeof bytes; i++)
    snprintf (text + 2 * i, 3, "%02x", bytes[i]);
  if (fd >= 0)
    close (fd);
  const CsParticipantIdentity *identity =
      participant != NULL ? cs_participant_identity (participant) : NULL;
  say ("says vm=%s time=%lld random=%s", identity != NULL ? identity->vm : "-",
       (long long)time (NULL), text);
}

static void
obey (const char *line)
{
  if (strcmp (line, "accept") == 0)
    veto[0] = '\0', late = 0;
  else if (strncmp (line, "veto ", 5) == 0)
    snprintf (veto, sizeof veto, "%s", line + 5);
  else if (strncmp (line, "late ", 5) == 0)
    late = strtol (line + 5, NULL, 10);
  else if (strncmp (line, "depend ", 7) == 0)
    depend (line + 7);
  else if (strcmp (line, "stop") == 0)
    signal_agent (SIGSTOP);
  else if (strcmp (line, "cont") == 0)
    signal_agent (SIGCONT);
  else if (strcmp (line, "leave") == 0 || strcmp (line, "join") == 0)
    away = line[0] == 'l';
  else if (strcmp (line, "say") == 0)
    say_state ();
  else if (strcmp (line, "poweroff") == 0)
    reboot (RB_POWER_OFF);
  if (line[0] != '\0')
    say ("obeys %s", line);
}

static void
read_serial (void)
{
  static char line[256];
  static size_t length;
  char byte;
  if (read (STDIN_FILENO, &byte, 1) != 1)
    {
      usleep (10000);
      return;
    }
  if (byte == '\n')
    {
      line[length] = '\0';
      length = 0;
      obey (line);
    }
  else if (byte != '\r' && length < sizeof line - 1)
    line[length++] = byte;
}

static void
connect_again (void)
{
  static const CsParticipantHandlers handlers = { on_prepare, on_resume, on_dependencies };
  if (participant != NULL && away)
    {
      cs_participant_close (participant);
      participant = NULL;
      say ("left");
    }
  if (participant == NULL && !away)
    {
      participant = cs_participant_open (NULL, "test", &handlers, NULL);
      if (participant != NULL)
        say ("joined");
    }
}

int
main (void)
{
  for (;;)
    {
      connect_again ();
      struct pollfd entries[] = {
        { .fd = STDIN_FILENO, .events = POLLIN },
        { .fd = participant != NULL ? cs_participant_fd (participant) : -1, .events = POLLIN },
      };
      poll (entries, 2, ready_at != 0 || participant == NULL ? 20 : 1000);
      if (entries[0].revents != 0)
        read_serial ();
      if (entries[1].revents != 0 && cs_participant_dispatch (participant) < 0)
        {
          say ("lost the agent");
          cs_participant_close (participant);
          participant = NULL;
        }
      if (ready_at != 0 && now () >= ready_at && participant != NULL)
        {
          ready_at = 0;
          say ("ready late");
          cs_participant_ready (participant, NULL);
        }
    }
}
