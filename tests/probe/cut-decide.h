/* Whether states of a cluster's cut probes fit together.  Pure functions; no time, no I/O.
 *
 * Theory of operation.  Nobody can ask all guests at one moment, but order is enough: what a node
 * says *first* it has received must not exceed what the sender says *later* it has sent.  So
 * all states of one round are taken before the first state of the next round is asked for.  The
 * guests check far more themselves (guest-agent/probe/causality.h) and only count it here. */
#ifndef CS_TESTS_CUT_DECIDE_H
#define CS_TESTS_CUT_DECIDE_H

#include "tests/probe/cut-state.h"

/* Arrays: CutState of every node, in the order of the nodes.  Reasons (char *, added to @reasons)
 * say what does not fit; each function returns whether it added none. */

/* Every node is there once, and all agree on how many there are. */
bool cut_decide_complete (GPtrArray *states, GPtrArray *reasons);

/* No node saw a violation, every TCP connection stands and none was broken since @against (NULL:
 * ever). */
bool cut_decide_healthy (GPtrArray *states, GPtrArray *against, GPtrArray *reasons);

/* No message was received that was not sent, and nobody knows more of a node than that node has
 * done.  @later was asked for after all of @states had come. */
bool cut_decide_no_orphan (GPtrArray *states, GPtrArray *later, GPtrArray *reasons);

/* No counter went back from @before to @after, and the programs are the same ones.  @when names
 * the earlier moment in reasons. */
bool cut_decide_no_way_back (GPtrArray *before, GPtrArray *after, const char *when,
                             GPtrArray *reasons);

/* Between @before and @after every pair exchanged at least @messages in both directions on TCP,
 * and some on UDP; every disk was written. */
bool cut_decide_progress (GPtrArray *before, GPtrArray *after, guint64 messages,
                          GPtrArray *reasons);

#endif
