/* Images: round trips, parents, dedup, failing backends. */
#include "config.h"

#include "backend-double.h"
#include "store-fixture.h"
#include "unit.h"

#include "common/error.h"
#include "images/image-format.h"
#include "images/store-header.h"

#include <errno.h>
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

START_TEST (round_trip)
{
  enum
  {
    N = 1000
  };
  guint32 seeds[N];
  for (guint i = 0; i < N; i++)
    seeds[i] = i % 7 == 0 ? 0 : i % 400;
  g_autofree char *id = NULL;
  {
    g_autoptr (CsStore) store = fixture_open (path);
    CsImageStats stats;
    id = fixture_write (store, NULL, seeds, N, &stats);
    ck_assert_uint_eq (stats.pages_put, N);
    ck_assert_uint_eq (stats.pages_zero + stats.pages_shared + stats.pages_stored, N);
    ck_assert_uint_gt (stats.pages_shared, 400);
    ck_assert_uint_gt (stats.bytes_stored, stats.pages_stored * CS_PAGE_SIZE / 2);
    ck_assert_uint_lt (stats.bytes_stored, stats.pages_stored * CS_PAGE_SIZE * 3 / 4);
    commit (store);
    fixture_check (store, id, seeds, N);
    fixture_name (store, "s1", id);
  }
  g_autoptr (CsStore) store = fixture_open (path);
  fixture_check (store, id, seeds, N);
}
END_TEST

START_TEST (volumes_of_any_length)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  static const gsize lengths[] = { 0, 1, 4095, 4096, 4097, 150000 };
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, NULL, &error);
  g_autofree guint8 *data = g_malloc (150000);
  for (guint i = 0; i < 150000; i++)
    data[i] = (guint8)(i * 7 + i / 256);
  guint volume;
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autofree char *name = g_strdup_printf ("devices %u", i);
      ck_assert (cs_image_writer_add_volume (writer, CS_VOLUME_DEVICE_STATE, name, lengths[i],
                                             false, &volume, &error));
      ck_assert_uint_eq (volume, i);
      ck_assert (cs_image_writer_put_bytes (writer, volume, data, lengths[i], &error));
    }
  ck_assert (!cs_image_writer_put_bytes (writer, 1, data, 2, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  g_autofree char *id = cs_image_writer_finish (writer, NULL, &error);
  commit (store);
  g_autoptr (CsImage) image = cs_image_open (store, id, &error);
  ck_assert_uint_eq (cs_image_n_volumes (image), G_N_ELEMENTS (lengths));
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autoptr (GBytes) back = cs_image_read_bytes (image, i, &error);
      unit_assert_no_error (error);
      ck_assert_uint_eq (g_bytes_get_size (back), lengths[i]);
      if (lengths[i] > 0)
        ck_assert_mem_eq (g_bytes_get_data (back, NULL), data, lengths[i]);
    }
}
END_TEST

START_TEST (arguments_are_checked)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, NULL, &error);
  guint8 pages[2 * CS_PAGE_SIZE] = { 1 };
  guint volume;
  ck_assert (
      cs_image_writer_add_volume (writer, CS_VOLUME_RAM, "pc.ram", 8192, true, &volume, &error));
  ck_assert (
      !cs_image_writer_add_volume (writer, CS_VOLUME_RAM, "pc.ram", 1, true, &volume, &error));
  unit_assert_error (error, CS_ERROR_EXISTS);
  g_clear_error (&error);
  ck_assert (cs_image_writer_add_volume (writer, CS_VOLUME_DISK, "pc.ram", 1, true, &volume, NULL));
  static const char *const names[] = { "", "a\nb", "\xff" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      ck_assert (
          !cs_image_writer_add_volume (writer, CS_VOLUME_RAM, names[i], 1, true, &volume, &error));
      unit_assert_error (error, CS_ERROR_INVALID);
      g_clear_error (&error);
    }
  ck_assert (!cs_image_writer_put (writer, 0, 1, 2, pages, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  ck_assert (!cs_image_writer_put_zero (writer, 0, 2, G_MAXUINT64, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  ck_assert (cs_image_writer_put (writer, 0, 2, 0, pages, &error));
  ck_assert (cs_image_writer_put (writer, 0, 0, 2, pages, &error));
}
END_TEST

START_TEST (last_put_wins)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, NULL, &error);
  guint volume;
  guint8 page[CS_PAGE_SIZE];
  cs_image_writer_add_volume (writer, CS_VOLUME_RAM, "ram", 3 * CS_PAGE_SIZE, true, &volume, NULL);
  for (guint32 seed = 1; seed <= 3; seed++)
    {
      fixture_page (seed, page);
      for (guint i = 0; i < 3; i++)
        ck_assert (cs_image_writer_put (writer, volume, i, 1, page, &error));
    }
  ck_assert (cs_image_writer_put_zero (writer, volume, 1, 1, &error));
  fixture_page (1, page);
  ck_assert (cs_image_writer_put (writer, volume, 2, 1, page, &error));
  CsImageStats stats;
  g_autofree char *id = cs_image_writer_finish (writer, &stats, &error);
  ck_assert_uint_eq (stats.pages_put, 11);
  ck_assert_uint_eq (stats.pages_stored, 3);
  ck_assert_uint_eq (stats.pages_shared, 7);
  ck_assert_uint_eq (stats.pages_zero, 1);
  commit (store);
  guint32 seeds[] = { 3, 0, 1 };
  fixture_check (store, id, seeds, 3);
}
END_TEST

START_TEST (deltas_and_changing_lengths)
{
  g_autoptr (CsStore) store = fixture_open (path);
  const guint32 k = FIXTURE_KEEP;
  guint32 base[] = { 1, 2, 3, 4, 5, 0 };
  g_autofree char *a = fixture_write (store, NULL, base, 6, NULL);
  commit (store);
  guint32 second[] = { k, 0, 9, k, k, 6 }, second_is[] = { 1, 0, 9, 4, 5, 6 };
  g_autofree char *b = fixture_write (store, a, second, 6, NULL);
  commit (store);
  guint32 third[] = { k, k, k }, third_is[] = { 1, 0, 9 };
  g_autofree char *c = fixture_write (store, b, third, 3, NULL);
  commit (store);
  /* What the shorter one dropped does not come back. */
  guint32 fourth[] = { k, k, k, k, k, k, 7 }, fourth_is[] = { 1, 0, 9, 0, 0, 0, 7 };
  g_autofree char *d = fixture_write (store, c, fourth, 7, NULL);
  commit (store);
  fixture_check (store, a, base, 6);
  fixture_check (store, b, second_is, 6);
  fixture_check (store, c, third_is, 3);
  fixture_check (store, d, fourth_is, 7);
  g_autoptr (CsImage) first = cs_image_open (store, a, NULL);
  g_autoptr (CsImage) last = cs_image_open (store, d, NULL);
  ck_assert_str_eq (cs_image_parent (last), c);
  ck_assert_str_eq (cs_image_id (last), d);
  ck_assert (cs_image_page_same (first, 0, last, 0, 0));
  ck_assert (!cs_image_page_same (first, 0, last, 0, 1));
  ck_assert (cs_image_page_same (first, 0, last, 0, 5));
  ck_assert (!cs_image_page_same (first, 0, last, 0, 6));
}
END_TEST

START_TEST (without_inherit_nothing_comes_from_the_parent)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  guint32 base[] = { 1, 2 }, is[] = { 0, 3 };
  g_autofree char *a = fixture_write (store, NULL, base, 2, NULL);
  commit (store);
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, a, &error);
  guint volume;
  guint8 page[CS_PAGE_SIZE];
  fixture_page (3, page);
  ck_assert (cs_image_writer_add_volume (writer, CS_VOLUME_RAM, "ram", 8192, false, &volume, NULL));
  ck_assert (cs_image_writer_put (writer, volume, 1, 1, page, &error));
  g_autofree char *b = cs_image_writer_finish (writer, NULL, &error);
  commit (store);
  fixture_check (store, b, is, 2);
}
END_TEST

/* Long enough for two flattenings; the chain's depth stays bounded and all pages are right. */
START_TEST (chains_are_bounded)
{
  enum
  {
    N = 64
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  guint32 is[N] = { 0 }, put[N];
  g_autofree char *parent = NULL;
  guint depth = 0, complete = 0;
  for (guint round = 0; round < 40; round++)
    {
      for (guint i = 0; i < N; i++)
        put[i] = round == 0 ? i + 1 : FIXTURE_KEEP;
      put[round] = round % 5 == 4 ? 0 : 1000 + round;
      for (guint i = 0; i < N; i++)
        is[i] = put[i] == FIXTURE_KEEP ? is[i] : put[i];
      char *id = fixture_write (store, parent, put, N, NULL);
      commit (store);
      fixture_check (store, id, is, N);
      g_autoptr (CsImage) image = cs_image_open (store, id, &error);
      depth = cs_image_parent (image) != NULL ? depth + 1 : 0;
      complete += cs_image_parent (image) == NULL;
      ck_assert_uint_le (depth, CS_IMAGE_MAX_DEPTH);
      g_free (parent);
      parent = id;
    }
  ck_assert_uint_eq (complete, 3);
}
END_TEST

START_TEST (parent_must_be_there)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  static const char absent[] = "7f0c1fb4-0e0f-4b54-9be2-0cbe8bf2f1b5";
  ck_assert (cs_image_writer_new (store, absent, &error) == NULL);
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  ck_assert (strstr (error->message, absent) != NULL);
  g_clear_error (&error);
  ck_assert (cs_image_writer_new (store, "../manifests/c/s", &error) == NULL);
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

START_TEST (nothing_new_makes_no_segment)
{
  g_autoptr (CsStore) store = fixture_open (path);
  guint32 seeds[] = { 1, 2, 0 };
  commit (store);
  ck_assert_uint_eq (fixture_count_segments (store), 0);
  g_autofree char *a = fixture_write (store, NULL, seeds, 3, NULL);
  commit (store);
  g_autofree char *b = fixture_write (store, NULL, seeds, 3, NULL);
  commit (store);
  commit (store);
  ck_assert_uint_eq (fixture_count_segments (store), 1);
  fixture_check (store, b, seeds, 3);
}
END_TEST

START_TEST (dedup_survives_reopening)
{
  guint32 seeds[] = { 1, 2, 3, 4 };
  for (guint round = 0; round < 3; round++)
    {
      g_autoptr (CsStore) store = fixture_open (path);
      CsImageStats stats;
      g_autofree char *id = fixture_write (store, NULL, seeds, 4, &stats);
      ck_assert_uint_eq (stats.pages_stored, round == 0 ? 4 : 0);
      commit (store);
      fixture_check (store, id, seeds, 4);
    }
}
END_TEST

typedef struct
{
  CsStore *store;
  GMutex *start;
  guint first;
  char *id;
  CsImageStats stats;
} Writer;

#define PARALLEL 4
#define PARALLEL_PAGES 6000

static gpointer
write_in_thread (gpointer data)
{
  Writer *writer = data;
  g_autofree guint32 *seeds = g_new (guint32, PARALLEL_PAGES);
  for (guint i = 0; i < PARALLEL_PAGES; i++)
    seeds[i] = i % 10 == 0 ? 0 : writer->first + i;
  g_mutex_lock (writer->start);
  g_mutex_unlock (writer->start);
  writer->id = fixture_write (writer->store, NULL, seeds, PARALLEL_PAGES, &writer->stats);
  return NULL;
}

/* Whoever comes first stores a page; the others share it, though nothing is committed. */
static void
run_parallel (CsStore *store, guint stride)
{
  Writer writers[PARALLEL] = { 0 };
  GThread *threads[PARALLEL];
  GMutex start;
  guint64 stored = 0, distinct = 0;
  g_mutex_init (&start);
  g_mutex_lock (&start);
  for (guint i = 0; i < PARALLEL; i++)
    {
      writers[i] = (Writer){ .store = store, .start = &start, .first = 1 + i * stride };
      threads[i] = g_thread_new ("writer", write_in_thread, &writers[i]);
    }
  g_mutex_unlock (&start);
  for (guint i = 0; i < PARALLEL; i++)
    {
      g_thread_join (threads[i]);
      stored += writers[i].stats.pages_stored;
    }
  g_mutex_clear (&start);
  commit (store);
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  g_autofree guint32 *seeds = g_new (guint32, PARALLEL_PAGES);
  for (guint i = 0; i < PARALLEL; i++)
    {
      for (guint j = 0; j < PARALLEL_PAGES; j++)
        {
          seeds[j] = j % 10 == 0 ? 0 : writers[i].first + j;
          if (seeds[j] != 0)
            distinct += g_hash_table_add (seen, GUINT_TO_POINTER (seeds[j]));
        }
      fixture_check (store, writers[i].id, seeds, PARALLEL_PAGES);
      g_free (writers[i].id);
    }
  ck_assert_uint_eq (stored, distinct);
  ck_assert_uint_eq (fixture_count_segments (store), 1);
}

START_TEST (parallel_writers_share_equal_pages)
{
  g_autoptr (CsStore) store = fixture_open (path);
  run_parallel (store, 0);
}
END_TEST

START_TEST (parallel_writers_share_some_pages)
{
  g_autoptr (CsStore) store = fixture_open (path);
  run_parallel (store, PARALLEL_PAGES / 3);
}
END_TEST

START_TEST (an_abandoned_writer_leaves_nothing_listed)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  {
    g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, NULL, &error);
    guint volume;
    guint8 page[CS_PAGE_SIZE];
    fixture_page (5, page);
    cs_image_writer_add_volume (writer, CS_VOLUME_RAM, "ram", 8192, true, &volume, NULL);
    ck_assert (cs_image_writer_put (writer, volume, 0, 1, page, &error));
  }
  commit (store);
  g_autoptr (GPtrArray) images = cs_store_list_images (store, &error);
  ck_assert_uint_eq (images->len, 0);
}
END_TEST

/* A store on a backend in memory whose n-th operation of one kind on one sort of name fails. */
typedef struct
{
  gint left; /* atomic */
  const char *operation;
  const char *prefix;
  int fault;
} Fault;

static int
fault_hook (const char *operation, const char *name, bool after, void *data)
{
  Fault *fault = data;
  if (after || fault->operation == NULL || strcmp (operation, fault->operation) != 0
      || !g_str_has_prefix (name, fault->prefix))
    return 0;
  return g_atomic_int_add (&fault->left, -1) == 0 ? fault->fault : 0;
}

static const struct
{
  Fault fault;
  CsError code;
} faults[] = {
  { { 0, "begin", "segments/", ENOSPC }, CS_ERROR_NO_SPACE },
  { { 0, "write", "segments/", ENOSPC }, CS_ERROR_NO_SPACE },
  { { 1, "write", "segments/", FAULT_SHORT }, CS_ERROR_NO_SPACE },
  { { 3, "write", "segments/", EIO }, CS_ERROR_IO },
  { { 0, "publish", "segments/", ENOSPC }, CS_ERROR_NO_SPACE },
  { { 0, "begin", "images/", ENOSPC }, CS_ERROR_NO_SPACE },
  { { 1, "write", "images/", FAULT_SHORT }, CS_ERROR_NO_SPACE },
  { { 1, "publish", "images/", EDQUOT }, CS_ERROR_NO_SPACE },
};

/* fixture_write that may fail. */
static char *
try_write (CsStore *store, const guint32 *seeds, guint n, GError **error)
{
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, NULL, error);
  guint8 page[CS_PAGE_SIZE];
  guint volume;
  if (writer == NULL
      || !cs_image_writer_add_volume (writer, CS_VOLUME_RAM, "ram", (guint64)n * CS_PAGE_SIZE, true,
                                      &volume, error))
    return NULL;
  for (guint i = 0; i < n; i++)
    {
      fixture_page (seeds[i], page);
      if (!cs_image_writer_put (writer, volume, i, 1, page, error))
        return NULL;
    }
  return cs_image_writer_finish (writer, NULL, error);
}

START_TEST (a_failed_commit_leaves_the_store_usable)
{
  enum
  {
    N = 100
  };
  g_autoptr (GError) error = NULL;
  guint32 old[N], fresh[N];
  for (guint i = 0; i < N; i++)
    {
      old[i] = i + 1;
      fresh[i] = i % 2 == 0 ? i + 1 : i + 1000;
    }
  Fault fault = { 0 };
  CsBackend *backend = backend_faulty_new (backend_memory_new (), fault_hook, &fault);
  ck_assert (cs_store_header_write (backend, &error));
  g_autofree char *place = g_build_filename (directory, "local", NULL);
  ck_assert_int_eq (g_mkdir_with_parents (place, 0700), 0);
  g_autoptr (CsStore) store = cs_store_open_backend (place, backend, &error);
  unit_assert_no_error (error);
  g_autofree char *a = fixture_write (store, NULL, old, N, NULL);
  commit (store);

  fault = faults[_i].fault;
  g_autofree char *b = try_write (store, fresh, N, &error);
  g_autofree char *c = error == NULL ? try_write (store, fresh, N, &error) : NULL;
  if (error == NULL)
    ck_assert (!cs_store_commit (store, &error));
  unit_assert_error (error, faults[_i].code);
  ck_assert_msg (strstr (error->message, place) != NULL, "store not named: %s", error->message);
  g_clear_error (&error);
  /* Nothing of it can be seen, whether it was finished or not. */
  g_autoptr (GPtrArray) images = cs_store_list_images (store, &error);
  ck_assert_uint_eq (images->len, 1);
  fault.operation = NULL;
  commit (store);
  if (b != NULL)
    {
      ck_assert (cs_image_open (store, b, &error) == NULL);
      unit_assert_error (error, CS_ERROR_NOT_FOUND);
      g_clear_error (&error);
    }
  fixture_check (store, a, old, N);
  g_autofree char *d = fixture_write (store, NULL, fresh, N, NULL);
  commit (store);
  fixture_check (store, d, fresh, N);
  fixture_check (store, a, old, N);
}
END_TEST

/* A writer that began before another's pages were lost may have shared them. */
START_TEST (a_failure_reaches_every_writer)
{
  g_autoptr (GError) error = NULL;
  Fault fault = { 0 };
  CsBackend *backend = backend_faulty_new (backend_memory_new (), fault_hook, &fault);
  ck_assert (cs_store_header_write (backend, &error));
  g_autoptr (CsStore) store = cs_store_open_backend (directory, backend, &error);
  unit_assert_no_error (error);
  g_autoptr (CsImageWriter) early = cs_image_writer_new (store, NULL, &error);
  guint32 seeds[64];
  for (guint i = 0; i < 64; i++)
    seeds[i] = i + 1;
  fault = (Fault){ 0, "write", "segments/", ENOSPC };
  g_autofree char *lost = try_write (store, seeds, 64, &error);
  ck_assert (lost == NULL);
  g_clear_error (&error);
  ck_assert (cs_image_writer_finish (early, NULL, &error) == NULL);
  unit_assert_error (error, CS_ERROR_NO_SPACE);
  fault.operation = NULL;
  g_autofree char *id = fixture_write (store, NULL, seeds, 64, NULL);
  commit (store);
  fixture_check (store, id, seeds, 64);
}
END_TEST

static gpointer
read_in_thread (gpointer data)
{
  CsImage *image = data;
  guint8 page[CS_PAGE_SIZE];
  for (guint i = 0; i < 20000; i++)
    {
      guint64 number = (i * 2654435761u) % 5000;
      if (!cs_image_read (image, 0, number, 1, page, NULL))
        return GINT_TO_POINTER (1);
      fixture_check_page ((guint32)number + 1, page);
    }
  return NULL;
}

START_TEST (reading_from_many_threads)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  guint32 *seeds = g_new (guint32, 5000);
  for (guint i = 0; i < 5000; i++)
    seeds[i] = i + 1;
  g_autofree char *id = fixture_write (store, NULL, seeds, 5000, NULL);
  g_free (seeds);
  commit (store);
  g_autoptr (CsImage) image = cs_image_open (store, id, &error);
  GThread *threads[4];
  for (guint i = 0; i < 4; i++)
    threads[i] = g_thread_new ("reader", read_in_thread, image);
  for (guint i = 0; i < 4; i++)
    ck_assert (g_thread_join (threads[i]) == NULL);
}
END_TEST

static bool
refuse (guint64 page, const void *data, void *user_data, GError **error)
{
  g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "enough");
  return ++*(guint *)user_data < 3;
}

static bool
stop (guint64 done, guint64 total, void *data)
{
  return false;
}

START_TEST (callbacks_can_stop)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  guint32 seeds[] = { 1, 2, 3, 4, 5 };
  g_autofree char *id = fixture_write (store, NULL, seeds, 5, NULL);
  commit (store);
  g_autoptr (CsImage) image = cs_image_open (store, id, &error);
  guint64 pages;
  ck_assert (!cs_image_verify (image, stop, NULL, &pages, &error));
  unit_assert_error (error, CS_ERROR_CANCELLED);
  g_clear_error (&error);
  guint calls = 2;
  ck_assert (!cs_image_foreach (image, 0, refuse, &calls, &error));
  unit_assert_error (error, CS_ERROR_CANCELLED);
  ck_assert_uint_eq (calls, 3);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("image");
  TCase *cases = tcase_create ("image");
  tcase_set_timeout (cases, 300);
  tcase_add_checked_fixture (cases, setup, teardown);
  tcase_add_test (cases, round_trip);
  tcase_add_test (cases, volumes_of_any_length);
  tcase_add_test (cases, arguments_are_checked);
  tcase_add_test (cases, last_put_wins);
  tcase_add_test (cases, deltas_and_changing_lengths);
  tcase_add_test (cases, without_inherit_nothing_comes_from_the_parent);
  tcase_add_test (cases, chains_are_bounded);
  tcase_add_test (cases, parent_must_be_there);
  tcase_add_test (cases, nothing_new_makes_no_segment);
  tcase_add_test (cases, dedup_survives_reopening);
  tcase_add_test (cases, parallel_writers_share_equal_pages);
  tcase_add_test (cases, parallel_writers_share_some_pages);
  tcase_add_test (cases, an_abandoned_writer_leaves_nothing_listed);
  tcase_add_loop_test (cases, a_failed_commit_leaves_the_store_usable, 0, G_N_ELEMENTS (faults));
  tcase_add_test (cases, a_failure_reaches_every_writer);
  tcase_add_test (cases, reading_from_many_threads);
  tcase_add_test (cases, callbacks_can_stop);
  suite_add_tcase (suite, cases);
  return unit_run (suite);
}
