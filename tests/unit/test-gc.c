/* Garbage collection: gives space back, never breaks what is needed. */
#include "config.h"

#include "store-fixture.h"
#include "unit.h"

#include "common/error.h"

#include <glib/gstdio.h>
#include <string.h>

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

static void
commit (CsStore *store)
{
  g_autoptr (GError) error = NULL;
  cs_store_commit (store, &error);
  unit_assert_no_error (error);
}

static CsStoreGcReport
collect (CsStore *store, bool dry_run)
{
  g_autoptr (GError) error = NULL;
  CsStoreGcReport report;
  cs_store_gc (store, dry_run, NULL, NULL, &report, &error);
  unit_assert_no_error (error);
  return report;
}

/* Pages @first ... @first + n - 1 as an image of a snapshot. */
static char *
snapshot (CsStore *store, const char *name, const char *parent, guint32 first, guint n)
{
  g_autofree guint32 *seeds = g_new (guint32, n);
  for (guint i = 0; i < n; i++)
    seeds[i] = first + i;
  char *id = fixture_write (store, parent, seeds, n, NULL);
  commit (store);
  fixture_name (store, name, id);
  return id;
}

static void
check_range (CsStore *store, const char *id, guint32 first, guint n)
{
  g_autofree guint32 *seeds = g_new (guint32, n);
  for (guint i = 0; i < n; i++)
    seeds[i] = first + i;
  fixture_check (store, id, seeds, n);
}

static void delete (CsStore *store, const char *name)
{
  g_autoptr (GError) error = NULL;
  cs_store_manifest_delete (store, "c", name, &error);
  unit_assert_no_error (error);
}

START_TEST (a_dead_segment_goes)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree char *a = snapshot (store, "s1", NULL, 1, 200);
  g_autofree char *b = snapshot (store, "s2", NULL, 1001, 200);
  CsStoreGcReport report = collect (store, false);
  ck_assert_uint_eq (report.images_removed + report.segments_removed + report.segments_rewritten
                         + report.pages_removed + report.bytes_freed,
                     0);
  delete (store, "s1");
  CsStoreStats before, after;
  ck_assert (cs_store_stats (store, &before, &error));
  report = collect (store, true);
  ck_assert_uint_eq (report.segments_removed, 1);
  ck_assert_uint_eq (report.images_removed, 1);
  ck_assert_uint_eq (report.pages_removed, 200);
  ck_assert_uint_eq (fixture_count_segments (store), 2);
  report = collect (store, false);
  ck_assert_uint_eq (report.segments_removed, 1);
  ck_assert_uint_eq (report.images_removed, 1);
  ck_assert_uint_eq (report.pages_removed, 200);
  ck_assert (cs_store_stats (store, &after, &error));
  ck_assert_uint_eq (before.bytes - after.bytes, report.bytes_freed);
  ck_assert_uint_eq (after.pages, 200);
  ck_assert (cs_image_open (store, a, &error) == NULL);
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  check_range (store, b, 1001, 200);
}
END_TEST

START_TEST (a_mixed_segment_is_rewritten)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree guint32 *seeds = g_new (guint32, 400);
  for (guint i = 0; i < 400; i++)
    seeds[i] = i + 1;
  /* One segment with the pages of both. */
  g_autofree char *a = fixture_write (store, NULL, seeds, 400, NULL);
  g_autofree char *b = fixture_write (store, NULL, seeds + 150, 100, NULL);
  commit (store);
  fixture_name (store, "s1", a);
  fixture_name (store, "s2", b);
  g_autoptr (CsImage) reader = cs_image_open (store, b, &error);
  delete (store, "s1");
  CsStoreGcReport report = collect (store, false);
  ck_assert_uint_eq (report.segments_rewritten, 1);
  ck_assert_uint_eq (report.pages_removed, 300);
  ck_assert_uint_gt (report.bytes_freed, 300 * CS_PAGE_SIZE / 2);
  fixture_check (store, b, seeds + 150, 100);
  guint8 page[CS_PAGE_SIZE];
  ck_assert (cs_image_read (reader, 0, 99, 1, page, &error));
  fixture_check_page (250, page);
  /* Dead pages are stored anew, live ones are still shared. */
  CsImageStats stats;
  g_autofree char *c = fixture_write (store, NULL, seeds, 400, &stats);
  commit (store);
  ck_assert_uint_eq (stats.pages_stored, 300);
  ck_assert_uint_eq (stats.pages_shared, 100);
  fixture_check (store, c, seeds, 400);
  report = collect (store, false);
  ck_assert_uint_eq (report.pages_removed, 0);
}
END_TEST

START_TEST (it_is_the_same_after_reopening)
{
  g_autofree char *b = NULL;
  {
    g_autoptr (CsStore) store = fixture_open (path);
    g_autofree char *a = snapshot (store, "s1", NULL, 1, 300);
    b = snapshot (store, "s2", a, 101, 100);
    delete (store, "s1");
    collect (store, false);
  }
  g_autoptr (CsStore) store = fixture_open (path);
  check_range (store, b, 101, 100);
  CsImageStats stats;
  guint32 seeds[] = { 1, 101 };
  g_autofree char *c = fixture_write (store, NULL, seeds, 2, &stats);
  ck_assert_uint_eq (stats.pages_stored, 1);
  commit (store);
  fixture_check (store, c, seeds, 2);
}
END_TEST

START_TEST (an_ancestor_serves_only_its_descendants)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree char *a = snapshot (store, "s1", NULL, 1, 200);
  g_autofree char *b = snapshot (store, "s2", a, 151, 200);
  delete (store, "s1");
  CsStoreGcReport report = collect (store, false);
  ck_assert_uint_eq (report.images_removed, 0);
  ck_assert_uint_eq (report.pages_removed, 150);
  check_range (store, b, 151, 200);
  ck_assert (cs_image_open (store, a, &error) == NULL);
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  ck_assert (cs_image_writer_new (store, a, &error) == NULL);
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  json_object *manifest = json_object_new_object ();
  json_object *images = json_object_new_array ();
  json_object_array_add (images, json_object_new_string (a));
  json_object_object_add (manifest, "images", images);
  ck_assert (!cs_store_manifest_put (store, "c", "s3", manifest, &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  json_object_put (manifest);
  delete (store, "s2");
  report = collect (store, false);
  ck_assert_uint_eq (report.images_removed, 2);
  ck_assert_uint_eq (fixture_count_segments (store), 0);
}
END_TEST

START_TEST (pins_and_open_images_keep)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree char *a = snapshot (store, "s1", NULL, 1, 50);
  g_autofree char *b = snapshot (store, "s2", NULL, 1001, 50);
  cs_store_pin (store, a);
  cs_store_pin (store, a);
  cs_store_pin (store, "7f0c1fb4-0e0f-4b54-9be2-0cbe8bf2f1b5"); /* of a commit that failed */
  CsImage *open = cs_image_open (store, b, &error);
  delete (store, "s1");
  delete (store, "s2");
  ck_assert_uint_eq (collect (store, false).images_removed, 0);
  cs_store_unpin (store, a);
  ck_assert_uint_eq (collect (store, false).images_removed, 0);
  check_range (store, a, 1, 50);
  check_range (store, b, 1001, 50);
  cs_store_unpin (store, a);
  cs_image_free (open);
  ck_assert_uint_eq (collect (store, false).images_removed, 2);
}
END_TEST

START_TEST (what_was_just_committed_is_kept)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  guint32 seeds[] = { 1, 2, 3 };
  g_autofree char *a = fixture_write (store, NULL, seeds, 3, NULL);
  g_autofree char *b = fixture_write (store, NULL, seeds, 3, NULL);
  collect (store, false);
  commit (store);
  ck_assert_uint_eq (collect (store, false).images_removed, 0);
  fixture_name (store, "s1", a);
  ck_assert_uint_eq (collect (store, false).images_removed, 0);
  cs_store_discard (store, b);
  ck_assert_uint_eq (collect (store, false).images_removed, 1);
  fixture_check (store, a, seeds, 3);
}
END_TEST

/* A writer shares pages of a snapshot that goes before it commits. */
START_TEST (writers_in_progress_are_left_alone)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree char *a = snapshot (store, "s1", NULL, 1, 100);
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, NULL, &error);
  guint volume;
  guint8 page[CS_PAGE_SIZE];
  cs_image_writer_add_volume (writer, CS_VOLUME_RAM, "ram", 2 * CS_PAGE_SIZE, true, &volume, NULL);
  fixture_page (50, page);
  ck_assert (cs_image_writer_put (writer, volume, 0, 1, page, &error));
  delete (store, "s1");
  CsStoreGcReport report = collect (store, false);
  ck_assert_uint_eq (report.images_removed, 1);
  ck_assert_uint_eq (report.segments_removed + report.segments_rewritten, 0);
  fixture_page (5000, page);
  ck_assert (cs_image_writer_put (writer, volume, 1, 1, page, &error));
  g_autofree char *id = cs_image_writer_finish (writer, NULL, &error);
  collect (store, false);
  commit (store);
  guint32 seeds[] = { 50, 5000 };
  report = collect (store, false);
  ck_assert_uint_eq (report.segments_rewritten, 1);
  ck_assert_uint_eq (report.pages_removed, 99);
  fixture_check (store, id, seeds, 2);
}
END_TEST

/* A commit that is held up before its image is there, until garbage collection has looked for it
 * the last time. */
static struct
{
  const CsBackendVtable *real;
  GThread *committer;
  GMutex lock;
  GCond changed;
  bool publishing, go_on;
  guint looks;
} late;

static bool
publish_late (CsUpload *upload, bool replace, GError **error)
{
  if (g_str_has_prefix (upload->name, "images/"))
    {
      g_mutex_lock (&late.lock);
      late.publishing = true;
      g_cond_broadcast (&late.changed);
      while (!late.go_on)
        g_cond_wait (&late.changed, &late.lock);
      g_mutex_unlock (&late.lock);
    }
  return late.real->publish (upload, replace, error);
}

static CsObject *
open_late (CsBackend *backend, const char *name, GError **error)
{
  CsObject *object = late.real->open (backend, name, error);
  if (object != NULL || !g_str_has_prefix (name, "images/") || ++late.looks != 2)
    return object;
  g_mutex_lock (&late.lock);
  late.go_on = true;
  g_cond_broadcast (&late.changed);
  g_mutex_unlock (&late.lock);
  g_thread_join (late.committer);
  return NULL;
}

static gpointer
commit_in_thread (gpointer data)
{
  commit (data);
  return NULL;
}

START_TEST (an_image_that_is_just_being_published_is_kept)
{
  g_autoptr (CsStore) store = fixture_open (path);
  CsBackendVtable vtable = *store->backend->vtable;
  late.real = store->backend->vtable;
  vtable.publish = publish_late;
  vtable.open = open_late;
  guint32 seeds[] = { 1, 2, 3 };
  g_autofree char *id = fixture_write (store, NULL, seeds, 3, NULL);
  store->backend->vtable = &vtable;
  late.committer = g_thread_new ("commit", commit_in_thread, store);
  g_mutex_lock (&late.lock);
  while (!late.publishing)
    g_cond_wait (&late.changed, &late.lock);
  g_mutex_unlock (&late.lock);
  ck_assert_uint_eq (collect (store, false).segments_removed, 0);
  ck_assert_uint_eq (late.looks, 2);
  store->backend->vtable = late.real;
  fixture_name (store, "s1", id);
  fixture_check (store, id, seeds, 3);
}
END_TEST

static bool
stop (guint64 done, guint64 total, void *data)
{
  return false;
}

START_TEST (it_can_be_stopped)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree char *a = snapshot (store, "s1", NULL, 1, 100);
  CsStoreGcReport report;
  ck_assert (!cs_store_gc (store, false, stop, NULL, &report, &error));
  unit_assert_error (error, CS_ERROR_CANCELLED);
  check_range (store, a, 1, 100);
  CsImageStats stats;
  guint32 seeds[] = { 1, 2 };
  g_autofree char *b = fixture_write (store, NULL, seeds, 2, &stats);
  ck_assert_uint_eq (stats.pages_shared, 2);
}
END_TEST

/* While readers and writers work. */
typedef struct
{
  CsStore *store;
  const char *id;
  gint stop; /* atomic */
} Worker;

static gpointer
read_in_thread (gpointer data)
{
  Worker *worker = data;
  while (g_atomic_int_get (&worker->stop) == 0)
    check_range (worker->store, worker->id, 1, 300);
  return NULL;
}

static gpointer
collect_in_thread (gpointer data)
{
  Worker *worker = data;
  while (g_atomic_int_get (&worker->stop) == 0)
    collect (worker->store, false);
  return NULL;
}

START_TEST (in_parallel_with_everything)
{
  g_autoptr (CsStore) store = fixture_open (path);
  g_autofree char *kept = snapshot (store, "kept", NULL, 1, 300);
  Worker worker = { .store = store, .id = kept };
  GThread *reader = g_thread_new ("reader", read_in_thread, &worker);
  GThread *collector = g_thread_new ("gc", collect_in_thread, &worker);
  for (guint round = 0; round < 40; round++)
    {
      g_autofree char *name = g_strdup_printf ("s%u", round);
      g_autofree char *id =
          snapshot (store, name, round % 2 == 0 ? kept : NULL, 200 + (round % 4) * 30, 300);
      check_range (store, id, 200 + (round % 4) * 30, 300);
      if (round % 3 != 0)
        delete (store, name);
    }
  g_atomic_int_set (&worker.stop, 1);
  g_thread_join (reader);
  g_thread_join (collector);
  check_range (store, kept, 1, 300);
}
END_TEST

/* Random work against a model in memory: what is listed must be readable and right. */
#define MODEL_PAGES 150u
#define MODEL_SNAPSHOTS 12u

typedef struct
{
  char *id; /* NULL: no such snapshot */
  guint32 seeds[MODEL_PAGES];
} ModelSnapshot;

typedef struct
{
  CsStore *store;
  GRand *random;
  ModelSnapshot snapshots[MODEL_SNAPSHOTS];
} Model;

static void
model_create (Model *model, guint i)
{
  ModelSnapshot *made = &model->snapshots[i];
  const ModelSnapshot *parent =
      &model->snapshots[g_rand_int_range (model->random, 0, MODEL_SNAPSHOTS)];
  guint32 put[MODEL_PAGES];
  g_autofree char *name = g_strdup_printf ("s%u", i);
  for (guint page = 0; page < MODEL_PAGES; page++)
    {
      bool keep = parent->id != NULL && g_rand_int_range (model->random, 0, 5) != 0;
      put[page] = keep ? FIXTURE_KEEP : (guint32)g_rand_int_range (model->random, 0, 3000);
      made->seeds[page] = keep ? parent->seeds[page] : put[page];
    }
  made->id = fixture_write (model->store, parent->id, put, MODEL_PAGES, NULL);
  commit (model->store);
  fixture_name (model->store, name, made->id);
}

static void
model_step (Model *model)
{
  guint i = (guint)g_rand_int_range (model->random, 0, MODEL_SNAPSHOTS);
  ModelSnapshot *chosen = &model->snapshots[i];
  if (chosen->id == NULL)
    {
      model_create (model, i);
      return;
    }
  g_autofree char *name = g_strdup_printf ("s%u", i);
  delete (model->store, name);
  g_clear_pointer (&chosen->id, g_free);
}

static void
model_check (Model *model)
{
  for (guint i = 0; i < MODEL_SNAPSHOTS; i++)
    if (model->snapshots[i].id != NULL)
      fixture_check (model->store, model->snapshots[i].id, model->snapshots[i].seeds, MODEL_PAGES);
}

START_TEST (random_work)
{
  Model model = { .random = g_rand_new_with_seed ((guint32)_i + 1) };
  model.store = fixture_open (path);
  for (guint step = 0; step < 120; step++)
    {
      model_step (&model);
      switch (g_rand_int_range (model.random, 0, 6))
        {
        case 0:
          collect (model.store, false);
          model_check (&model);
          break;
        case 1:
          cs_store_close (model.store);
          model.store = fixture_open (path);
          break;
        default:
          break;
        }
    }
  model_check (&model);
  for (guint i = 0; i < MODEL_SNAPSHOTS; i++)
    if (model.snapshots[i].id != NULL)
      {
        g_autofree char *name = g_strdup_printf ("s%u", i);
        delete (model.store, name);
        g_clear_pointer (&model.snapshots[i].id, g_free);
      }
  collect (model.store, false);
  CsStoreStats stats;
  ck_assert (cs_store_stats (model.store, &stats, NULL));
  ck_assert_uint_eq (stats.bytes, 0);
  cs_store_close (model.store);
  g_rand_free (model.random);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("gc");
  TCase *cases = tcase_create ("gc");
  tcase_set_timeout (cases, 300);
  tcase_add_checked_fixture (cases, setup, teardown);
  tcase_add_test (cases, a_dead_segment_goes);
  tcase_add_test (cases, a_mixed_segment_is_rewritten);
  tcase_add_test (cases, it_is_the_same_after_reopening);
  tcase_add_test (cases, an_ancestor_serves_only_its_descendants);
  tcase_add_test (cases, pins_and_open_images_keep);
  tcase_add_test (cases, what_was_just_committed_is_kept);
  tcase_add_test (cases, writers_in_progress_are_left_alone);
  tcase_add_test (cases, an_image_that_is_just_being_published_is_kept);
  tcase_add_test (cases, it_can_be_stopped);
  tcase_add_test (cases, in_parallel_with_everything);
  tcase_add_loop_test (cases, random_work, 0, 6);
  suite_add_tcase (suite, cases);
  return unit_run (suite);
}
