/* Roots that outlive the process, and a reader beside the process that has the store. */
#include "config.h"

#include "backend-double.h"
#include "store-fixture.h"
#include "unit.h"

#include "common/error.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 96u
#define CRASHED 9

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

static char *
snapshot (CsStore *store, const char *name, guint32 first)
{
  guint32 seeds[N];
  for (guint i = 0; i < N; i++)
    seeds[i] = first + i;
  char *id = fixture_write (store, NULL, seeds, N, NULL);
  g_autoptr (GError) error = NULL;
  cs_store_commit (store, &error);
  unit_assert_no_error (error);
  fixture_name (store, name, id);
  return id;
}

static void
check (CsStore *store, const char *id, guint32 first)
{
  guint32 seeds[N];
  for (guint i = 0; i < N; i++)
    seeds[i] = first + i;
  fixture_check (store, id, seeds, N);
}

static bool
put_root (CsStore *store, const char *name, const char *image, GError **error)
{
  json_object *root = json_object_new_object ();
  json_object *images = json_object_new_array ();
  json_object_array_add (images, json_object_new_string (image));
  json_object_object_add (root, "images", images);
  json_object_object_add (root, "purpose", json_object_new_string ("test"));
  bool ok = cs_store_root_put (store, name, root, error);
  json_object_put (root);
  return ok;
}

static void
drop (CsStore *store, const char *name)
{
  g_autoptr (GError) error = NULL;
  cs_store_manifest_delete (store, "c", name, &error);
  unit_assert_no_error (error);
}

static CsStoreGcReport
collect (CsStore *store)
{
  g_autoptr (GError) error = NULL;
  CsStoreGcReport report;
  cs_store_gc (store, false, NULL, NULL, &report, &error);
  unit_assert_no_error (error);
  return report;
}

START_TEST (a_root_keeps_an_image)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *id = NULL;
  {
    g_autoptr (CsStore) store = fixture_open (path);
    id = snapshot (store, "s1", 1);
    ck_assert (put_root (store, "clone-1", id, &error));
    drop (store, "s1");
    ck_assert_uint_eq (collect (store).images_removed, 0);
  }
  g_autoptr (CsStore) store = fixture_open (path);
  ck_assert_uint_eq (collect (store).images_removed, 0);
  check (store, id, 1);
  CsStoreStats stats;
  ck_assert (cs_store_stats (store, &stats, &error));
  ck_assert_uint_eq (stats.roots, 1);
  ck_assert_uint_eq (stats.snapshots, 0);
  ck_assert_uint_eq (stats.referenced, N);
  ck_assert (cs_store_root_remove (store, "clone-1", &error));
  ck_assert_uint_eq (collect (store).images_removed, 1);
  ck_assert (cs_image_open (store, id, &error) == NULL);
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
}
END_TEST

START_TEST (names_and_documents)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree char *id = snapshot (store, "s1", 1);
  ck_assert (put_root (store, "b", id, &error));
  ck_assert (put_root (store, "a", id, &error));
  ck_assert (!put_root (store, "a", id, &error));
  unit_assert_error (error, CS_ERROR_EXISTS);
  g_clear_error (&error);
  ck_assert (!put_root (store, "../a", id, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  ck_assert (!put_root (store, "c", "00000000000000000000000000000000", &error));
  g_clear_error (&error);
  g_autoptr (GPtrArray) names = cs_store_root_list (store, &error);
  ck_assert_uint_eq (names->len, 2);
  ck_assert_str_eq (names->pdata[0], "a");
  ck_assert_str_eq (names->pdata[1], "b");
  json_object *root = cs_store_root_get (store, "a", &error), *member;
  unit_assert_no_error (error);
  ck_assert (json_object_object_get_ex (root, "format", &member));
  ck_assert_str_eq (json_object_get_string (member), "clusnap-root");
  ck_assert (json_object_object_get_ex (root, "purpose", &member));
  json_object_put (root);
  ck_assert (cs_store_root_get (store, "z", &error) == NULL);
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  ck_assert (!cs_store_root_remove (store, "z", &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
}
END_TEST

START_TEST (a_damaged_root_stops_collection)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree char *id = snapshot (store, "s1", 1);
  ck_assert (put_root (store, "a", id, &error));
  g_autofree char *file = g_build_filename (path, "roots", "a", NULL);
  ck_assert (g_file_set_contents (file, "{}", -1, NULL));
  drop (store, "s1");
  ck_assert (!cs_store_gc (store, false, NULL, NULL, NULL, &error));
  unit_assert_error (error, CS_ERROR_CORRUPT);
  ck_assert (strstr (error->message, "root 'a'") != NULL);
  check (store, id, 1);
  ck_assert (cs_store_root_remove (store, "a", NULL));
  ck_assert_uint_eq (collect (store).images_removed, 1);
}
END_TEST

START_TEST (a_reader_beside_collection)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autoptr (CsStore) reader = cs_store_open_reader (path, &error);
  unit_assert_no_error (error);
  guint32 seeds[400];
  for (guint i = 0; i < 400; i++)
    seeds[i] = i + 1;
  /* After the reader was opened; one segment with the pages of both. */
  g_autofree char *a = fixture_write (store, NULL, seeds, 400, NULL);
  g_autofree char *b = fixture_write (store, NULL, seeds + 150, 100, NULL);
  ck_assert (cs_store_commit (store, &error));
  fixture_name (store, "s1", a);
  fixture_name (store, "s2", b);
  g_autofree char *gone = snapshot (store, "s3", 5000);
  ck_assert (put_root (store, "r", b, &error));
  {
    g_autoptr (CsImage) image = cs_image_open (reader, b, &error);
    unit_assert_no_error (error);
    guint8 page[CS_PAGE_SIZE];
    ck_assert (cs_image_read (image, 0, 0, 1, page, &error));
    fixture_check_page (151, page);
    drop (store, "s1");
    drop (store, "s2");
    drop (store, "s3");
    CsStoreGcReport report = collect (store);
    ck_assert_uint_eq (report.segments_rewritten, 1);
    ck_assert_uint_eq (report.segments_removed, 1);
    for (guint i = 0; i < 100; i++)
      {
        ck_assert (cs_image_read (image, 0, i, 1, page, &error));
        fixture_check_page (151 + i, page);
      }
  }
  fixture_check (reader, b, seeds + 150, 100);
  g_autoptr (CsStore) later = cs_store_open_reader (path, &error);
  fixture_check (later, b, seeds + 150, 100);
  ck_assert (cs_image_open (later, a, &error) == NULL);
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
}
END_TEST

START_TEST (a_reader_does_not_write)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *id = NULL;
  {
    g_autoptr (CsStore) store = fixture_open (path);
    id = snapshot (store, "s1", 1);
  }
  g_autofree char *leftover = g_build_filename (path, "tmp", "1.1", NULL);
  ck_assert (g_file_set_contents (leftover, "x", -1, NULL));
  g_autoptr (CsStore) reader = cs_store_open_reader (path, &error);
  unit_assert_no_error (error);
  ck_assert (g_file_test (leftover, G_FILE_TEST_EXISTS));
  check (reader, id, 1);
  ck_assert (cs_image_writer_new (reader, NULL, &error) == NULL);
  unit_assert_error (error, CS_ERROR_PERMISSION);
  g_clear_error (&error);
  ck_assert (!cs_store_commit (reader, &error));
  g_clear_error (&error);
  ck_assert (!cs_store_gc (reader, false, NULL, NULL, NULL, &error));
  g_clear_error (&error);
  ck_assert (!put_root (reader, "r", id, &error));
  unit_assert_error (error, CS_ERROR_PERMISSION);
  g_clear_error (&error);
  ck_assert (!cs_store_manifest_delete (reader, "c", "s1", &error));
  unit_assert_error (error, CS_ERROR_PERMISSION);
}
END_TEST

/* The operation of a number fails, or the process ends there. */
typedef struct
{
  gint left;
  bool crash;
} Fault;

static int
fault_hook (const char *operation, const char *name, bool after, void *data)
{
  Fault *fault = data;
  if (strcmp (operation, "read") == 0 || strcmp (operation, "open") == 0 || fault->left-- != 0)
    return 0;
  if (fault->crash)
    _exit (CRASHED);
  return after ? 0 : EIO;
}

/* Ends at the first failure. */
static void
scenario (CsStore *store, const char *id)
{
  if (!put_root (store, "r", id, NULL))
    return;
  if (!cs_store_manifest_delete (store, "c", "s1", NULL))
    return;
  cs_store_gc (store, false, NULL, NULL, NULL, NULL);
  if (cs_store_root_remove (store, "r", NULL))
    cs_store_gc (store, false, NULL, NULL, NULL, NULL);
}

static void
check_after (const char *id)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autoptr (GPtrArray) roots = cs_store_root_list (store, &error);
  g_autoptr (GPtrArray) manifests = cs_store_manifest_list (store, NULL, &error);
  unit_assert_no_error (error);
  /* A root is whole or not there. */
  for (guint i = 0; i < roots->len; i++)
    {
      json_object *root = cs_store_root_get (store, roots->pdata[i], &error);
      unit_assert_no_error (error);
      json_object_put (root);
    }
  collect (store);
  if (roots->len + manifests->len > 0)
    check (store, id, 1);
  else
    ck_assert (cs_image_open (store, id, NULL) == NULL);
}

START_TEST (at_every_operation)
{
  bool crash = _i == 1;
  for (gint n = 0;; n++)
    {
      g_autofree char *id = NULL;
      {
        g_autoptr (CsStore) store = fixture_open (path);
        id = snapshot (store, "s1", 1);
      }
      pid_t child = fork ();
      if (child == 0)
        {
          Fault fault = { .left = n, .crash = crash };
          CsStore *store = cs_store_open_backend (
              path, backend_faulty_new (cs_backend_local_new (path), fault_hook, &fault), NULL);
          if (store != NULL)
            scenario (store, id);
          _exit (fault.left < 0 ? CRASHED : 0);
        }
      int status;
      ck_assert_int_eq (waitpid (child, &status, 0), child);
      ck_assert (WIFEXITED (status));
      check_after (id);
      if (WEXITSTATUS (status) == 0)
        {
          ck_assert_int_gt (n, 8);
          break;
        }
      ck_assert_int_eq (WEXITSTATUS (status), CRASHED);
      teardown ();
      setup ();
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("store-root");
  TCase *cases = tcase_create ("store-root");
  tcase_set_timeout (cases, 120);
  tcase_add_checked_fixture (cases, setup, teardown);
  tcase_add_test (cases, a_root_keeps_an_image);
  tcase_add_test (cases, names_and_documents);
  tcase_add_test (cases, a_damaged_root_stops_collection);
  tcase_add_test (cases, a_reader_beside_collection);
  tcase_add_test (cases, a_reader_does_not_write);
  tcase_add_loop_test (cases, at_every_operation, 0, 2);
  suite_add_tcase (suite, cases);
  return unit_run (suite);
}
