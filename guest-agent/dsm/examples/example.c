/* What the example programs share. */
#include "guest-agent/dsm/examples/example.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  CsDsm *dsm;
  unsigned long period; /* milliseconds */
} Quiescing;

static pthread_t quiescer; /* 0: none */
static int finished;

static void __attribute__ ((noreturn, format (printf, 1, 2))) die (const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  vfprintf (stderr, format, arguments);
  va_end (arguments);
  fputc ('\n', stderr);
  exit (EXIT_FAILURE);
}

/* The value of @key, or NULL.  The last one counts. */
static const char *
value_of (int argc, char **argv, const char *key)
{
  size_t n = strlen (key);
  const char *value = NULL;
  for (int i = 1; i < argc; i++)
    {
      const char *word = argv[i];
      int dashes = strncmp (word, "--", 2) == 0;
      word += dashes ? 2 : 0;
      if (strncmp (word, key, n) != 0)
        continue;
      if (word[n] == '=')
        value = word + n + 1;
      else if (word[n] == '\0' && dashes && i + 1 < argc)
        value = argv[++i];
    }
  return value;
}

static void
take_number (const char *program, int argc, char **argv, ExampleOption *option)
{
  const char *text = value_of (argc, argv, option->key);
  if (text == NULL)
    return;
  char *end;
  errno = 0;
  option->value = strtoul (text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || option->value < option->min
      || option->value > option->max)
    die ("%s: %s must be between %lu and %lu, not '%s'", program, option->key, option->min,
         option->max, text);
}

void
example_options (const char *program, int argc, char **argv, ExampleOption *options, size_t n)
{
  for (int i = 1; i < argc; i++)
    if (strcmp (argv[i], "--help") == 0)
      {
        printf ("usage: %s [KEY=VALUE]...\n  node=I nodes=N peers=A.B.C.D:PORT,... net=A.B.C "
                "port=P agent=PATH "
                "silence=MS quiesce=MS: clusdsm(3)\n",
                program);
        for (size_t j = 0; j < n; j++)
          printf ("  %s=N: %s (%lu)\n", options[j].key, options[j].help, options[j].value);
        exit (EXIT_SUCCESS);
      }
  for (size_t j = 0; j < n; j++)
    take_number (program, argc, argv, &options[j]);
}

/* "A.B.C.D:P,..." from net= and port=, unless peers= gives it. */
static void
set_peers (int argc, char **argv, unsigned nodes, unsigned long port)
{
  static char list[CS_DSM_NODES * 24];
  const char *peers = value_of (argc, argv, "peers"), *net = value_of (argc, argv, "net");
  size_t n = 0;
  if (peers != NULL)
    setenv ("CLUSDSM_PEERS", peers, 1);
  else if (net != NULL && strlen (net) < 12)
    {
      for (unsigned i = 0; i < nodes; i++)
        n += (size_t)snprintf (list + n, sizeof list - n, "%s%s.%u:%lu", i > 0 ? "," : "", net,
                               10 + i, port);
      setenv ("CLUSDSM_PEERS", list, 1);
    }
}

/* Prepares and resumes every so often, as for a snapshot that nobody takes. */
static void *
quiesce_again (void *data)
{
  const Quiescing *quiescing = data;
  for (;;)
    {
      for (unsigned long ms = 0; ms < quiescing->period; ms += 10)
        {
          if (__atomic_load_n (&finished, __ATOMIC_SEQ_CST))
            return NULL;
          usleep (10000);
        }
      if (cs_dsm_prepare (quiescing->dsm) < 0 || cs_dsm_wait_ready (quiescing->dsm, 60000) < 0
          || cs_dsm_resume (quiescing->dsm, NULL, 0) < 0)
        return NULL;
    }
}

static void
begin_quiescing (CsDsm *dsm, unsigned long period)
{
  static Quiescing quiescing;
  pthread_t thread;
  quiescing = (Quiescing){ dsm, period };
  if (period > 0 && pthread_create (&thread, NULL, quiesce_again, &quiescing) == 0)
    quiescer = thread;
}

CsDsm *
example_open (const char *program, int argc, char **argv, size_t size, unsigned *node,
              unsigned *nodes)
{
  CsDsmOptions options;
  if (cs_dsm_options (&options) < 0)
    die ("%s: CLUSDSM_NODE, CLUSDSM_SILENCE or CLUSDSM_START is no number in its range", program);
  ExampleOption own[] = {
    { "node", "", options.node, 0, CS_DSM_NODES - 1 },
    { "nodes", "", options.nodes, 1, CS_DSM_NODES },
    { "port", "", 7400, 1, 65535 },
    { "silence", "", options.silence_ms, 300, 86400000 },
    { "quiesce", "", 0, 0, 86400000 },
  };
  for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
    take_number (program, argc, argv, &own[i]);
  options.node = *node = (unsigned)own[0].value;
  options.nodes = *nodes = (unsigned)own[1].value;
  options.silence_ms = (unsigned)own[3].value;
  options.size = size;
  set_peers (argc, argv, options.nodes, own[2].value);
  setvbuf (stdout, NULL, _IOLBF, 0);
  char why[300];
  CsDsm *dsm = cs_dsm_open (&options, why, sizeof why);
  if (dsm == NULL)
    die ("%s: %s", program, why);
  if (cs_dsm_participate (dsm, value_of (argc, argv, "agent"), program) < 0)
    fprintf (stderr, "%s: takes no part in snapshots: %s\n", program, strerror (errno));
  begin_quiescing (dsm, own[4].value);
  return dsm;
}

void
example_must (int result, const char *what)
{
  if (result != 0)
    die ("%s: %s", what, strerror (errno));
}

void
example_progress (const char *program, unsigned long done, unsigned long all)
{
  printf ("PROGRESS %s %lu/%lu\n", program, done, all);
}

uint64_t
example_hash (uint64_t hash, const void *bytes, size_t n)
{
  const unsigned char *at = bytes;
  for (size_t i = 0; i < n; i++)
    hash = (hash ^ at[i]) * UINT64_C (0x100000001b3);
  return hash;
}

void
example_checksum (uint64_t checksum)
{
  printf ("CHECKSUM %016llx\n", (unsigned long long)checksum);
}

void
example_finish (CsDsm *dsm, uint64_t checksum)
{
  __atomic_store_n (&finished, 1, __ATOMIC_SEQ_CST);
  if (quiescer != 0)
    pthread_join (quiescer, NULL);
  example_must (cs_dsm_close (dsm), "close");
  example_checksum (checksum);
  exit (EXIT_SUCCESS);
}
