/* A scripted clusnapd: speaks docs/rpc.md over a real socket, touches no VM.
 *
 * Every method has a plausible answer; fake_daemon_on changes what one method does:
 *
 *   result:JSON          answers with this object
 *   results:J1;;J2       the first request with J1, the next with J2; the last one stays
 *   error:CODE:MESSAGE   answers with this error
 *   late:MS              waits, then answers as usual
 *   progress             sends two progress events, then answers as usual
 *   hang                 answers only when job.abort comes (then with "cancelled")
 *   deaf                 answers nothing any more
 *   complete             answers as usual, but only when job.abort has come
 *   close                closes the connection
 *   half                 sends half of a line and closes
 *   garbage              sends a line that is not JSON
 *   stranger             answers a request that nobody made
 *   batch                sends the answer split into single bytes
 *
 * All daemons of a test write into one journal, in the order in which things happened:
 * "A< METHOD" read from the peer, "A> METHOD" about to be answered, "A! closed". */
#ifndef CS_TESTS_FAKE_DAEMON_H
#define CS_TESTS_FAKE_DAEMON_H

#include <glib.h>
#include <stdbool.h>

typedef struct FakeJournal FakeJournal;
typedef struct FakeDaemon FakeDaemon;

/* @path: each entry is also appended to this file; NULL for none. */
FakeJournal *fake_journal_new (const char *path);
void fake_journal_free (FakeJournal *journal);
/* The position of the first entry that is @entry at or after @from, or -1. */
int fake_journal_find (FakeJournal *journal, const char *entry, int from);
guint fake_journal_count (FakeJournal *journal, const char *entry);
/* Waits until @entry is there; false after ten seconds. */
bool fake_journal_wait (FakeJournal *journal, const char *entry);

/* Listens on the socket @path (replaced); @label begins its entries. */
FakeDaemon *fake_daemon_new (const char *path, const char *label, FakeJournal *journal);
void fake_daemon_on (FakeDaemon *daemon, const char *method, const char *action);
void fake_daemon_free (FakeDaemon *daemon);

#endif
