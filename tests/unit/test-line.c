/* Sequence numbers, branches and dependency vectors of one VM. */
#include "config.h"

#include "common/error.h"
#include "tests/unit/unit.h"
#include "vmm/line.h"

#include <string.h>

static guint64
next (CsLine *line)
{
  guint64 sequence = cs_line_reserve (line);
  cs_line_advance (line);
  ck_assert_uint_eq (cs_line_sequence (line), sequence);
  return sequence;
}

/* What a snapshot of @line would have in its manifest. */
static CsLine *
snapshot_of (const CsLine *line)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsJson) vm = json_object_new_object ();
  cs_json_add_string (vm, "name", "vm1");
  cs_line_add_to (line, vm);
  CsLine *snapshot = cs_line_from_manifest (vm, &error);
  unit_assert_no_error (error);
  return snapshot;
}

START_TEST (numbers)
{
  g_autoptr (CsLine) line = cs_line_new ();
  ck_assert_uint_eq (cs_line_sequence (line), 0);
  ck_assert_uint_eq (next (line), 1);
  /* Reserved and never used: gone. */
  cs_line_reserve (line);
  ck_assert_uint_eq (cs_line_sequence (line), 1);
  ck_assert_uint_eq (next (line), 3);
  cs_line_raise_highest (line, 9);
  cs_line_raise_highest (line, 4);
  ck_assert_uint_eq (next (line), 10);
}
END_TEST

START_TEST (dependencies)
{
  guint64 interval = 0;
  guint sources = 0;
  g_autoptr (CsLine) line = cs_line_new ();
  ck_assert (!cs_line_depends_on (line, "vm2", &interval));
  ck_assert (cs_line_merge (line, "vm2", 4, CS_DEPENDENCY_FLOWS));
  ck_assert (!cs_line_merge (line, "vm2", 4, CS_DEPENDENCY_FLOWS));
  ck_assert (!cs_line_merge (line, "vm2", 3, CS_DEPENDENCY_FLOWS));
  ck_assert (cs_line_merge (line, "vm2", 3, CS_DEPENDENCY_AGENT));
  ck_assert (cs_line_depends_on (line, "vm2", &interval) && interval == 4);
  ck_assert (cs_line_depends_since (line, "vm2", &interval, &sources));
  ck_assert_uint_eq (sources, 1u << CS_DEPENDENCY_FLOWS | 1u << CS_DEPENDENCY_AGENT);
  /* Cumulative; but what is recent is of the present interval only. */
  next (line);
  ck_assert (cs_line_depends_on (line, "vm2", &interval) && interval == 4);
  ck_assert (!cs_line_depends_since (line, "vm2", &interval, &sources));
  ck_assert (cs_line_merge (line, "vm2", 2, CS_DEPENDENCY_UNCOUNTED));
  ck_assert (cs_line_depends_on (line, "vm2", &interval) && interval == 4);
  ck_assert (cs_line_depends_since (line, "vm2", &interval, &sources));
  ck_assert_uint_eq (interval, 2);
  ck_assert_uint_eq (sources, 1u << CS_DEPENDENCY_UNCOUNTED);
}
END_TEST

/*   b1: 1 - 2 - 3        back to 1:  b2: 4 - 5      back to 4:  b3: 6 - 7 */
START_TEST (branches)
{
  guint64 interval = 0;
  g_autoptr (CsLine) line = cs_line_new ();
  cs_line_merge (line, "vm2", 0, CS_DEPENDENCY_FLOWS);
  next (line);
  g_autoptr (CsLine) s1 = snapshot_of (line);
  cs_line_merge (line, "vm3", 7, CS_DEPENDENCY_FLOWS);
  next (line);
  next (line);
  g_autoptr (CsLine) s3 = snapshot_of (line);
  ck_assert (cs_line_has (line, s1) && cs_line_has (line, s3));
  ck_assert (cs_line_has (s3, s1) && !cs_line_has (s1, s3) && cs_line_has (s1, s1));

  cs_line_go_back (line, s1);
  ck_assert_uint_eq (cs_line_sequence (line), 4);
  ck_assert (cs_line_depends_on (line, "vm2", &interval) && interval == 0);
  ck_assert (!cs_line_depends_on (line, "vm3", &interval));
  ck_assert (cs_line_has (line, s1) && !cs_line_has (line, s3));
  ck_assert_uint_eq (next (line), 5);
  g_autoptr (CsLine) s5 = snapshot_of (line);
  ck_assert (cs_line_has (s5, s1) && !cs_line_has (s5, s3) && !cs_line_has (s3, s5));

  cs_line_go_back (line, s5);
  ck_assert_uint_eq (cs_line_sequence (line), 6);
  next (line);
  g_autoptr (CsLine) s7 = snapshot_of (line);
  ck_assert (cs_line_has (line, s5) && cs_line_has (line, s1) && !cs_line_has (line, s3));

  /* Forward again into what was abandoned. */
  cs_line_go_back (line, s3);
  ck_assert_uint_eq (cs_line_sequence (line), 8);
  ck_assert (cs_line_has (line, s3) && cs_line_has (line, s1));
  ck_assert (!cs_line_has (line, s5) && !cs_line_has (line, s7));
  ck_assert (cs_line_depends_on (line, "vm3", &interval) && interval == 7);

  g_autoptr (CsLine) stranger = cs_line_new ();
  ck_assert (!cs_line_has (stranger, s1) && !cs_line_has (line, stranger));
}
END_TEST

START_TEST (documents)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsLine) line = cs_line_new ();
  next (line);
  cs_line_merge (line, "vm2", 1, CS_DEPENDENCY_FLOWS);
  cs_line_merge (line, "vm3", 0, CS_DEPENDENCY_AGENT);
  g_autoptr (CsLine) s1 = snapshot_of (line);
  cs_line_go_back (line, s1);
  cs_line_reserve (line);
  g_autoptr (CsJson) json = cs_line_to_json (line);
  g_autoptr (CsLine) again = cs_line_from_json (json, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (cs_line_sequence (again), 2);
  ck_assert_uint_eq (cs_line_highest (again), 3);
  ck_assert (cs_line_has (again, s1));
  g_autoptr (CsJson) twice = cs_line_to_json (again);
  ck_assert_str_eq (json_object_to_json_string (json), json_object_to_json_string (twice));
  g_autoptr (CsJson) manifest = json_object_new_object ();
  cs_line_add_to (line, manifest);
  ck_assert_str_eq (json_object_to_json_string (json_object_object_get (manifest, "dependencies")),
                    "[ { \"vm\": \"vm2\", \"interval\": 1, \"sources\": [ \"flows\" ] }, "
                    "{ \"vm\": \"vm3\", \"interval\": 0, \"sources\": [ \"agent\" ] } ]");
}
END_TEST

START_TEST (old_manifest)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsJson) vm = json_tokener_parse ("{\"name\": \"vm1\", \"image\": \"i\"}");
  ck_assert_ptr_null (cs_line_from_manifest (vm, &error));
  unit_assert_no_error (error);
}
END_TEST

#define B1 "{\"branch\": \"c0a80101-0000-4000-8000-000000000001\"}"
#define B1_UNTIL(n) "{\"branch\": \"c0a80101-0000-4000-8000-000000000001\", \"until\": " n "}"

START_TEST (bad_manifest)
{
  static const char *const texts[] = {
    "{\"sequence\": 1}",
    "{\"sequence\": -1, \"line\": [" B1 "], \"dependencies\": []}",
    "{\"sequence\": \"1\", \"line\": [" B1 "], \"dependencies\": []}",
    "{\"sequence\": 9223372036854775808, \"line\": [" B1 "], \"dependencies\": []}",
    "{\"sequence\": 1, \"line\": [], \"dependencies\": []}",
    "{\"sequence\": 1, \"line\": [{\"branch\": \"x\"}], \"dependencies\": []}",
    "{\"sequence\": 1, \"line\": [7], \"dependencies\": []}",
    "{\"sequence\": 1, \"line\": [" B1 ", " B1 "], \"dependencies\": []}",
    "{\"sequence\": 1, \"line\": [" B1_UNTIL ("5") ", " B1 "], \"dependencies\": []}",
    "{\"sequence\": 1, \"line\": [" B1 "]}",
    "{\"sequence\": 1, \"line\": [" B1 "], \"dependencies\": [{}]}",
    "{\"sequence\": 1, \"line\": [" B1 "], \"dependencies\": [{\"vm\": \"\", \"interval\": 1, "
    "\"sources\": []}]}",
    "{\"sequence\": 1, \"line\": [" B1 "], \"dependencies\": [{\"vm\": \"a\", \"interval\": -1, "
    "\"sources\": []}]}",
    "{\"sequence\": 1, \"line\": [" B1 "], \"dependencies\": [{\"vm\": \"a\", \"interval\": 1}]}",
    "{\"sequence\": 1, \"line\": [" B1 "], \"dependencies\": [{\"vm\": \"a\", \"interval\": 1, "
    "\"sources\": []}, {\"vm\": \"a\", \"interval\": 2, \"sources\": []}]}",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (CsJson) vm = json_tokener_parse (texts[i]);
      ck_assert_ptr_nonnull (vm);
      ck_assert_msg (cs_line_from_manifest (vm, &error) == NULL, "'%s' was taken", texts[i]);
      unit_assert_error (error, CS_ERROR_CORRUPT);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("line");
  TCase *all = tcase_create ("all");
  tcase_add_test (all, numbers);
  tcase_add_test (all, dependencies);
  tcase_add_test (all, branches);
  tcase_add_test (all, documents);
  tcase_add_test (all, old_manifest);
  tcase_add_test (all, bad_manifest);
  suite_add_tcase (suite, all);
  return unit_run (suite);
}
