#include "config.h"

#include "tests/unit/two-hosts.h"

#include "common/error.h"
#include "common/fault.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/eventfd.h>

struct TwoHosts two_hosts;

static char *
socket_path (int host)
{
  return g_strdup_printf ("%s/%c", two_hosts.directory, 'A' + host);
}

void
two_hosts_set_up (void)
{
  memset (&two_hosts, 0, sizeof two_hosts);
  two_hosts.directory = g_dir_make_tmp ("clusnap-unit-XXXXXX", NULL);
  two_hosts.journal = fake_journal_new (NULL);
  two_hosts.interrupt_fd = eventfd (0, EFD_CLOEXEC);
  two_hosts.stages = g_string_new (NULL);
  for (int i = 0; i < TWO_HOSTS; i++)
    {
      g_autofree char *path = socket_path (i);
      const char label[] = { (char)('A' + i), '\0' };
      two_hosts.daemons[i] = fake_daemon_new (path, label, two_hosts.journal);
    }
}

void
two_hosts_tear_down (void)
{
  for (int i = 0; i < TWO_HOSTS; i++)
    {
      cs_rpc_close (two_hosts.rpcs[i]);
      fake_daemon_free (two_hosts.daemons[i]);
    }
  fake_journal_free (two_hosts.journal);
  g_string_free (two_hosts.stages, TRUE);
  close (two_hosts.interrupt_fd);
  g_rmdir (two_hosts.directory);
  g_free (two_hosts.directory);
}

static void
interrupt (void)
{
  const guint64 one = 1;
  ck_assert_int_eq (write (two_hosts.interrupt_fd, &one, sizeof one), sizeof one);
}

void
two_hosts_seen (const char *stage)
{
  g_string_append_printf (two_hosts.stages, "%s ", stage);
}

bool
two_hosts_answered (const char *stage, GError **error)
{
  if (g_strcmp0 (two_hosts.interrupt_in, stage) == 0)
    interrupt ();
  return cs_fault_point (stage, error);
}

CsRpc *
two_hosts_connect (int host)
{
  g_autofree char *path = socket_path (host);
  two_hosts.rpcs[host] = cs_rpc_connect (path, NULL);
  ck_assert_ptr_nonnull (two_hosts.rpcs[host]);
  return two_hosts.rpcs[host];
}

int
two_hosts_position (const char *entry)
{
  int at = fake_journal_find (two_hosts.journal, entry, 0);
  ck_assert_msg (at >= 0, "'%s' did not happen", entry);
  return at;
}

void
two_hosts_assert_never (const char *entry)
{
  ck_assert_msg (fake_journal_find (two_hosts.journal, entry, 0) < 0, "'%s' happened", entry);
}

const struct TwoHostsBreak two_hosts_breaks[TWO_HOSTS_BREAKS] = {
  { "close", CS_ERROR_GONE },
  { "half", CS_ERROR_GONE },
  { "garbage", CS_ERROR_IO },
  { "stranger", CS_ERROR_IO },
};

gpointer
two_hosts_interrupt_at (gpointer entry)
{
  ck_assert (fake_journal_wait (two_hosts.journal, entry));
  interrupt ();
  return NULL;
}
