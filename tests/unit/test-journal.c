/* The journal of what must be undone after a crash. */
#include "config.h"

#include "common/json.h"
#include "tests/unit/unit.h"
#include "vmm/journal.h"

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

static guint
files (const char *directory)
{
  g_autoptr (GDir) listing = g_dir_open (directory, 0, NULL);
  guint n = 0;
  while (g_dir_read_name (listing) != NULL)
    n++;
  return n;
}

/* A process died before it gave an entry its name: the entries that have one stay, the rest goes.
 */
START_TEST (unfinished)
{
  g_autofree char *directory = g_dir_make_tmp ("clusnap-test-XXXXXX", NULL);
  g_autofree char *half = g_build_filename (directory, "0123.fill.42.00c0ffee.tmp", NULL);
  CsJournal *journal = cs_journal_open (directory, NULL);
  CsVmRef ref = { .name = (char *)"a", .qmp = (char *)"/run/a.qmp" };
  ck_assert (cs_journal_add (journal, "fill", &ref, getpid (), NULL, NULL));
  ck_assert (cs_journal_mark (journal, "job", NULL));
  ck_assert (g_file_set_contents (half, "{", 1, NULL));
  cs_journal_sweep_unfinished (journal);
  ck_assert_uint_eq (files (directory), 2);
  ck_assert (cs_journal_is_marked (journal, "job"));
  g_autoptr (GPtrArray) entries = cs_journal_read (journal);
  ck_assert_uint_eq (entries->len, 1);
  ck_assert (cs_journal_is_current (g_ptr_array_index (entries, 0)));
  ck_assert (cs_journal_has (journal, "fill", &ref) && !cs_journal_has (journal, "pause", &ref));
  cs_journal_remove (journal, "fill", &ref);
  ck_assert (!cs_journal_has (journal, "fill", &ref));
  cs_journal_unmark (journal, "job");
  ck_assert_uint_eq (files (directory), 0);
  cs_journal_free (journal);
  ck_assert_int_eq (rmdir (directory), 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("journal");
  TCase *tcase = tcase_create ("all");
  tcase_add_test (tcase, unfinished);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
