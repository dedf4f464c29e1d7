/* What a restore touches first: the order kept in the store, and reading in it. */
#include "config.h"

#include "backend-double.h"
#include "store-fixture.h"
#include "unit.h"

#include "common/error.h"
#include "images/hint-format.h"
#include "images/hint.h"
#include "images/image-private.h"
#include "images/read-plan.h"

#include <string.h>

#define PAGES 400

/* --- the layout --- */

static const char image_id[] = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf";
static const char object_name[] = "hints/a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf";

/* An image of two volumes of 100 pages, as far as hints look at it. */
typedef struct
{
  CsStore store;
  CsImageVolume volumes[2];
  CsImage image;
} Scene;

static void
scene_init (Scene *scene)
{
  *scene = (Scene){ .store.backend = backend_memory_new () };
  scene->image.store = &scene->store;
  scene->image.id = (char *)image_id;
  scene->image.volumes = g_ptr_array_new ();
  for (int i = 0; i < 2; i++)
    {
      scene->volumes[i].map = cs_page_map_new (100);
      g_ptr_array_add (scene->image.volumes, &scene->volumes[i]);
    }
}

static void
scene_clear (Scene *scene)
{
  for (int i = 0; i < 2; i++)
    cs_page_map_free (scene->volumes[i].map);
  g_ptr_array_unref (scene->image.volumes);
  cs_backend_free (scene->store.backend);
}

static GArray *
some_touches (void)
{
  static const CsTouch touches[] = { { 0, 7 }, { 1, 99 }, { 0, 0 } };
  GArray *array = g_array_new (FALSE, FALSE, sizeof (CsTouch));
  return g_array_append_vals (array, touches, G_N_ELEMENTS (touches));
}

static void
assert_same (const GArray *a, const GArray *b)
{
  ck_assert_uint_eq (a->len, b->len);
  for (guint i = 0; i < a->len; i++)
    {
      const CsTouch *left = &g_array_index (a, CsTouch, i), *right = &g_array_index (b, CsTouch, i);
      ck_assert_uint_eq (left->volume, right->volume);
      ck_assert_uint_eq (left->page, right->page);
    }
}

START_TEST (test_layout)
{
  Scene scene;
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) touches = some_touches ();
  g_autofree char *written = NULL;
  g_autofree char *golden = NULL;
  gsize length, golden_length;
  scene_init (&scene);
  ck_assert (cs_hint_put (&scene.image, touches, &error));
  ck_assert (cs_backend_get (scene.store.backend, object_name, 1000, &written, &length, &error));
  const char *srcdir = g_getenv ("srcdir");
  g_autofree char *path =
      g_build_filename (srcdir != NULL ? srcdir : ".", "tests/unit/golden/hint-1.bin", NULL);
  if (g_getenv ("CLUSNAP_WRITE_GOLDEN") != NULL)
    g_file_set_contents (path, written, (gssize)length, NULL);
  g_file_get_contents (path, &golden, &golden_length, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (length, golden_length);
  ck_assert_mem_eq (written, golden, length);
  scene_clear (&scene);
}
END_TEST

START_TEST (test_round_trip)
{
  Scene scene;
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) touches = some_touches ();
  scene_init (&scene);
  ck_assert_ptr_null (cs_hint_get (&scene.image, &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  for (int again = 0; again < 2; again++)
    {
      ck_assert (cs_hint_put (&scene.image, touches, &error));
      g_autoptr (GArray) read = cs_hint_get (&scene.image, &error);
      unit_assert_no_error (error);
      assert_same (read, touches);
      g_array_remove_index (touches, 0);
    }
  scene_clear (&scene);
}
END_TEST

/* Every byte changed, and every length: never a hint. */
START_TEST (test_damage)
{
  Scene scene;
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) touches = some_touches ();
  g_autofree char *good = NULL;
  gsize length;
  scene_init (&scene);
  ck_assert (cs_hint_put (&scene.image, touches, &error));
  ck_assert (cs_backend_get (scene.store.backend, object_name, 1000, &good, &length, &error));
  for (gsize i = 0; i < 2 * length; i++)
    {
      g_autofree char *bad = g_memdup2 (good, length);
      bad[i % length] ^= 0x10;
      ck_assert (cs_backend_put (scene.store.backend, object_name, i < length ? bad : good,
                                 i < length ? length : i - length, true, NULL));
      ck_assert_ptr_null (cs_hint_get (&scene.image, &error));
      unit_assert_error (error, CS_ERROR_CORRUPT);
      ck_assert_ptr_nonnull (strstr (error->message, object_name));
      g_clear_error (&error);
    }
  scene_clear (&scene);
}
END_TEST

/* With a checksum that is right: pages and volumes that the image does not have, and another's. */
START_TEST (test_foreign)
{
  static const CsTouch outside[] = { { 0, 100 }, { 2, 0 }, { 65535, 1 } };
  Scene scene;
  g_autoptr (GError) error = NULL;
  scene_init (&scene);
  for (guint i = 0; i < G_N_ELEMENTS (outside); i++)
    {
      g_autoptr (GArray) touches = some_touches ();
      g_array_append_val (touches, outside[i]);
      ck_assert (cs_hint_put (&scene.image, touches, NULL));
      ck_assert_ptr_null (cs_hint_get (&scene.image, &error));
      unit_assert_error (error, CS_ERROR_CORRUPT);
      g_clear_error (&error);
    }
  g_autoptr (GArray) touches = some_touches ();
  g_autofree char *content = NULL;
  gsize length;
  ck_assert (cs_hint_put (&scene.image, touches, NULL));
  ck_assert (cs_backend_get (scene.store.backend, object_name, 1000, &content, &length, NULL));
  scene.image.id = (char *)"b0b1b2b3-b4b5-b6b7-b8b9-babbbcbdbebf";
  ck_assert (cs_backend_put (scene.store.backend, "hints/b0b1b2b3-b4b5-b6b7-b8b9-babbbcbdbebf",
                             content, length, true, NULL));
  ck_assert_ptr_null (cs_hint_get (&scene.image, &error));
  unit_assert_error (error, CS_ERROR_CORRUPT);
  scene_clear (&scene);
}
END_TEST

START_TEST (test_bounded)
{
  Scene scene;
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) touches = g_array_new (FALSE, FALSE, sizeof (CsTouch));
  scene_init (&scene);
  for (guint i = 0; i < CS_HINT_MAX_TOUCHES + 10; i++)
    {
      CsTouch touch = { 0, i % 100 };
      g_array_append_val (touches, touch);
    }
  ck_assert (cs_hint_put (&scene.image, touches, &error));
  g_autoptr (GArray) read = cs_hint_get (&scene.image, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (read->len, CS_HINT_MAX_TOUCHES);
  scene_clear (&scene);
}
END_TEST

/* --- in a store --- */

static char *directory;
static CsStore *store;
static char *id;
static CsImage *image;

/* Every fourth page is zero; page 8 has the content of page 1. */
static guint32
seed_of (guint page)
{
  return page % 4 == 3 ? 0 : page == 8 ? 2 : page + 1;
}

static void
setup (void)
{
  g_autoptr (GError) error = NULL;
  guint32 seeds[PAGES];
  directory = fixture_directory ();
  g_autofree char *path = g_build_filename (directory, "store", NULL);
  cs_store_init (path, &error);
  unit_assert_no_error (error);
  store = fixture_open (path);
  for (guint i = 0; i < PAGES; i++)
    seeds[i] = seed_of (i);
  id = fixture_write (store, NULL, seeds, PAGES, NULL);
  cs_store_commit (store, &error);
  unit_assert_no_error (error);
  fixture_name (store, "s", id);
  image = cs_image_open (store, id, &error);
  unit_assert_no_error (error);
}

static void
teardown (void)
{
  cs_image_free (image);
  cs_store_close (store);
  g_free (id);
  fixture_remove (directory);
}

/* A hint lives as long as the snapshot. */
START_TEST (test_gc)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) touches = some_touches ();
  CsStoreGcReport report;
  ((CsTouch *)(void *)touches->data)[1].volume = 0;
  ck_assert (cs_hint_put (image, touches, &error));
  ck_assert (cs_store_gc (store, false, NULL, NULL, &report, &error));
  g_autoptr (GArray) kept = cs_hint_get (image, &error);
  unit_assert_no_error (error);
  assert_same (kept, touches);

  ck_assert (cs_store_manifest_delete (store, "c", "s", &error));
  g_clear_pointer (&image, cs_image_free);
  g_autofree char *name = g_strconcat ("hints/", id, NULL);
  ck_assert (cs_store_gc (store, true, NULL, NULL, &report, &error));
  g_autoptr (CsObject) still = cs_backend_open (store->backend, name, &error);
  unit_assert_no_error (error);
  ck_assert (cs_store_gc (store, false, NULL, NULL, &report, &error));
  ck_assert_ptr_null (cs_backend_open (store->backend, name, &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
}
END_TEST

typedef struct
{
  GMutex lock;
  guint seen[PAGES];
  guint total;
  guint fail_at; /* 0: not */
} Reading;

static bool
look (guint64 page, guint64 count, const void *data, void *user_data, GError **error)
{
  Reading *reading = user_data;
  g_mutex_lock (&reading->lock);
  for (guint64 i = 0; i < count; i++, reading->total++)
    {
      fixture_check_page (seed_of ((guint)(page + i)), (const guint8 *)data + i * CS_PAGE_SIZE);
      reading->seen[page + i]++;
    }
  bool fail = reading->fail_at != 0 && reading->total >= reading->fail_at;
  g_mutex_unlock (&reading->lock);
  if (fail)
    g_set_error_literal (error, CS_ERROR, CS_ERROR_GONE, "enough");
  return !fail;
}

/* Each page that is not zero once, with its content. */
START_TEST (test_plan_is_complete)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsReadPlan) plan = cs_read_plan_new (image, 0);
  Reading reading = { .total = 0 };
  ck_assert_uint_gt (cs_read_plan_n_frames (plan), 4);
  if (_i == 0)
    for (guint i = 0; i < cs_read_plan_n_frames (plan); i++)
      ck_assert (cs_read_plan_read (plan, i, look, &reading, &error));
  else
    ck_assert (cs_read_plan_read_all (plan, 4, look, &reading, NULL, &error));
  for (guint i = 0; i < PAGES; i++)
    ck_assert_uint_eq (reading.seen[i], seed_of (i) != 0);
}
END_TEST

/* The frame of the first wanted page comes first, and the rest in the store's order. */
START_TEST (test_plan_prefers)
{
  static const guint64 wanted[] = { 350, 3, 20, 351, 352, 349 }; /* 3 and 351 are zero */
  g_autoptr (CsReadPlan) plain = cs_read_plan_new (image, 0);
  g_autoptr (CsReadPlan) plan = cs_read_plan_new (image, 0);
  guint n = cs_read_plan_n_frames (plan), k = 0;
  guint preferred = cs_read_plan_prefer (plan, wanted, G_N_ELEMENTS (wanted));
  ck_assert_uint_ge (preferred, 2);
  ck_assert_uint_le (preferred, 4);
  ck_assert_uint_eq (cs_read_plan_n_frames (plan), n);
  bool first = false, second = false;
  for (guint i = 0; i < cs_read_plan_n_pages (plan, 0); i++)
    first = first || cs_read_plan_page (plan, 0, i) == 350;
  for (guint i = 0; i < cs_read_plan_n_pages (plan, 1); i++)
    second = second || cs_read_plan_page (plan, 1, i) == 20;
  ck_assert (first && second);
  for (guint i = preferred; i < n; i++, k++)
    while (cs_read_plan_page (plain, k, 0) != cs_read_plan_page (plan, i, 0))
      ck_assert_uint_lt (++k, n);
  ck_assert_uint_eq (cs_read_plan_prefer (plan, NULL, 0), 0);
  for (guint i = 0; i < n; i++)
    ck_assert_uint_eq (cs_read_plan_page (plan, i, 0), cs_read_plan_page (plain, i, 0));
}
END_TEST

START_TEST (test_plan_stops)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (CsReadPlan) plan = cs_read_plan_new (image, 0);
  Reading reading = { .fail_at = 40 };
  ck_assert (!cs_read_plan_read_all (plan, 4, look, &reading, NULL, &error));
  unit_assert_error (error, CS_ERROR_GONE);
  ck_assert_uint_lt (reading.total, PAGES / 4 * 3);
  g_clear_error (&error);
  g_cancellable_cancel (cancellable);
  reading.fail_at = 0;
  ck_assert (!cs_read_plan_read_all (plan, 4, look, &reading, cancellable, &error));
  unit_assert_error (error, CS_ERROR_CANCELLED);
}
END_TEST

/* Pages that are read together: all of one frame, or all zero; inside the window. */
START_TEST (test_neighbours)
{
  for (guint64 page = 0; page < PAGES; page++)
    {
      guint64 first, count;
      cs_image_neighbours (image, 0, page, 16, &first, &count);
      ck_assert (first <= page && page < first + count && first + count <= PAGES);
      ck_assert_uint_ge (first, page / 16 * 16);
      ck_assert_uint_le (first + count, page / 16 * 16 + 16);
      for (guint64 i = first; i < first + count; i++)
        ck_assert (cs_image_page_is_zero (image, 0, i) == cs_image_page_is_zero (image, 0, page));
      if (page % 4 == 3)
        ck_assert_uint_eq (count, 1);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("hint");
  TCase *layout = tcase_create ("layout");
  tcase_add_test (layout, test_layout);
  tcase_add_test (layout, test_round_trip);
  tcase_add_test (layout, test_damage);
  tcase_add_test (layout, test_foreign);
  tcase_add_test (layout, test_bounded);
  suite_add_tcase (suite, layout);
  TCase *reading = tcase_create ("reading");
  tcase_add_checked_fixture (reading, setup, teardown);
  tcase_add_test (reading, test_gc);
  tcase_add_loop_test (reading, test_plan_is_complete, 0, 2);
  tcase_add_test (reading, test_plan_prefers);
  tcase_add_test (reading, test_plan_stops);
  tcase_add_test (reading, test_neighbours);
  suite_add_tcase (suite, reading);
  return unit_run (suite);
}
