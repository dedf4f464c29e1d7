/* Figures of the DSM on this machine: nodes are processes, connections go over the loopback device.
 *
 *     dsm-tool latency ROUNDS     "KEY MICROSECONDS" per line: median and max of each
 *     dsm-tool quiesce ROUNDS     the same, of prepare until ready on all of four nodes under load
 */
#include "config.h"

#include "tests/dsm/load.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUIESCE_NODES 4

static guint rounds;

static int
compare (const void *a, const void *b)
{
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
  return (x > y) - (x < y);
}

static void
print (const char *key, gint64 *times, guint n)
{
  qsort (times, n, sizeof *times, compare);
  printf ("%s-median %" G_GINT64_FORMAT "\n%s-max %" G_GINT64_FORMAT "\n", key, times[n / 2], key,
          times[n - 1]);
  fflush (stdout);
}

/* ---- 4 KiB there and back over TCP, nothing else ---- */

static bool
move (int fd, bool out, guint8 *bytes, gsize n)
{
  while (n > 0)
    {
      ssize_t done = out ? send (fd, bytes, n, MSG_NOSIGNAL) : recv (fd, bytes, n, 0);
      if (done <= 0)
        return false;
      bytes += done;
      n -= (gsize)done;
    }
  return true;
}

/* The connection's other end: 16 bytes come, a page goes. */
static void
serve_pages (int fd)
{
  guint8 page[CS_DSM_PAGE] = { 0 };
  while (move (fd, false, page, 16) && move (fd, true, page, sizeof page))
    ;
  _exit (0);
}

static bool
connect_pair (int fds[2])
{
  struct sockaddr_storage address = { .ss_family = AF_INET };
  socklen_t size = sizeof address;
  int listener = socket (AF_INET, SOCK_STREAM, 0);
  fds[0] = socket (AF_INET, SOCK_STREAM, 0);
  bool good = listen (listener, 1) == 0
              && getsockname (listener, (struct sockaddr *)&address, &size) == 0
              && connect (fds[0], (struct sockaddr *)&address, size) == 0
              && (fds[1] = accept (listener, NULL, NULL)) >= 0;
  close (listener);
  return good;
}

static void
measure_tcp (gint64 *times)
{
  int fds[2];
  guint8 page[CS_DSM_PAGE] = { 0 };
  if (!connect_pair (fds))
    exit (EXIT_FAILURE);
  pid_t pid = fork ();
  if (pid == 0)
    {
      close (fds[0]);
      serve_pages (fds[1]);
    }
  close (fds[1]);
  for (guint i = 0; i < rounds; i++)
    {
      gint64 begin = g_get_monotonic_time ();
      if (!move (fds[0], true, page, 16) || !move (fds[0], false, page, sizeof page))
        exit (EXIT_FAILURE);
      times[i] = g_get_monotonic_time () - begin;
    }
  close (fds[0]);
  waitpid (pid, NULL, 0);
  print ("tcp", times, rounds);
}

/* ---- pages ---- */

/* Node 0 is home of all, node 1 measures, node 2 owns what is fetched from a third. */
static int
measure_pages (CsDsm *dsm, guint node, gpointer data)
{
  volatile guint8 *memory = cs_dsm_memory (dsm);
  gint64 *times = data;
  static const char *const keys[] = { "fetch", "upgrade", "transfer", "fetch-from-third", "lock" };
  for (guint kind = 0; kind < G_N_ELEMENTS (keys); kind++)
    {
      volatile guint8 *base = memory + (gsize)(kind == 1 ? 0 : kind) * rounds * CS_DSM_PAGE;
      for (guint i = 0; kind == 3 && node == 2 && i < rounds; i++)
        base[i * CS_DSM_PAGE] = 1;
      for (guint i = 0; kind != 3 && node == 0 && i < rounds; i++)
        if (kind != 1)
          base[i * CS_DSM_PAGE] = 1;
      if (cs_dsm_barrier (dsm, 0) < 0)
        return 1;
      for (guint i = 0; node == 1 && i < rounds; i++)
        {
          volatile guint8 *at = base + i * CS_DSM_PAGE;
          gint64 begin = g_get_monotonic_time ();
          if (kind == 4)
            (void)(cs_dsm_lock (dsm, 0) < 0 || cs_dsm_unlock (dsm, 0) < 0);
          else if (kind == 0 || kind == 3)
            (void)*at;
          else
            *at = 2;
          times[i] = g_get_monotonic_time () - begin;
        }
      if (node == 1)
        print (keys[kind], times, rounds);
      if (cs_dsm_barrier (dsm, 0) < 0)
        return 1;
    }
  return 0;
}

/* ---- quiescing ---- */

typedef struct
{
  guint meetings, stop;
  guint64 transfers;
  gint64 end[1000][QUIESCE_NODES];
} Quiesce;

static CsDsm *loaded;
static Quiesce *shared;
static guint self;

static void *
load (void *unused)
{
  guint8 *memory = cs_dsm_memory (loaded);
  for (guint n = 0; !__atomic_load_n (&shared->stop, __ATOMIC_SEQ_CST); n++)
    {
      volatile guint64 *at =
          (volatile guint64 *)(memory + (n * 7 + self) % LOAD_PAGES * CS_DSM_PAGE);
      if (n % 2 == 0)
        __atomic_fetch_add (at, 1, __ATOMIC_SEQ_CST);
      else
        (void)*at;
    }
  return NULL;
}

static int
measure_quiesce (CsDsm *dsm, guint node, gpointer data)
{
  pthread_t threads[2];
  loaded = dsm;
  shared = data;
  self = node;
  for (guint i = 0; i < 2; i++)
    if (pthread_create (&threads[i], NULL, load, NULL) != 0)
      return 1;
  for (guint i = 0; i < rounds; i++)
    {
      CsDsmStats stats;
      g_usleep (30000);
      nodes_meet (&shared->meetings, QUIESCE_NODES);
      cs_dsm_stats (dsm, &stats);
      __atomic_add_fetch (&shared->transfers, stats.transfers, __ATOMIC_SEQ_CST);
      gint64 begin = g_get_monotonic_time ();
      if (cs_dsm_prepare (dsm) < 0 || cs_dsm_wait_ready (dsm, 600000) < 0)
        return 2;
      shared->end[i][node] = g_get_monotonic_time () - begin;
      nodes_meet (&shared->meetings, QUIESCE_NODES);
      cs_dsm_resume (dsm, NULL, i + 1);
    }
  nodes_meet (&shared->meetings, QUIESCE_NODES);
  __atomic_store_n (&shared->stop, 1, __ATOMIC_SEQ_CST);
  for (guint i = 0; i < 2; i++)
    pthread_join (threads[i], NULL);
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc != 3 || (rounds = (guint)g_ascii_strtoull (argv[2], NULL, 10)) == 0 || rounds > 1000)
    {
      fprintf (stderr, "usage: dsm-tool latency|quiesce ROUNDS (at most 1000)\n");
      return 2;
    }
  if (strcmp (argv[1], "latency") == 0)
    {
      gint64 *times = nodes_share (sizeof *times * rounds);
      measure_tcp (times);
      const Nodes nodes = { .nodes = 3,
                            .size = (gsize)5 * rounds * CS_DSM_PAGE,
                            .home_block = 5 * rounds,
                            .body = measure_pages,
                            .data = times };
      nodes_run (&nodes);
      return 0;
    }
  Quiesce *quiesce = nodes_share (sizeof *quiesce);
  const Nodes nodes = { .nodes = QUIESCE_NODES,
                        .size = LOAD_PAGES * CS_DSM_PAGE,
                        .home_block = 1,
                        .body = measure_quiesce,
                        .data = quiesce };
  nodes_run (&nodes);
  gint64 *times = nodes_share (sizeof *times * rounds);
  for (guint i = 0; i < rounds; i++)
    for (guint j = 0; j < QUIESCE_NODES; j++)
      times[i] = MAX (times[i], quiesce->end[i][j]);
  print ("quiesce", times, rounds);
  printf ("quiesce-transfers %" G_GUINT64_FORMAT "\n", quiesce->transfers);
  return 0;
}
