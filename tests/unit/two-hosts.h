/* The world of a test of the stage machines: two scripted daemons, A and B, and what happened. */
#ifndef CS_TESTS_TWO_HOSTS_H
#define CS_TESTS_TWO_HOSTS_H

#include "coord/rpc-client.h"
#include "tests/unit/fake-daemon.h"

#define TWO_HOSTS 2
#define TWO_HOSTS_BREAKS 4

extern struct TwoHosts
{
  char *directory;
  FakeJournal *journal;
  FakeDaemon *daemons[TWO_HOSTS];
  CsRpc *rpcs[TWO_HOSTS];
  int interrupt_fd;
  GString *stages; /* names seen by the observer */
  const char *interrupt_in;
} two_hosts;

/* Ways in which a connection breaks, and the error's code. */
extern const struct TwoHostsBreak
{
  const char *action;
  int code;
} two_hosts_breaks[TWO_HOSTS_BREAKS];

void two_hosts_set_up (void);
void two_hosts_tear_down (void);
CsRpc *two_hosts_connect (int host);

/* For observers: @stage was entered; was answered (interrupts in interrupt_in; a fault point). */
void two_hosts_seen (const char *stage);
bool two_hosts_answered (const char *stage, GError **error);

/* Where in the journal @entry is; it must be there. */
int two_hosts_position (const char *entry);
void two_hosts_assert_never (const char *entry);
/* A thread: interrupts when @entry is in the journal. */
gpointer two_hosts_interrupt_at (gpointer entry);

#endif
