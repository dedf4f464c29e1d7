/* What the example programs share: options, opening, the final line. */
#ifndef CS_DSM_EXAMPLE_H
#define CS_DSM_EXAMPLE_H

#include "guest-agent/dsm/clusdsm.h"

typedef struct
{
  const char *key, *help;
  unsigned long value, min, max;
} ExampleOption;

/* Arguments are KEY=VALUE, --KEY=VALUE or --KEY VALUE; those of others are ignored (the demo
 * guest's kernel command line has them too).  Known besides @options:
 *
 *     node=I nodes=N         this node and how many there are
 *     peers=A.B.C.D:P,...    their addresses, or
 *     net=A.B.C port=P       node I is A.B.C.(10+I), as in the demo guest
 *     agent=PATH             the agent's socket
 *     quiesce=MS             prepares and resumes so often, to measure what that costs
 *     silence=MS             after which a peer that answers nothing is lost
 *
 * Opens a region of @size bytes and takes part in snapshots if there is an agent.  Ends the program
 * with a message when that fails; never NULL. */
CsDsm *example_open (const char *program, int argc, char **argv, size_t size, unsigned *node,
                     unsigned *nodes);
void example_options (const char *program, int argc, char **argv, ExampleOption *options, size_t n);

/* Ends the program when @result is not 0: a peer is lost. */
void example_must (int result, const char *what);

void example_progress (const char *program, unsigned long done, unsigned long all);

/* FNV-1a */
uint64_t example_hash (uint64_t hash, const void *bytes, size_t n);
#define EXAMPLE_HASH UINT64_C (0xcbf29ce484222325)

/* Prints "CHECKSUM <hex>", 16 digits. */
void example_checksum (uint64_t checksum);

/* All nodes call it; prints the checksum and ends the program. */
void example_finish (CsDsm *dsm, uint64_t checksum) __attribute__ ((noreturn));

#endif
