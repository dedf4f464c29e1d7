/* What is read of images is held, retargeted, and kept for the next rollback of the same VM within
 * bounds: with a real store. */
#include "config.h"

#include "tests/unit/store-fixture.h"
#include "tests/unit/unit.h"
#include "vmm/kept-pages.h"

#define N 1024 /* pages */

static char *directory;
static CsStore *store;
static guint32 first_seeds[N], second_seeds[N];
static CsImage *first, *second;

static void
set_up (void)
{
  g_autoptr (GError) error = NULL;
  for (guint32 i = 0; i < N; i++)
    {
      first_seeds[i] = i + 1;
      second_seeds[i] = i % 8 == 3 ? 5000 + i : i % 8 == 4 ? 0 : i + 1;
    }
  directory = fixture_directory ();
  ck_assert (cs_store_init (directory, &error));
  store = fixture_open (directory);
  first = fixture_image (store, first_seeds, N);
  second = fixture_image (store, second_seeds, N);
}

static void
tear_down (void)
{
  cs_image_free (first);
  cs_image_free (second);
  cs_store_close (store);
  fixture_remove (directory);
}

/* Reads the pages @from to below @end of the first image, which are not held, as far as there is
 * room.  How many. */
static guint64
read_pages (CsHeldPages *held, guint64 from, guint64 end)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsBitmap) wanted = cs_bitmap_new (N);
  cs_bitmap_set_range (wanted, from, end - from);
  CsHeldVolume *volume = cs_held_pages_volume (held, "ram", N);
  ck_assert (cs_held_volume_read (volume, first, 0, wanted, &error));
  return cs_bitmap_count (wanted);
}

static void
check_held (CsHeldPages *held, const guint32 *seeds, guint64 count)
{
  CsHeldVolume *volume = cs_held_pages_volume (held, "ram", N);
  const CsBitmap *set = cs_held_volume_set (volume);
  ck_assert_uint_eq (cs_bitmap_count (set), count);
  for (guint64 page = 0; page < N; page++)
    if (cs_bitmap_test (set, page))
      fixture_check_page (seeds[page], cs_held_volume_page (volume, page));
}

static CsHeldPages *
hold (guint64 pages)
{
  g_autoptr (GError) error = NULL;
  CsHeldPages *held = cs_held_pages_new (pages * CS_PAGE_SIZE, &error);
  unit_assert_no_error (error);
  return held;
}

START_TEST (within_budget)
{
  g_autoptr (CsHeldPages) held = hold (100);
  ck_assert_uint_eq (cs_held_pages_room (held), 100);
  ck_assert_uint_eq (read_pages (held, 10, 40), 30);
  ck_assert_uint_eq (read_pages (held, 500, 700), 70);
  ck_assert_uint_eq (cs_held_pages_room (held), 0);
  ck_assert_uint_eq (read_pages (held, 0, 10), 0);
  ck_assert_uint_eq (cs_held_pages_size (held), 100 * CS_PAGE_SIZE);
  check_held (held, first_seeds, 100);
}
END_TEST

/* One of eight pages is another in the second image, and one is zero there. */
START_TEST (retargeted)
{
  g_autoptr (CsHeldPages) held = hold (800);
  ck_assert_uint_eq (read_pages (held, 0, 800), 800);
  cs_held_pages_retarget (held, first, second);
  check_held (held, second_seeds, 600);
  ck_assert_uint_eq (cs_held_pages_room (held), 200);
  /* Into what has become free. */
  cs_held_pages_retarget (held, second, first);
  ck_assert_uint_eq (read_pages (held, 800, N), 200);
  check_held (held, first_seeds, 800);
}
END_TEST

START_TEST (of_another_size)
{
  g_autoptr (CsHeldPages) held = hold (100);
  ck_assert_uint_eq (read_pages (held, 0, 50), 50);
  ck_assert_uint_eq (cs_bitmap_count (cs_held_volume_set (cs_held_pages_volume (held, "ram", 99))),
                     0);
  ck_assert_uint_eq (cs_held_pages_room (held), 100);
  cs_held_pages_retarget (held, first, second); /* neither has it */
}
END_TEST

/* ---- kept ---- */

static void
put (CsKeptPages *kept, const char *vm, guint64 pages)
{
  CsHeldPages *held = hold (pages);
  ck_assert_uint_eq (read_pages (held, 0, pages), pages);
  cs_kept_pages_put (kept, vm, store, cs_image_id (first), held);
  g_usleep (1); /* the next one is later */
}

static bool
take (CsKeptPages *kept, const char *vm, const CsStore *of, guint64 pages)
{
  g_autofree char *image = NULL;
  g_autoptr (CsHeldPages) held = cs_kept_pages_take (kept, vm, of, &image);
  if (held == NULL)
    return false;
  ck_assert_str_eq (image, cs_image_id (first));
  check_held (held, first_seeds, pages);
  return true;
}

START_TEST (kept_once)
{
  CsKeptPages *kept = cs_kept_pages_new (100 * CS_PAGE_SIZE);
  put (kept, "a", 30);
  put (kept, "b", 20);
  ck_assert_uint_eq (cs_kept_pages_size (kept), 50 * CS_PAGE_SIZE);
  ck_assert (take (kept, "a", store, 30));
  ck_assert (!take (kept, "a", store, 30));
  ck_assert (!take (kept, "b", NULL, 20)); /* of another store: gone */
  ck_assert (!take (kept, "b", store, 20));
  ck_assert_uint_eq (cs_kept_pages_size (kept), 0);
  cs_kept_pages_free (kept);
}
END_TEST

START_TEST (kept_within_bounds)
{
  CsKeptPages *kept = cs_kept_pages_new (100 * CS_PAGE_SIZE);
  put (kept, "a", 40);
  put (kept, "b", 40);
  put (kept, "a", 50); /* in the place of its old ones */
  ck_assert_uint_eq (cs_kept_pages_size (kept), 90 * CS_PAGE_SIZE);
  put (kept, "c", 30); /* b was put longest ago */
  ck_assert (!take (kept, "b", store, 40));
  put (kept, "d", 101);
  ck_assert (!take (kept, "d", store, 101));
  ck_assert (take (kept, "a", store, 50) && take (kept, "c", store, 30));
  cs_kept_pages_free (kept);
  kept = cs_kept_pages_new (0);
  put (kept, "a", 1);
  ck_assert (!take (kept, "a", store, 1));
  cs_kept_pages_free (kept);
}
END_TEST

START_TEST (kept_for_a_while)
{
  CsKeptPages *kept = cs_kept_pages_new (100 * CS_PAGE_SIZE);
  put (kept, "a", 10);
  gint64 since = g_get_monotonic_time ();
  put (kept, "b", 10);
  cs_kept_pages_expire (kept, since);
  ck_assert (!take (kept, "a", store, 10));
  ck_assert (take (kept, "b", store, 10));
  cs_kept_pages_free (kept);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("held-pages");
  TCase *tests = tcase_create ("pages");
  tcase_add_checked_fixture (tests, set_up, tear_down);
  tcase_add_test (tests, within_budget);
  tcase_add_test (tests, retargeted);
  tcase_add_test (tests, of_another_size);
  tcase_add_test (tests, kept_once);
  tcase_add_test (tests, kept_within_bounds);
  tcase_add_test (tests, kept_for_a_while);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
