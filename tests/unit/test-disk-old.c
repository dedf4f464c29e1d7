/* What a rollback of a disk writes: which pages, in which pieces, with which content. */
#include "config.h"

#include "store-fixture.h"
#include "unit.h"

#include "common/error.h"
#include "vmm/disk-old.h"

#include <string.h>

#define PAGES 700

static char *directory;
static CsStore *store;

static void
setup (void)
{
  g_autoptr (GError) error = NULL;
  directory = fixture_directory ();
  g_autofree char *path = g_build_filename (directory, "store", NULL);
  cs_store_init (path, &error);
  unit_assert_no_error (error);
  store = fixture_open (path);
}

static void
teardown (void)
{
  g_clear_pointer (&store, cs_store_close);
  fixture_remove (directory);
}

/* The page of @seed: 0 is a zero page. */
static void
fill (char *page, guint seed)
{
  memset (page, 0, CS_PAGE_SIZE);
  for (gsize i = 0; seed != 0 && i < CS_PAGE_SIZE / sizeof (guint); i++)
    memcpy (page + i * sizeof seed, &seed, sizeof seed);
}

static CsImage *
make_image (const guint *seeds)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, NULL, &error);
  guint volume;
  char page[CS_PAGE_SIZE];
  cs_image_writer_add_volume (writer, CS_VOLUME_DISK, "disk", PAGES * CS_PAGE_SIZE - 512, false,
                              &volume, &error);
  for (guint i = 0; i < PAGES; i++)
    {
      fill (page, seeds[i]);
      cs_image_writer_put (writer, volume, i, 1, page, &error);
    }
  g_autofree char *id = cs_image_writer_finish (writer, NULL, &error);
  unit_assert_no_error (error);
  cs_store_commit (store, &error);
  CsImage *image = cs_image_open (store, id, &error);
  unit_assert_no_error (error);
  return image;
}

static void
random_seeds (GRand *random, guint *seeds, int values)
{
  guint left = 0, kind = 0;
  for (guint i = 0; i < PAGES; i++, left--)
    {
      if (left == 0)
        {
          left = (guint)g_rand_int_range (random, 1, 40);
          kind = (guint)g_rand_int_range (random, 0, 3);
        }
      seeds[i] = kind == 0 ? 0 : (guint)g_rand_int_range (random, 1, values);
    }
}

/* The pieces cover exactly @want, in order, with the image's content. */
static void
check_pieces (CsDiskOld *old, const bool *want, const guint *seeds, guint64 *ahead)
{
  g_autoptr (GError) error = NULL;
  CsDiskPiece piece = { 0 };
  guint64 before = 0;
  g_autofree char *buffer = g_malloc (PAGES * CS_PAGE_SIZE);
  char page[CS_PAGE_SIZE];
  *ahead = 0;
  for (; cs_disk_old_next (old, 9, &piece); before = piece.page + piece.count)
    {
      for (guint64 i = before; i < piece.page; i++)
        ck_assert (!want[i]);
      ck_assert (piece.count > 0 && (piece.zero || piece.count <= 9));
      if (!piece.zero && piece.data == NULL)
        cs_disk_old_read (old, &piece, buffer, &error);
      unit_assert_no_error (error);
      for (guint64 i = 0; i < piece.count; i++)
        {
          const char *data = piece.data != NULL ? piece.data : buffer;
          guint seed = seeds[piece.page + i];
          fill (page, seed);
          ck_assert (want[piece.page + i]);
          ck_assert (piece.zero == (seed == 0));
          ck_assert (piece.zero || memcmp (data + i * CS_PAGE_SIZE, page, CS_PAGE_SIZE) == 0);
          *ahead += piece.data != NULL;
        }
    }
  for (guint64 i = before; i < PAGES; i++)
    ck_assert (!want[i]);
}

/* Differences of two images, some read ahead, and what comes late. */
START_TEST (difference_and_late_pages)
{
  g_autoptr (GRand) random = g_rand_new_with_seed ((guint32)_i);
  guint base_seeds[PAGES], seeds[PAGES];
  bool want[PAGES] = { false };
  guint64 budget = (guint64)_i * 64 * CS_PAGE_SIZE + 100, before = budget, ahead;
  random_seeds (random, base_seeds, 500);
  memcpy (seeds, base_seeds, sizeof seeds);
  for (guint i = 0; i < PAGES; i += (guint)g_rand_int_range (random, 1, 1 + _i * 20 + 1))
    seeds[i] = (guint)g_rand_int_range (random, 0, 500);
  g_autoptr (CsImage) base = make_image (base_seeds);
  g_autoptr (CsImage) target = make_image (seeds);
  g_autoptr (CsDiskOld) old = cs_disk_old_new (target, 0);
  g_autoptr (GError) error = NULL;
  cs_disk_old_want_difference (old, base, 0);
  for (guint i = 0; i < PAGES; i++)
    {
      want[i] = cs_bitmap_test (cs_disk_old_wanted (old), i);
      /* Equal content may be wanted (it may lie in two places), another's must be. */
      ck_assert (want[i] || seeds[i] == base_seeds[i]);
    }
  cs_disk_old_read_ahead (old, &budget, &error);
  unit_assert_no_error (error);
  for (guint i = 0; i < 20; i++)
    {
      guint64 first = (guint64)g_rand_int_range (random, 0, PAGES - 16);
      cs_bitmap_set_range (cs_disk_old_wanted (old), first, 16);
      for (guint n = 0; n < 16; n++)
        want[first + n] = true;
    }
  check_pieces (old, want, seeds, &ahead);
  ck_assert_uint_eq (ahead * CS_PAGE_SIZE, before - budget);
  ck_assert (_i == 0 || ahead > 0);
}
END_TEST

START_TEST (equal_images_want_nothing)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  guint seeds[PAGES];
  random_seeds (random, seeds, 100);
  g_autoptr (CsImage) target = make_image (seeds);
  g_autoptr (CsDiskOld) old = cs_disk_old_new (target, 0);
  cs_disk_old_want_difference (old, target, 0);
  ck_assert_uint_eq (cs_bitmap_count (cs_disk_old_wanted (old)), 0);
}
END_TEST

/* Everything, without the zeros that are zero already. */
START_TEST (whole_disk)
{
  g_autoptr (GRand) random = g_rand_new_with_seed ((guint32)_i);
  guint seeds[PAGES];
  bool want[PAGES];
  guint64 budget = _i % 2 ? 1 << 30 : 100 * CS_PAGE_SIZE, ahead;
  random_seeds (random, seeds, 500);
  g_autoptr (CsImage) target = make_image (seeds);
  g_autoptr (CsDiskOld) old = cs_disk_old_new (target, 0);
  g_autoptr (CsBitmap) nonzero = cs_bitmap_new (PAGES);
  g_autoptr (GError) error = NULL;
  cs_disk_old_want_all (old);
  cs_disk_old_read_ahead (old, &budget, &error);
  unit_assert_no_error (error);
  for (guint i = 0; i < 30; i++)
    cs_bitmap_set_range (nonzero, (guint64)g_rand_int_range (random, 0, PAGES - 5), 5);
  for (guint i = 0; i < PAGES; i++)
    want[i] = seeds[i] != 0 || cs_bitmap_test (nonzero, i);
  cs_disk_old_drop_zero (old, nonzero);
  check_pieces (old, want, seeds, &ahead);
  ck_assert_uint_ge (ahead, 90);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("disk-old");
  TCase *tcase = tcase_create ("disk-old");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_loop_test (tcase, difference_and_late_pages, 0, 8);
  tcase_add_test (tcase, equal_images_want_nothing);
  tcase_add_loop_test (tcase, whole_disk, 0, 6);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
