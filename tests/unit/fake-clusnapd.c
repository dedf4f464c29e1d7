/* The scripted daemon as a program, for tests of the CLI:
 * fake-clusnapd SOCKET JOURNAL [METHOD=ACTION...], until SIGTERM (tests/unit/fake-daemon.h). */
#include "config.h"

#include "tests/unit/fake-daemon.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

int
main (int argc, char **argv)
{
  if (argc < 3)
    g_error ("usage: %s SOCKET JOURNAL [METHOD=ACTION...]", argv[0]);
  sigset_t ends;
  int number;
  sigemptyset (&ends);
  sigaddset (&ends, SIGTERM);
  sigprocmask (SIG_BLOCK, &ends, NULL);
  g_autofree char *temporary = g_strconcat (argv[1], ".new", NULL);
  FakeJournal *journal = fake_journal_new (argv[2]);
  FakeDaemon *daemon = fake_daemon_new (temporary, "D", journal);
  for (int i = 3; i < argc; i++)
    {
      g_auto (GStrv) parts = g_strsplit (argv[i], "=", 2);
      fake_daemon_on (daemon, parts[0], parts[1]);
    }
  /* Under its name it is complete. */
  if (symlink (temporary, argv[1]) < 0)
    g_error ("cannot make '%s'", argv[1]);
  sigwait (&ends, &number);
  unlink (argv[1]);
  fake_daemon_free (daemon);
  fake_journal_free (journal);
  return 0;
}
