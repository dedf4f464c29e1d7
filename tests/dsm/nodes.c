#include "config.h"

#include "tests/dsm/nodes.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static guint base; /* the process that runs the test */

char *
nodes_address (guint node)
{
  if (base == 0)
    base = (guint)getpid ();
  return g_strdup_printf ("127.%u.%u.%u:%u", 1 + (base >> 16) % 250, (base >> 8) & 255, base & 255,
                          17400 + node);
}

gpointer
nodes_share (gsize size)
{
  gpointer memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (memory != MAP_FAILED);
  return memory;
}

void
nodes_meet (guint *counter, guint n)
{
  guint mine = __atomic_add_fetch (counter, 1, __ATOMIC_SEQ_CST);
  guint all = (mine + n - 1) / n * n;
  while (__atomic_load_n (counter, __ATOMIC_SEQ_CST) < all)
    g_usleep (200);
}

static int
run_node (const Nodes *nodes, guint node)
{
  char *peers[CS_DSM_NODES];
  char why[300];
  CsDsmOptions options;
  if (cs_dsm_options (&options) < 0)
    return 10;
  for (guint i = 0; i < nodes->nodes; i++)
    peers[i] = nodes_address (i);
  options.node = node;
  options.nodes = nodes->nodes;
  options.peers = (const char *const *)peers;
  options.size = nodes->size;
  options.home_block = nodes->home_block;
  options.silence_ms = nodes->silence_ms > 0 ? nodes->silence_ms : 600000;
  options.start_ms = 600000;
  options.lost = nodes->lost;
  options.data = nodes->data;
  g_autofree char *name = g_strdup_printf ("vm%u", node);
  options.vm = name;
  CsDsm *dsm = cs_dsm_open (&options, why, sizeof why);
  if (dsm == NULL)
    {
      g_printerr ("node %u: %s\n", node, why);
      return 11;
    }
  int result = nodes->body (dsm, node, nodes->data);
  if (!nodes->ends_alone && cs_dsm_close (dsm) < 0 && result == 0)
    result = 12;
  for (guint i = 0; i < nodes->nodes; i++)
    g_free (peers[i]);
  return result;
}

void
nodes_run (const Nodes *nodes)
{
  nodes_run_first (nodes, nodes->nodes);
}

void
nodes_run_first (const Nodes *nodes, guint n)
{
  pid_t pids[CS_DSM_NODES];
  g_free (nodes_address (0));
  for (guint i = 0; i < n; i++)
    {
      pids[i] = fork ();
      g_assert_cmpint (pids[i], >=, 0);
      if (pids[i] == 0)
        _exit (run_node (nodes, i));
    }
  for (guint i = 0; i < n; i++)
    {
      int status;
      g_assert_cmpint (waitpid (pids[i], &status, 0), ==, pids[i]);
      if (!WIFEXITED (status) || WEXITSTATUS (status) != 0)
        g_error ("node %u ended with status %#x", i, (guint)status);
    }
}
