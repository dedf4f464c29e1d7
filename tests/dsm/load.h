/* Random reads and writes on words of a DSM, recorded for the checker.
 *
 * Half of the words are written by one node only, with plain stores (several such words of
 * different nodes lie in one page); the others by all, with exchanges, which tell what they
 * replaced. */
#ifndef CS_TESTS_DSM_LOAD_H
#define CS_TESTS_DSM_LOAD_H

#include "tests/dsm/checker.h"
#include "tests/dsm/nodes.h"

#define LOAD_WORDS 64
#define LOAD_PAGES 8

/* @operations: room for @n of this node.  @progress (may be NULL) counts what is done. */
void load_run (CsDsm *dsm, guint node, guint nodes, Operation *operations, guint n,
               guint *progress);

#endif
