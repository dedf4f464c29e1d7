/* Was an execution sequentially consistent?
 *
 * Each process' operations in its own order, every written value unique in its word.  The order of
 * a word's writes must be known: each write tells which value it replaced.  Then the execution is
 * sequentially consistent if and only if program order, reads-from, write order and from-reads
 * together have no cycle (Shasha and Snir 1988; with the write order given the check is linear:
 * Gibbons and Korach 1997). */
#ifndef CS_TESTS_DSM_CHECKER_H
#define CS_TESTS_DSM_CHECKER_H

#include <glib.h>

typedef struct
{
  gboolean write;
  guint32 word;
  guint64 value;    /* read, or written; 0: the initial value */
  guint64 replaced; /* of a write: the value before */
} Operation;

/* @operations: @n of each of @processes, one process after the other.  NULL, or what is wrong
 * (g_free). */
char *checker_check (const Operation *operations, guint processes, guint n, guint words);

#endif
