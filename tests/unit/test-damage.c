/* Damage on disk: every flipped byte is found and named, and the rest stays usable. */
#include "config.h"

#include "store-fixture.h"
#include "unit.h"

#include "common/error.h"

#include <glib/gstdio.h>
#include <string.h>

#define N 70u

static char *directory;
static char *path;
static char *first;  /* image of snapshot s1: segment 1 */
static char *second; /* image of snapshot s2: segment 2 */
static guint32 first_seeds[N], second_seeds[N];

static void
setup (void)
{
  g_autoptr (GError) error = NULL;
  directory = fixture_directory ();
  path = g_build_filename (directory, "store", NULL);
  cs_store_init (path, &error);
  unit_assert_no_error (error);
  g_autoptr (CsStore) store = fixture_open (path);
  for (guint i = 0; i < N; i++)
    {
      first_seeds[i] = i + 1;
      second_seeds[i] = i + 1001;
    }
  first = fixture_write (store, NULL, first_seeds, N, NULL);
  ck_assert (cs_store_commit (store, NULL));
  fixture_name (store, "s1", first);
  second = fixture_write (store, NULL, second_seeds, N, NULL);
  ck_assert (cs_store_commit (store, NULL));
  fixture_name (store, "s2", second);
}

static void
teardown (void)
{
  g_free (first);
  g_free (second);
  g_free (path);
  fixture_remove (directory);
}

static void
flip (const char *name, gssize offset)
{
  g_autofree char *file = g_build_filename (path, name, NULL);
  g_autofree char *content = NULL;
  gsize length;
  ck_assert (g_file_get_contents (file, &content, &length, NULL));
  gsize at = offset >= 0 ? (gsize)offset : length - (gsize)-offset;
  ck_assert_uint_lt (at, length);
  content[at] ^= 0x10;
  ck_assert (g_file_set_contents (file, content, (gssize)length, NULL));
}

static gsize
length_of (const char *name)
{
  g_autofree char *file = g_build_filename (path, name, NULL);
  GStatBuf st;
  ck_assert_int_eq (g_stat (file, &st), 0);
  return (gsize)st.st_size;
}

/* Verification of @id ends with CORRUPT naming @object. */
static void
expect_damage (CsStore *store, const char *id, const char *object)
{
  g_autoptr (GError) error = NULL;
  guint64 pages;
  g_autoptr (CsImage) image = cs_image_open (store, id, &error);
  if (image != NULL)
    ck_assert_msg (!cs_image_verify (image, NULL, NULL, &pages, &error),
                   "damage of '%s' was not found", object);
  unit_assert_error (error, CS_ERROR_CORRUPT);
  ck_assert_msg (strstr (error->message, object) != NULL, "'%s' is not named: %s", object,
                 error->message);
}

static void
expect_second_whole (CsStore *store)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) list = cs_store_manifest_list (store, NULL, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (list->len, 2);
  fixture_check (store, second, second_seeds, N);
}

/* Every region of a segment, the store open or opened afterwards. */
START_TEST (damaged_segment)
{
  static const char name[] = "segments/00000001";
  gssize length = (gssize)length_of (name);
  gssize step = length / 61;
  for (gssize at = 0; at < length; at += at < 1500 || at > length - 120 ? 7 : step)
    {
      flip (name, at);
      g_autoptr (CsStore) store = fixture_open (path);
      expect_damage (store, first, name);
      expect_second_whole (store);
      flip (name, at);
      g_autoptr (GError) error = NULL;
      g_autoptr (CsImage) whole = cs_image_open (store, first, &error);
      guint64 pages;
      cs_image_verify (whole, NULL, NULL, &pages, &error);
      unit_assert_no_error (error);
      ck_assert_uint_eq (pages, N);
    }
}
END_TEST

START_TEST (segment_while_open)
{
  static const char name[] = "segments/00000001";
  static const gssize places[] = { 20, 70, 1300, -10, -60 };
  g_autoptr (CsStore) store = fixture_open (path);
  fixture_check (store, first, first_seeds, N);
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      flip (name, places[i]);
      expect_damage (store, first, name);
      flip (name, places[i]);
    }
}
END_TEST

START_TEST (truncated_segment)
{
  g_autofree char *file = g_build_filename (path, "segments/00000001", NULL);
  g_autofree char *content = NULL;
  gsize length;
  ck_assert (g_file_get_contents (file, &content, &length, NULL));
  static const gsize lengths[] = { 0, 10, 64, 2000 };
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      ck_assert (g_file_set_contents (file, content, (gssize)lengths[i], NULL));
      g_autoptr (CsStore) store = fixture_open (path);
      expect_damage (store, first, "segments/00000001");
      expect_second_whole (store);
    }
}
END_TEST

START_TEST (missing_segment)
{
  g_autofree char *file = g_build_filename (path, "segments/00000001", NULL);
  ck_assert_int_eq (g_unlink (file), 0);
  g_autoptr (CsStore) store = fixture_open (path);
  expect_damage (store, first, "segments/00000001");
  expect_second_whole (store);
  /* Nothing is shared with what is gone. */
  CsImageStats stats;
  g_autofree char *id = fixture_write (store, NULL, first_seeds, N, &stats);
  ck_assert_uint_eq (stats.pages_stored, N);
  ck_assert (cs_store_commit (store, NULL));
  fixture_check (store, id, first_seeds, N);
}
END_TEST

/* A segment of another store, or in another one's place. */
START_TEST (misplaced_segment)
{
  g_autofree char *from = g_build_filename (path, "segments/00000002", NULL);
  g_autofree char *to = g_build_filename (path, "segments/00000001", NULL);
  g_autofree char *content = NULL;
  gsize length;
  ck_assert (g_file_get_contents (from, &content, &length, NULL));
  ck_assert (g_file_set_contents (to, content, (gssize)length, NULL));
  g_autoptr (CsStore) store = fixture_open (path);
  expect_damage (store, first, "segments/00000001");
  expect_second_whole (store);
}
END_TEST

START_TEST (damaged_image)
{
  g_autofree char *name = g_strconcat ("images/", first, NULL);
  gssize length = (gssize)length_of (name);
  g_autoptr (CsStore) store = fixture_open (path);
  for (gssize at = 0; at < length; at++)
    {
      flip (name, at);
      expect_damage (store, first, name);
      flip (name, at);
    }
  expect_second_whole (store);
  fixture_check (store, first, first_seeds, N);
}
END_TEST

START_TEST (image_under_another_name)
{
  g_autofree char *from = g_build_filename (path, "images", second, NULL);
  g_autofree char *to = g_build_filename (path, "images", first, NULL);
  g_autofree char *content = NULL;
  gsize length;
  ck_assert (g_file_get_contents (from, &content, &length, NULL));
  ck_assert (g_file_set_contents (to, content, (gssize)length, NULL));
  g_autoptr (CsStore) store = fixture_open (path);
  expect_damage (store, first, first);
}
END_TEST

START_TEST (missing_parent)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  guint32 seeds[] = { FIXTURE_KEEP, 9 };
  g_autofree char *child = fixture_write (store, first, seeds, 2, NULL);
  ck_assert (cs_store_commit (store, NULL));
  g_autofree char *file = g_build_filename (path, "images", first, NULL);
  ck_assert_int_eq (g_unlink (file), 0);
  expect_damage (store, child, first);
  ck_assert (cs_image_writer_new (store, child, &error) == NULL);
  unit_assert_error (error, CS_ERROR_CORRUPT);
}
END_TEST

START_TEST (damaged_manifest)
{
  gssize length = (gssize)length_of ("manifests/c/s1");
  g_autoptr (CsStore) store = fixture_open (path);
  for (gssize at = 0; at < length; at++)
    {
      g_autoptr (GError) error = NULL;
      flip ("manifests/c/s1", at);
      ck_assert_msg (cs_store_manifest_get (store, "c", "s1", &error) == NULL, "byte %zd", at);
      unit_assert_error (error, CS_ERROR_CORRUPT);
      ck_assert (strstr (error->message, "manifests/c/s1") != NULL);
      flip ("manifests/c/s1", at);
    }
  flip ("manifests/c/s1", 100);
  expect_second_whole (store);
}
END_TEST

/* Garbage collection touches nothing while it cannot tell; deleting the snapshot helps. */
START_TEST (gc_refuses_beside_damage)
{
  g_autofree char *image = g_strconcat ("images/", first, NULL);
  const char *const objects[] = { "manifests/c/s1", image };
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  CsStoreGcReport report;
  ck_assert (cs_store_manifest_delete (store, "c", "s2", NULL));
  for (guint i = 0; i < G_N_ELEMENTS (objects); i++)
    {
      flip (objects[i], 90);
      ck_assert (!cs_store_gc (store, false, NULL, NULL, &report, &error));
      unit_assert_error (error, CS_ERROR_CORRUPT);
      ck_assert_msg (strstr (error->message, "'s1'") != NULL, "%s", error->message);
      g_clear_error (&error);
      ck_assert_uint_eq (report.images_removed + report.segments_removed, 0);
      fixture_check (store, second, second_seeds, N);
      flip (objects[i], 90);
    }
  flip (objects[0], 90);
  ck_assert (cs_store_manifest_delete (store, "c", "s1", NULL));
  ck_assert (cs_store_gc (store, false, NULL, NULL, &report, &error));
  ck_assert_uint_eq (report.images_removed, 2);
  ck_assert_uint_eq (report.segments_removed, 2);
}
END_TEST

/* A damaged segment with something live in it is left as it is; a dead one goes. */
START_TEST (gc_and_damaged_segments)
{
  static const gssize places[] = { 10, 100, 1500, -5, -50 };
  g_autoptr (GError) error = NULL;
  CsStoreGcReport report;
  flip ("segments/00000001", places[_i]);
  {
    g_autoptr (CsStore) store = fixture_open (path);
    ck_assert (cs_store_gc (store, false, NULL, NULL, &report, &error));
    ck_assert_uint_eq (report.segments_removed + report.segments_rewritten, 0);
    expect_damage (store, first, "segments/00000001");
    ck_assert (cs_store_manifest_delete (store, "c", "s1", NULL));
    ck_assert (cs_store_gc (store, false, NULL, NULL, &report, &error));
    ck_assert_uint_eq (report.segments_removed, 1);
    CsImageStats stats;
    g_autofree char *id = fixture_write (store, NULL, first_seeds, N, &stats);
    ck_assert_uint_eq (stats.pages_stored, N);
  }
  g_autoptr (CsStore) store = fixture_open (path);
  CsImageStats stats;
  g_autofree char *id = fixture_write (store, NULL, first_seeds, N, &stats);
  ck_assert_uint_eq (stats.pages_stored, N);
  ck_assert (cs_store_commit (store, NULL));
  fixture_check (store, id, first_seeds, N);
  fixture_check (store, second, second_seeds, N);
}
END_TEST

/* After damage was seen, new snapshots store the pages again: they are whole. */
START_TEST (damage_is_not_shared)
{
  g_autoptr (CsStore) store = fixture_open (path);
  flip ("segments/00000001", 1500);
  expect_damage (store, first, "segments/00000001");
  CsImageStats stats;
  g_autofree char *id = fixture_write (store, NULL, first_seeds, N, &stats);
  ck_assert_uint_eq (stats.pages_stored, N);
  ck_assert (cs_store_commit (store, NULL));
  fixture_check (store, id, first_seeds, N);
}
END_TEST

/* The index is only a cache: without it, or with rubbish in its place, dedup still works after the
 * next opening. */
static void
write_rubbish (const char *file, gsize length)
{
  g_autofree char *rubbish = g_malloc (length);
  memset (rubbish, 0x5a, length);
  ck_assert (g_file_set_contents (file, rubbish, (gssize)length, NULL));
}

static void
spoil_index (int how)
{
  g_autofree char *data = g_build_filename (path, "index", "data.mdb", NULL);
  g_autofree char *state = g_build_filename (path, "index", "state", NULL);
  g_autofree char *index = g_build_filename (path, "index", NULL);
  g_autofree char *content = NULL;
  gsize length;
  ck_assert (g_file_get_contents (data, &content, &length, NULL));
  switch (how)
    {
    case 0:
      fixture_remove (g_steal_pointer (&index));
      break;
    case 1:
      ck_assert_int_eq (g_unlink (data), 0);
      break;
    case 2:
      write_rubbish (data, length);
      break;
    case 3:
      ck_assert (g_file_set_contents (data, content, (gssize)length / 2, NULL));
      break;
    case 4:
      ck_assert (g_file_set_contents (data, content, 100, NULL));
      break;
    case 5: /* the host went down while it was open */
      write_rubbish (data, length);
      ck_assert (
          g_file_set_contents (state, "open 00000000-0000-0000-0000-000000000000\n", -1, NULL));
      break;
    case 6:
      ck_assert_int_eq (g_unlink (state), 0);
      break;
    default:
      ck_abort ();
    }
}

START_TEST (index_is_rebuilt)
{
  spoil_index (_i);
  g_autoptr (CsStore) store = fixture_open (path);
  CsImageStats stats;
  g_autofree char *id = fixture_write (store, NULL, first_seeds, N, &stats);
  ck_assert_uint_eq (stats.pages_shared, N);
  ck_assert (cs_store_commit (store, NULL));
  fixture_check (store, id, first_seeds, N);
}
END_TEST

/* An index that is older than the segments (restored from a backup): it has pages of a segment that
 * was rewritten without them, and lacks a segment. */
START_TEST (index_of_another_time)
{
  g_autofree char *data = g_build_filename (path, "index", "data.mdb", NULL);
  g_autofree char *content = NULL;
  gsize length;
  guint32 seeds[] = { 5, 50, 5001, 1001 };
  CsImageStats stats;
  ck_assert (g_file_get_contents (data, &content, &length, NULL));
  {
    g_autoptr (CsStore) store = fixture_open (path);
    CsStoreGcReport report;
    g_autofree char *few = fixture_write (store, NULL, first_seeds, 10, NULL);
    g_autofree char *more = fixture_write (store, NULL, seeds + 2, 1, NULL);
    ck_assert (cs_store_commit (store, NULL));
    fixture_name (store, "s3", few);
    fixture_name (store, "s4", more);
    ck_assert (cs_store_manifest_delete (store, "c", "s1", NULL));
    ck_assert (cs_store_gc (store, false, NULL, NULL, &report, NULL));
    ck_assert_uint_eq (report.segments_rewritten, 1);
  }
  ck_assert (g_file_set_contents (data, content, (gssize)length, NULL));
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree char *id = fixture_write (store, NULL, seeds, 4, &stats);
  ck_assert_uint_eq (stats.pages_stored, 1);
  ck_assert (cs_store_commit (store, NULL));
  fixture_check (store, id, seeds, 4);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("damage");
  TCase *cases = tcase_create ("damage");
  tcase_set_timeout (cases, 300);
  tcase_add_checked_fixture (cases, setup, teardown);
  tcase_add_test (cases, damaged_segment);
  tcase_add_test (cases, segment_while_open);
  tcase_add_test (cases, truncated_segment);
  tcase_add_test (cases, missing_segment);
  tcase_add_test (cases, misplaced_segment);
  tcase_add_test (cases, damaged_image);
  tcase_add_test (cases, image_under_another_name);
  tcase_add_test (cases, missing_parent);
  tcase_add_test (cases, damaged_manifest);
  tcase_add_test (cases, gc_refuses_beside_damage);
  tcase_add_loop_test (cases, gc_and_damaged_segments, 0, 5);
  tcase_add_test (cases, damage_is_not_shared);
  tcase_add_loop_test (cases, index_is_rebuilt, 0, 7);
  tcase_add_test (cases, index_of_another_time);
  suite_add_tcase (suite, cases);
  return unit_run (suite);
}
