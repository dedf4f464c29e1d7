/* The store as a whole: opening, names, manifests, locks. */
#include "config.h"

#include "store-fixture.h"
#include "unit.h"

#include "common/error.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

static char *directory;
static char *path;

static void
setup (void)
{
  directory = fixture_directory ();
  path = fixture_init (directory);
}

static void
teardown (void)
{
  g_free (path);
  fixture_remove (directory);
}

START_TEST (init_and_open)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *uuid = NULL;
  {
    g_autoptr (CsStore) store = fixture_open (path);
    ck_assert_str_eq (cs_store_path (store), path);
    uuid = g_strdup (cs_store_uuid (store));
    ck_assert_uint_eq (strlen (uuid), 36);
  }
  g_autoptr (CsStore) again = fixture_open (path);
  ck_assert_str_eq (cs_store_uuid (again), uuid);
  ck_assert (!cs_store_init (path, &error));
  unit_assert_error (error, CS_ERROR_EXISTS);
  ck_assert (strstr (error->message, path) != NULL);
}
END_TEST

START_TEST (init_takes_an_empty_directory)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *empty = g_build_filename (directory, "empty", NULL);
  ck_assert_int_eq (g_mkdir (empty, 0700), 0);
  ck_assert (cs_store_init (empty, &error));
  g_autoptr (CsStore) store = fixture_open (empty);
}
END_TEST

START_TEST (open_says_what_is_wrong)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *absent = g_build_filename (directory, "absent", NULL);
  ck_assert (cs_store_open (absent, &error) == NULL);
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  ck_assert (strstr (error->message, "clusnap store init") != NULL);
  g_clear_error (&error);

  ck_assert (cs_store_open (directory, &error) == NULL);
  unit_assert_error (error, CS_ERROR_INVALID);
  ck_assert (strstr (error->message, "not a clusnap store") != NULL);
  g_clear_error (&error);

  g_autofree char *header = g_build_filename (path, "clusnap-store.json", NULL);
  ck_assert (cs_store_open (header, &error) == NULL);
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

/* What the header must not be, and a word of the error. */
static const struct
{
  const char *text;
  const char *word;
} bad_headers[] = {
  { "", "something else" },
  { "{\"format\":\"clusnap-store\",\"version\":2,\"uuid\":\"7f0c1fb4-0e0f-4b54-9be2-"
    "0cbe8bf2f1b5\"}",
    "newer" },
  { "{\"format\":\"clusnap-store\",\"version\":1,\"uuid\":\"../../etc\"}", "UUID" },
  { "{\"format\":\"other\",\"version\":1}", "something else" },
  { "[]", "something else" },
};

START_TEST (open_refuses_other_headers)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *header = g_build_filename (path, "clusnap-store.json", NULL);
  ck_assert (g_file_set_contents (header, bad_headers[_i].text, -1, NULL));
  ck_assert (cs_store_open (path, &error) == NULL);
  unit_assert_error (error, CS_ERROR_INVALID);
  ck_assert_msg (strstr (error->message, bad_headers[_i].word) != NULL, "%s", error->message);
}
END_TEST

START_TEST (one_process_at_a_time)
{
  g_autoptr (GError) error = NULL;
  {
    g_autoptr (CsStore) store = fixture_open (path);
    ck_assert (cs_store_open (path, &error) == NULL);
    unit_assert_error (error, CS_ERROR_BUSY);
    ck_assert (strstr (error->message, path) != NULL);
  }
  g_autoptr (CsStore) store = fixture_open (path);
}
END_TEST

START_TEST (leftovers_are_removed)
{
  g_autofree char *tmp = g_build_filename (path, "tmp", NULL);
  g_autofree char *file = g_build_filename (tmp, "123.4", NULL);
  g_mkdir (tmp, 0700);
  ck_assert (g_file_set_contents (file, "half a segment", -1, NULL));
  g_autoptr (CsStore) store = fixture_open (path);
  ck_assert (!g_file_test (file, G_FILE_TEST_EXISTS));
}
END_TEST

static const char *const bad_names[] = { "",   ".",   "..",  "../x",     "a/b",  "-a",
                                         ".a", "a b", "a\n", "\xc3\xa4", "a\\b", "a:b" };

START_TEST (names_are_checked)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  json_object *manifest = json_tokener_parse ("{\"images\":[]}");
  ck_assert (!cs_store_manifest_put (store, bad_names[_i], "s", manifest, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  ck_assert (!cs_store_manifest_put (store, "c", bad_names[_i], manifest, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  ck_assert (cs_store_manifest_get (store, "c", bad_names[_i], &error) == NULL);
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  ck_assert (!cs_store_manifest_delete (store, bad_names[_i], "s", &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  ck_assert (cs_store_manifest_list (store, bad_names[_i], &error) == NULL);
  unit_assert_error (error, CS_ERROR_INVALID);
  json_object_put (manifest);
}
END_TEST

START_TEST (long_names)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree char *longest = g_strnfill (128, 'x');
  g_autofree char *too_long = g_strnfill (129, 'x');
  json_object *manifest = json_tokener_parse ("{\"images\":[]}");
  ck_assert (cs_store_manifest_put (store, longest, longest, manifest, &error));
  ck_assert (!cs_store_manifest_put (store, "c", too_long, manifest, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  json_object_put (manifest);
}
END_TEST

START_TEST (manifest_comes_back_as_it_was)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  json_object *manifest = json_tokener_parse (
      "{\"b\":1,\"clusnap-sha256\":\"mine\",\"images\":[],\"a\":{\"x\":[1.5,null,true,"
      "\"\\u00e4\\u0000\\n</>\"]}}");
  ck_assert (manifest != NULL);
  ck_assert (cs_store_manifest_put (store, "c", "s1", manifest, &error));
  json_object *back = cs_store_manifest_get (store, "c", "s1", &error);
  unit_assert_no_error (error);
  ck_assert (json_object_equal (manifest, back));
  json_object_put (back);
  ck_assert (!cs_store_manifest_put (store, "c", "s1", manifest, &error));
  unit_assert_error (error, CS_ERROR_EXISTS);
  g_clear_error (&error);
  /* The file is JSON for others, too. */
  g_autofree char *file = g_build_filename (path, "manifests", "c", "s1", NULL);
  json_object *read = json_object_from_file (file);
  ck_assert (json_object_is_type (read, json_type_object));
  json_object_put (read);
  ck_assert (cs_store_manifest_delete (store, "c", "s1", &error));
  ck_assert (cs_store_manifest_get (store, "c", "s1", &error) == NULL);
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  ck_assert (!cs_store_manifest_delete (store, "c", "s1", &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  ck_assert (cs_store_manifest_put (store, "c", "s1", manifest, NULL));
  json_object_put (manifest);
}
END_TEST

static const char *const bad_manifests[] = {
  "{}",
  "[]",
  "{\"images\":{}}",
  "{\"images\":[1]}",
  "{\"images\":[\"../x\"]}",
  "{\"images\":[\"7F0C1FB4-0e0f-4b54-9be2-0cbe8bf2f1b5\"]}",
};

START_TEST (manifest_must_name_images)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  json_object *manifest = json_tokener_parse (bad_manifests[_i]);
  ck_assert (!cs_store_manifest_put (store, "c", "s1", manifest, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  json_object_put (manifest);
}
END_TEST

START_TEST (manifest_names_only_published_images)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  guint32 seeds[] = { 1, 2 };
  g_autofree char *id = fixture_write (store, NULL, seeds, 2, NULL);
  g_autofree char *text = g_strdup_printf ("{\"images\":[\"%s\"]}", id);
  json_object *manifest = json_tokener_parse (text);
  ck_assert (!cs_store_manifest_put (store, "c", "s1", manifest, &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  ck_assert (cs_store_commit (store, &error));
  ck_assert (cs_store_manifest_put (store, "c", "s1", manifest, &error));
  json_object_put (manifest);
}
END_TEST

START_TEST (manifests_are_listed_by_name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  json_object *manifest = json_tokener_parse ("{\"images\":[]}");
  static const char *const names[][2] = { { "b", "s2" }, { "a", "s2" }, { "b", "s1" } };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    ck_assert (cs_store_manifest_put (store, names[i][0], names[i][1], manifest, &error));
  json_object_put (manifest);
  g_autofree char *foreign = g_build_filename (path, "manifests", "b", "s1~", NULL);
  ck_assert (g_file_set_contents (foreign, "x", -1, NULL));
  g_autoptr (GPtrArray) all = cs_store_manifest_list (store, NULL, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (all->len, 3);
  ck_assert_str_eq (((CsManifestName *)all->pdata[0])->cluster, "a");
  ck_assert_str_eq (((CsManifestName *)all->pdata[1])->snapshot, "s1");
  g_autoptr (GPtrArray) one = cs_store_manifest_list (store, "b", &error);
  ck_assert_uint_eq (one->len, 2);
  g_autoptr (GPtrArray) none = cs_store_manifest_list (store, "z", &error);
  ck_assert_uint_eq (none->len, 0);
}
END_TEST

START_TEST (statistics)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  guint32 seeds[] = { 1, 2, 0, 2, 3 };
  g_autofree char *a = fixture_write (store, NULL, seeds, 5, NULL);
  g_autofree char *b = fixture_write (store, NULL, seeds, 5, NULL);
  ck_assert (cs_store_commit (store, &error));
  fixture_name (store, "s1", a);
  fixture_name (store, "s2", b);
  fixture_name (store, "s3", b);
  CsStoreStats stats;
  ck_assert (cs_store_stats (store, &stats, &error));
  ck_assert_uint_eq (stats.snapshots, 3);
  ck_assert_uint_eq (stats.images, 2);
  ck_assert_uint_eq (stats.segments, 1);
  ck_assert_uint_eq (stats.pages, 3);
  ck_assert_uint_eq (stats.referenced, 8);
  ck_assert_uint_eq (stats.raw_bytes, 3 * CS_PAGE_SIZE);
  ck_assert_uint_gt (stats.segment_bytes, 3 * CS_PAGE_SIZE / 2);
  ck_assert_uint_gt (stats.bytes, stats.segment_bytes);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("store");
  TCase *cases = tcase_create ("store");
  tcase_set_timeout (cases, 120);
  tcase_add_checked_fixture (cases, setup, teardown);
  tcase_add_test (cases, init_and_open);
  tcase_add_test (cases, init_takes_an_empty_directory);
  tcase_add_test (cases, open_says_what_is_wrong);
  tcase_add_loop_test (cases, open_refuses_other_headers, 0, G_N_ELEMENTS (bad_headers));
  tcase_add_test (cases, one_process_at_a_time);
  tcase_add_test (cases, leftovers_are_removed);
  tcase_add_loop_test (cases, names_are_checked, 0, G_N_ELEMENTS (bad_names));
  tcase_add_test (cases, long_names);
  tcase_add_test (cases, manifest_comes_back_as_it_was);
  tcase_add_loop_test (cases, manifest_must_name_images, 0, G_N_ELEMENTS (bad_manifests));
  tcase_add_test (cases, manifest_names_only_published_images);
  tcase_add_test (cases, manifests_are_listed_by_name);
  tcase_add_test (cases, statistics);
  suite_add_tcase (suite, cases);
  return unit_run (suite);
}
