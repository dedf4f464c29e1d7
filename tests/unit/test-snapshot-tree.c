/* The table of snapshots as a tree. */
#include "config.h"

#include "coord/cli-snapshot-tree.h"
#include "tests/unit/unit.h"

/* The names of the tree of @rows: {"snapshot", "parent", "created"}, one line each. */
static char *
drawn (const char *rows)
{
  g_autoptr (CsJson) array = json_tokener_parse (rows);
  ck_assert_ptr_nonnull (array);
  g_autoptr (CsJson) tree = cs_snapshot_tree (array);
  GString *lines = g_string_new (NULL);
  for (gsize i = 0; i < json_object_array_length (tree); i++)
    g_string_append_printf (lines, "%s\n",
                            cs_json_string (json_object_array_get_idx (tree, i), "snapshot"));
  return g_string_free (lines, FALSE);
}

#define ROW(name, parent, created)                                                                 \
  "{\"cluster\":\"c\",\"snapshot\":\"" name "\",\"parent\":" parent ",\"created\":\"" created "\"" \
  "}"

START_TEST (branches)
{
  g_autofree char *text = drawn ("[" ROW ("s4", "\"s2\"", "4") "," ROW ("s1", "null", "1") "," ROW (
      "s2", "\"s1\"", "2") "," ROW ("s3", "\"s1\"", "3") "," ROW ("s5", "\"s3\"", "5") "]");
  ck_assert_str_eq (text, "s1\n|- s2\n|  `- s4\n`- s3\n   `- s5\n");
}
END_TEST

START_TEST (deleted_parent_makes_roots)
{
  g_autofree char *text = drawn (
      "[" ROW ("s1", "null", "1") "," ROW ("s3", "\"s2\"", "3") "," ROW ("s4", "\"s3\"", "4") "]");
  ck_assert_str_eq (text, "s1\ns3\n`- s4\n");
}
END_TEST

#define MERGE(name, parents, created)                                                              \
  "{\"cluster\":\"c\",\"snapshot\":\"" name "\",\"parent\":null,\"parents\":[" parents             \
  "],\"created\":\"" created "\"}"

/* One of all VMs after partial ones. */
START_TEST (several_parents)
{
  static const char rows[] = "[" ROW ("s1", "null", "1") "," ROW ("s2.1", "\"s1\"", "2") "," ROW (
      "s2.2", "\"s1\"", "3") "," MERGE ("s3", "\"s2.1\",\"s2.2\"",
                                        "4") "," ROW ("s4", "\"s3\"",
                                                      "5") "," MERGE ("s5", "\"gone\",\"s2.1\"",
                                                                      "6") "]";
  g_autofree char *text = drawn (rows);
  ck_assert_str_eq (text, "s1\n|- s2.1\n|  `- s5 (and gone)\n`- s2.2\n   `- s3 (and s2.1)\n"
                          "      `- s4\n");
  g_autoptr (CsJson) array = json_tokener_parse (rows);
  g_autoptr (CsJson) tree = cs_snapshot_tree (array);
  ck_assert_str_eq (cs_json_string (json_object_array_get_idx (tree, 4), "parent"), "s2.1, s2.2");
}
END_TEST

/* s1 was deleted, and its name used again for a child of its own child. */
START_TEST (ring_is_drawn_once)
{
  g_autofree char *text = drawn ("[" ROW ("s1", "\"s2\"", "2") "," ROW (
      "s2", "\"s1\"", "1") "," ROW ("s3", "\"s3\"", "3") "]");
  ck_assert_str_eq (text, "s3\ns2\n`- s1\n");
}
END_TEST

START_TEST (clusters_are_apart)
{
  g_autofree char *text = drawn (
      "[{\"cluster\":\"b\",\"snapshot\":\"s2\",\"parent\":\"s1\"},{\"cluster\":\"a\",\"snapshot\":"
      "\"s1\",\"current\":true},{\"cluster\":\"b\",\"snapshot\":\"x\",\"state\":\"damaged\"}]");
  ck_assert_str_eq (text, "s1 *\ns2\nx\n");
}
END_TEST

START_TEST (none)
{
  g_autofree char *text = drawn ("[]");
  ck_assert_str_eq (text, "");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("snapshot-tree");
  TCase *tests = tcase_create ("tree");
  tcase_add_test (tests, branches);
  tcase_add_test (tests, deleted_parent_makes_roots);
  tcase_add_test (tests, several_parents);
  tcase_add_test (tests, ring_is_drawn_once);
  tcase_add_test (tests, clusters_are_apart);
  tcase_add_test (tests, none);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
