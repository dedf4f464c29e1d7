#include "config.h"

#include "common/error.h"
#include "coord/cluster-directory.h"
#include "coord/duration.h"
#include "coord/name.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <string.h>

#define VM "vms:\n- name: vm1\n  qmp: /run/vm1.qmp\n"

START_TEST (good_file_is_read)
{
  static const char yaml[] =
      "name: demo\nstore: /srv/s\npause-deadline: 1500ms\npolicy: coordinated\n"
      "vms:\n- name: vm1\n  uri: qemu:///system\n  domain: d1\n"
      "- {name: vm2, qmp: /run/vm2.qmp}\n";
  g_autoptr (GError) error = NULL;
  g_autoptr (CsCluster) cluster = cs_cluster_parse (yaml, strlen (yaml), "f", &error);
  unit_assert_no_error (error);
  ck_assert_str_eq (cs_cluster_name (cluster), "demo");
  ck_assert_str_eq (cs_cluster_store (cluster), "/srv/s");
  ck_assert_uint_eq (cs_cluster_pause_deadline (cluster), 1500000);
  ck_assert_uint_eq (cs_cluster_n_vms (cluster), 2);
  ck_assert_str_eq (cs_cluster_vm (cluster, 0)->domain, "d1");
  ck_assert_ptr_null (cs_cluster_vm (cluster, 0)->qmp);
  ck_assert_str_eq (cs_cluster_vm (cluster, 1)->qmp, "/run/vm2.qmp");
  g_autoptr (CsJson) ref = cs_cluster_vm_ref (cluster, 0);
  ck_assert_str_eq (
      json_object_to_json_string_ext (ref, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
      "{\"name\":\"vm1\",\"uri\":\"qemu:///system\",\"domain\":\"d1\"}");
}
END_TEST

/* Each: what is wrong, and the text that must name it. */
static const struct
{
  const char *yaml;
  const char *named;
} bad[] = {
  { "", "empty" },
  { "# nothing\n", "empty" },
  { "{{{\n", "cluster file 'bad.yaml'" },
  { "name: [\n", "cluster file 'bad.yaml'" },
  { "\tname: x\n", "cluster file 'bad.yaml'" },
  { "- a\n", "cluster file 'bad.yaml'" },
  { "just text\n", "cluster file 'bad.yaml'" },
  { "name: demo\n", "vms" },
  { VM, "name" },
  { "name: demo\nvms: []\n", "vms" },
  { "name: demo\nvms: vm1\n", "vms" },
  { "name: demo\nvms:\n- vm1\n", "vms" },
  { "name: demo\nbogus: 1\n" VM, "bogus" },
  { "name: demo\nname: demo\n" VM, "name" },
  { "name: demo\nNAME: demo\n" VM, "NAME" },
  { "name: [demo]\n" VM, "name" },
  { "name: ''\n" VM, "name" },
  { "name: ../etc\n" VM, "name" },
  { "name: .hidden\n" VM, "name" },
  { "name: 'a b'\n" VM, "name" },
  { "name: demo\nstore: relative/path\n" VM, "'store'" },
  { "name: demo\nstore: ''\n" VM, "store" },
  { "name: demo\npause-deadline: 2\n" VM, "'pause-deadline'" },
  { "name: demo\npause-deadline: -2s\n" VM, "'pause-deadline'" },
  { "name: demo\nagent: maybe\n" VM, "'agent'" },
  { "name: demo\npause-deadline: 2h\n" VM, "'pause-deadline'" },
  { "name: demo\npause-deadline: 0s\n" VM, "'pause-deadline'" },
  { "name: demo\npause-deadline: 99999999999999999999s\n" VM, "'pause-deadline'" },
  { "name: demo\npolicy: sometimes\n" VM, "'policy'" },
  { "name: demo\nvms:\n- name: vm1\n", "'vm1'" },
  { "name: demo\nvms:\n- qmp: /run/vm1.qmp\n", "name" },
  { "name: demo\nvms:\n- name: vm1\n  uri: qemu:///system\n", "'domain'" },
  { "name: demo\nvms:\n- name: vm1\n  domain: d\n", "'uri'" },
  { "name: demo\nvms:\n- name: vm1\n  domain: d\n  uri: u\n  qmp: /q\n", "'qmp'" },
  { "name: demo\nvms:\n- name: vm1\n  qmp: relative\n", "'qmp'" },
  { "name: demo\nvms:\n- name: vm1\n  qmp: /q\n  extra: x\n", "extra" },
  { "name: demo\nvms:\n- name: vm/1\n  qmp: /q\n", "entry 1" },
  { "name: demo\nvms:\n- {name: a, qmp: /1}\n- {name: a, qmp: /2}\n", "'name'" },
  { "name: demo\nvms:\n- {name: a, qmp: /1}\n- {name: b, qmp: /1}\n", "'qmp'" },
  { "name: demo\nvms:\n- {name: a, uri: u, domain: d}\n- {name: b, uri: u, domain: d}\n",
    "'domain'" },
  { "name: &anchor demo\nvms:\n- {name: *anchor, qmp: /1}\n", "lias" },
  { "name: \"\\x01demo\"\n" VM, "name" },
  { "name: \xff\xfe\n" VM, "UTF-8" },
};

START_TEST (bad_file_is_refused)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsCluster) cluster =
      cs_cluster_parse (bad[_i].yaml, strlen (bad[_i].yaml), "bad.yaml", &error);
  ck_assert_msg (cluster == NULL, "accepted: %s", bad[_i].yaml);
  unit_assert_error (error, CS_ERROR_INVALID);
  ck_assert_msg (strstr (error->message, bad[_i].named) != NULL, "'%s' is not named in: %s",
                 bad[_i].named, error->message);
  ck_assert_ptr_nonnull (strstr (error->message, "cluster file 'bad.yaml'"));
}
END_TEST

START_TEST (huge_file_is_refused)
{
  g_autofree char *yaml = g_strnfill (1024 * 1024 + 1, 'a');
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_cluster_parse (yaml, strlen (yaml), "huge", &error));
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

START_TEST (too_many_vms_are_refused)
{
  g_autoptr (GString) yaml = g_string_new ("name: demo\nvms:\n");
  for (int i = 0; i <= CS_CLUSTER_MAX_VMS; i++)
    g_string_append_printf (yaml, "- {name: v%d, qmp: /%d}\n", i, i);
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_cluster_parse (yaml->str, yaml->len, "many", &error));
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

START_TEST (yaml_round_trips)
{
  g_autoptr (GError) error = NULL;
  gsize length = 0;
  g_autoptr (CsCluster) cluster = cs_cluster_new ("demo", "/s: #x", &error);
  ck_assert (
      cs_cluster_add_vm (cluster, "vm1", "qemu+ssh://h/system", "'odd: \"name", NULL, &error));
  ck_assert (cs_cluster_add_vm (cluster, "vm2", NULL, NULL, "/run/a b", &error));
  ck_assert (cs_cluster_set_pause_deadline (cluster, "2s", &error));
  g_autofree char *yaml = cs_cluster_to_yaml (cluster, &length, &error);
  unit_assert_no_error (error);
  g_autoptr (CsCluster) again = cs_cluster_parse (yaml, length, "again", &error);
  unit_assert_no_error (error);
  g_autofree char *yaml_again = cs_cluster_to_yaml (again, &length, &error);
  ck_assert_str_eq (yaml, yaml_again);
  ck_assert_str_eq (cs_cluster_vm (again, 0)->domain, "'odd: \"name");
  ck_assert_uint_eq (cs_cluster_pause_deadline (again), 2000000);
}
END_TEST

START_TEST (refused_vm_is_not_added)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsCluster) cluster = cs_cluster_new ("demo", NULL, &error);
  ck_assert (cs_cluster_add_vm (cluster, "vm1", NULL, NULL, "/q", &error));
  ck_assert (!cs_cluster_add_vm (cluster, "vm1", NULL, NULL, "/other", &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  ck_assert_uint_eq (cs_cluster_n_vms (cluster), 1);
}
END_TEST

START_TEST (directory_keeps_clusters)
{
  GError *error = NULL;
  g_autofree char *state = g_dir_make_tmp ("clusnap-unit-XXXXXX", NULL);
  g_autofree char *directory = g_build_filename (state, "clusters", NULL);
  g_auto (GStrv) none = cs_cluster_directory_list (state, &error);
  ck_assert_ptr_null (none[0]);
  g_autoptr (CsCluster) cluster = cs_cluster_new ("demo", NULL, &error);
  ck_assert (cs_cluster_add_vm (cluster, "vm1", NULL, NULL, "/q", &error));
  ck_assert (cs_cluster_directory_add (state, cluster, &error));
  ck_assert (!cs_cluster_directory_add (state, cluster, &error));
  unit_assert_error (error, CS_ERROR_EXISTS);
  g_clear_error (&error);
  g_auto (GStrv) names = cs_cluster_directory_list (state, &error);
  ck_assert_str_eq (names[0], "demo");
  ck_assert_ptr_null (names[1]);
  g_autoptr (CsCluster) read = cs_cluster_directory_get (state, "demo", &error);
  ck_assert_str_eq (cs_cluster_vm (read, 0)->qmp, "/q");
  ck_assert_ptr_null (cs_cluster_directory_get (state, "other", &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  ck_assert_ptr_nonnull (strstr (error->message, "there are: demo"));
  g_clear_error (&error);
  ck_assert (cs_cluster_directory_remove (state, "demo", &error));
  ck_assert (!cs_cluster_directory_remove (state, "demo", &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_rmdir (directory);
  ck_assert_int_eq (g_rmdir (state), 0);
}
END_TEST

START_TEST (file_of_another_cluster_is_refused)
{
  GError *error = NULL;
  g_autofree char *state = g_dir_make_tmp ("clusnap-unit-XXXXXX", NULL);
  g_autofree char *directory = g_build_filename (state, "clusters", NULL);
  g_autofree char *path = g_build_filename (directory, "demo.yaml", NULL);
  g_mkdir (directory, 0700);
  ck_assert (g_file_set_contents (path, "name: other\n" VM, -1, NULL));
  ck_assert_ptr_null (cs_cluster_directory_get (state, "demo", &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  ck_assert_ptr_null (cs_cluster_directory_get (state, "../demo", &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  ck_assert_ptr_null (cs_cluster_read (directory, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  g_unlink (path);
  g_rmdir (directory);
  g_rmdir (state);
}
END_TEST

START_TEST (names)
{
  static const char *const good[] = { "a", "0", "vm-1", "A.b_c-D", "s1" };
  static const char *const wrong[] = {
    "", "-a", ".a", "_a", "a/b", "a b", "a\n", "\xc3\xa4", "a:b"
  };
  g_autofree char *longest = g_strnfill (CS_NAME_MAX, 'x');
  g_autofree char *longer = g_strnfill (CS_NAME_MAX + 1, 'x');
  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    ck_assert (cs_name_check ("VM", good[i], NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    ck_assert_msg (!cs_name_check ("VM", wrong[i], NULL), "'%s'", wrong[i]);
  ck_assert (cs_name_check ("VM", longest, NULL));
  ck_assert (!cs_name_check ("VM", longer, NULL));
}
END_TEST

START_TEST (durations)
{
  static const char *const wrong[] = { "",   "s",   "2",     "2 s",  " 2s", "2S",
                                       "2m", "0ms", "3601s", "1.5s", "+1s", "2s " };
  guint64 us = 0;
  ck_assert (cs_duration_parse ("1us", &us, NULL) && us == 1);
  ck_assert (cs_duration_parse ("500ms", &us, NULL) && us == 500000);
  ck_assert (cs_duration_parse ("3600s", &us, NULL) && us == 3600000000);
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    ck_assert_msg (!cs_duration_parse (wrong[i], &us, NULL), "'%s'", wrong[i]);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cluster");
  TCase *tests = tcase_create ("cluster");
  tcase_add_test (tests, good_file_is_read);
  tcase_add_loop_test (tests, bad_file_is_refused, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tests, huge_file_is_refused);
  tcase_add_test (tests, too_many_vms_are_refused);
  tcase_add_test (tests, yaml_round_trips);
  tcase_add_test (tests, refused_vm_is_not_added);
  tcase_add_test (tests, directory_keeps_clusters);
  tcase_add_test (tests, file_of_another_cluster_is_refused);
  tcase_add_test (tests, names);
  tcase_add_test (tests, durations);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
