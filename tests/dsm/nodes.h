/* DSM nodes as processes on the loopback device. */
#ifndef CS_TESTS_DSM_NODES_H
#define CS_TESTS_DSM_NODES_H

#include "guest-agent/dsm/clusdsm.h"

#include <glib.h>
#include <stdbool.h>

typedef struct
{
  guint nodes, silence_ms; /* silence_ms 0: long */
  gsize size;
  guint home_block;
  bool ends_alone; /* a body closes or loses the DSM itself: it is not closed behind it */
  void (*lost) (void *data, unsigned node, const char *reason);
  /* In each node's process; 0 when all is well. */
  int (*body) (CsDsm *dsm, guint node, gpointer data);
  gpointer data; /* what must come back lies in memory of nodes_share */
} Nodes;

/* Starts them, waits, and aborts unless all ended with 0. */
void nodes_run (const Nodes *nodes);
/* Only the first @n: the test plays the others. */
void nodes_run_first (const Nodes *nodes, guint n);

/* Zeroed memory that the processes share. */
gpointer nodes_share (gsize size);

/* The address of @node for this test, "127.A.B.C:PORT"; an address that nobody else uses. */
char *nodes_address (guint node);

/* Waits until @n processes of @nodes have called it for this @counter (of nodes_share). */
void nodes_meet (guint *counter, guint n);

#endif
