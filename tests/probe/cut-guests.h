/* The serial ports of the guests, over QEMU's unix sockets. */
#ifndef CS_TESTS_CUT_GUESTS_H
#define CS_TESTS_CUT_GUESTS_H

#include "tests/probe/cut-state.h"

typedef struct CutGuests CutGuests;

/* @arguments: "NODE=SOCKET", every node once.  Errors: INVALID, and what connect says. */
CutGuests *cut_guests_new (char **arguments, GError **error);
void cut_guests_free (CutGuests *guests);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CutGuests, cut_guests_free)

/* Sends "@verb ID" to all guests and waits for each one's answer.  Returns their CutState by
 * node.  Errors: DEADLINE when a guest is silent for @timeout_s; GONE when it ended. */
GPtrArray *cut_guests_ask (CutGuests *guests, const char *verb, guint timeout_s, GError **error);

#endif
