/* clusnap-agent(8): the daemon's options and its poll loop. */
#include "config.h"

#include "guest-agent/agent/agent.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_PORT "/dev/virtio-ports/" CS_AGENT_PORT

enum
{
  ENTRY_SIGNALS,
  ENTRY_PORT,
  ENTRY_REGISTRY,
  N_ENTRIES = ENTRY_REGISTRY + AGENT_REGISTRY_ENTRIES,
};

typedef struct
{
  const char *port, *socket, *hooks;
  bool keep_clock, verbose;
} Options;

static bool verbose;

int64_t
agent_now (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}

void
agent_log (const char *format, ...)
{
  static const char prefix[] = "clusnap-agent: ";
  char line[AGENT_TEXT + 256];
  va_list args;
  if (!verbose)
    return;
  /* One write: others may write to the same console. */
  size_t length = sizeof prefix - 1;
  memcpy (line, prefix, length);
  va_start (args, format);
  vsnprintf (line + length, sizeof line - length - 1, format, args);
  va_end (args);
  length = strnlen (line, sizeof line - 2);
  line[length] = '\n';
  if (write (STDERR_FILENO, line, length + 1) < 0)
    return;
}

static const char help[] =
    "Usage: clusnap-agent [OPTION]...\n"
    "Prepares this guest for snapshots of its cluster by clusnap, and puts it right after a "
    "restore.\n"
    "\n"
    "  -p, --port PATH     the virtio-serial port (default: " DEFAULT_PORT ")\n"
    "  -s, --socket PATH   where participants register (default: " CS_PARTICIPANT_SOCKET ")\n"
    "  -H, --hooks DIR     directory of the hooks (default: " CS_SYSCONFDIR "/hooks.d)\n"
    "  -k, --keep-clock    do not set the clock after a restore\n"
    "  -v, --verbose       say on stderr what happens\n"
    "  -h, --help          print this help\n"
    "  -V, --version       print the version\n";

static int
parse_options (int argc, char **argv, Options *options)
{
  static const struct option table[] = {
    { "port", required_argument, NULL, 'p' },  { "socket", required_argument, NULL, 's' },
    { "hooks", required_argument, NULL, 'H' }, { "keep-clock", no_argument, NULL, 'k' },
    { "verbose", no_argument, NULL, 'v' },     { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },     { 0 },
  };
  int option;
  while ((option = getopt_long (argc, argv, "p:s:H:kvhV", table, NULL)) != -1)
    switch (option)
      {
      case 'p':
        options->port = optarg;
        break;
      case 's':
        options->socket = optarg;
        break;
      case 'H':
        options->hooks = optarg;
        break;
      case 'k':
        options->keep_clock = true;
        break;
      case 'v':
        options->verbose = true;
        break;
      case 'h':
        fputs (help, stdout);
        exit (0);
      case 'V':
        puts ("clusnap-agent " PACKAGE_VERSION);
        exit (0);
      default:
        return 2;
      }
  if (optind == argc)
    return 0;
  fprintf (stderr, "clusnap-agent: there are no operands: '%s'\n", argv[optind]);
  return 2;
}

/* The directory of @path; its own parents must be there. */
static void
make_directory_of (const char *path)
{
  char directory[4096];
  const char *slash = strrchr (path, '/');
  if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof directory)
    return;
  memcpy (directory, path, (size_t)(slash - path));
  directory[slash - path] = '\0';
  mkdir (directory, 0755);
}

static int
open_signals (void)
{
  sigset_t set;
  sigemptyset (&set);
  sigaddset (&set, SIGCHLD);
  sigaddset (&set, SIGIO);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGINT);
  sigprocmask (SIG_BLOCK, &set, NULL);
  signal (SIGPIPE, SIG_IGN);
  return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* True: to end. */
static bool
read_signals (int fd, AgentPort *port)
{
  struct signalfd_siginfo info;
  bool ends = false;
  while (read (fd, &info, sizeof info) == (ssize_t)sizeof info)
    {
      ends = ends || info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
      if (info.ssi_signo == SIGIO)
        port->look_at = agent_now ();
    }
  return ends;
}

static int
wait_time (const Session *session)
{
  int64_t when = agent_session_deadline (session);
  int64_t left = when - agent_now ();
  if (when == 0)
    return -1;
  return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void
work_port (Session *session, short revents)
{
  bool opened, closed;
  const char *line;
  size_t length;
  agent_port_work (&session->port, revents, &opened, &closed);
  if (closed)
    agent_session_closed (session);
  if (opened)
    agent_session_opened (session);
  while (agent_port_line (&session->port, &line, &length))
    agent_session_line (session, line, length);
}

static int
run (Session *session, int signals)
{
  struct pollfd entries[N_ENTRIES];
  for (;;)
    {
      entries[ENTRY_SIGNALS] = (struct pollfd){ .fd = signals, .events = POLLIN };
      agent_port_poll (&session->port, &entries[ENTRY_PORT]);
      agent_registry_poll (&session->registry, &entries[ENTRY_REGISTRY]);
      if (poll (entries, N_ENTRIES, wait_time (session)) < 0 && errno != EINTR)
        return 1;
      if (read_signals (signals, &session->port))
        return 0;
      agent_registry_work (&session->registry, &entries[ENTRY_REGISTRY]);
      work_port (session, entries[ENTRY_PORT].revents);
      agent_session_work (session);
    }
}

int
main (int argc, char **argv)
{
  Options options = { .port = DEFAULT_PORT,
                      .socket = CS_PARTICIPANT_SOCKET,
                      .hooks = CS_SYSCONFDIR "/hooks.d" };
  int status = parse_options (argc, argv, &options);
  if (status != 0)
    return status;
  verbose = options.verbose;
  Session *session = calloc (1, sizeof *session);
  int signals = open_signals ();
  if (session == NULL || signals < 0 || !agent_port_open (&session->port, options.port))
    {
      fprintf (stderr, "clusnap-agent: cannot open port '%s': %s\n", options.port,
               strerror (errno));
      return 1;
    }
  make_directory_of (options.socket);
  if (!agent_registry_open (&session->registry, options.socket))
    {
      fprintf (stderr, "clusnap-agent: cannot listen at '%s': %s\n", options.socket,
               strerror (errno));
      return 1;
    }
  session->hooks.directory = options.hooks;
  session->sets_clock = !options.keep_clock;
  status = run (session, signals);
  agent_session_end (session);
  agent_hooks_clear (&session->hooks);
  agent_registry_close (&session->registry);
  agent_port_close (&session->port);
  free (session);
  return status;
}
