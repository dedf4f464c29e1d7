/* Which pages a rollback writes, and that memory then is what the image says: on real memory of
 * another process, with a real store. */
#include "config.h"

#include "common/error.h"
#include "images/store-private.h"
#include "tests/unit/puppet.h"
#include "tests/unit/store-fixture.h"
#include "tests/unit/unit.h"
#include "tests/unit/victim.h"
#include "vmm/rollback-pages.h"

#include <string.h>

#define N 2048 /* pages: 8 MiB, in which there are whole page tables */
#define KINDS 3

static const PuppetKind kinds[KINDS] = { PUPPET_ANONYMOUS, PUPPET_SHARED_MEMFD,
                                         PUPPET_PRIVATE_MEMFD };
static char *directory;
static CsStore *store;
static Puppet *puppet;
static CsTracker *tracker;
static GPtrArray *blocks;
static CsRamBlock block;
static GHashTable *carried;
static guint32 base_seeds[N], target_seeds[N];
static CsImage *base, *target;
static guint64 untouched;
static CsHeldPages *held; /* NULL: nothing was read yet */

static void
write_memory (void)
{
  g_autoptr (GError) error = NULL;
  CsPageRun all = { 0, N };
  g_autofree guint8 *data = g_malloc (N * CS_PAGE_SIZE);
  ck_assert (cs_image_read (base, 0, 0, N, data, &error));
  ck_assert (cs_tracker_write (tracker, 0, &all, 1, data, &error));
  g_autoptr (CsBitmap) dirty = cs_bitmap_new (N);
  ck_assert (cs_tracker_scan (tracker, 0, dirty, &error));
}

static void
free_bitmap (gpointer data)
{
  cs_bitmap_free (data);
}

/* Memory is as the base says, nothing is dirty.  False where there is no such memory. */
static bool
set_up (PuppetKind kind)
{
  g_autoptr (GError) error = NULL;
  puppet = puppet_new (kind);
  if (puppet == NULL)
    return false;
  for (guint32 i = 0; i < N; i++)
    {
      base_seeds[i] = i % 4 == 3 ? 0 : i + 1;
      /* Some differ; of these some become zero, and some were. */
      target_seeds[i] = i % 16 == 5   ? 100000 + i
                        : i % 16 == 6 ? 0
                        : i % 16 == 7 ? i
                                      : base_seeds[i];
    }
  untouched = 1999;
  directory = fixture_directory ();
  ck_assert (cs_store_init (directory, &error));
  store = fixture_open (directory);
  tracker = puppet_track (puppet);
  block = puppet_part (puppet, "ram", 0, N);
  blocks = g_ptr_array_new ();
  g_ptr_array_add (blocks, &block);
  ck_assert (cs_tracker_set_blocks (tracker, blocks, NULL, &error));
  base = fixture_image (store, base_seeds, N);
  target = fixture_image (store, target_seeds, N);
  write_memory ();
  carried = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, free_bitmap);
  g_hash_table_insert (carried, g_strdup ("ram"), cs_bitmap_new (N));
  return true;
}

static void
tear_down (void)
{
  cs_image_free (base);
  cs_image_free (target);
  g_clear_pointer (&held, cs_held_pages_free);
  cs_store_close (store);
  fixture_remove (directory);
  g_hash_table_unref (carried);
  g_ptr_array_unref (blocks);
  cs_tracker_free (tracker);
  puppet_free (puppet);
}

/* Writes of all kinds, some of which an earlier scan has consumed. */
static void
change_memory (void)
{
  g_autoptr (GError) error = NULL;
  puppet_store_every (puppet, 0, 300, 3, 7);
  ck_assert (cs_tracker_scan (tracker, 0, g_hash_table_lookup (carried, "ram"), &error));
  puppet_store_every (puppet, 200, 300, 5, 8);
  puppet_discard (puppet, 600, 20);
  puppet_discard (puppet, 1024, 700); /* page tables as a whole */
  puppet_discard (puppet, 900, 40);
  for (guint64 page = 910; page < 930; page++)
    puppet_load (puppet, page);
  for (guint64 page = 1100; page < 1130; page++)
    puppet_load (puppet, page);
  puppet_store (puppet, 1200, 9);
}

static void
check_memory (const guint32 *seeds)
{
  g_autoptr (GError) error = NULL;
  CsPageRun all = { 0, N };
  g_autofree guint8 *data = g_malloc (N * CS_PAGE_SIZE);
  ck_assert (cs_tracker_read (tracker, 0, &all, 1, data, &error));
  for (guint i = 0; i < N; i++)
    {
      guint8 expected[CS_PAGE_SIZE];
      fixture_page (seeds[i], expected);
      ck_assert_msg (memcmp (expected, data + (gsize)i * CS_PAGE_SIZE, CS_PAGE_SIZE) == 0,
                     "page %u is wrong (kind %d)", i, (int)puppet->kind);
    }
}

static CsRollbackPages *
begin (CsImage *from, CsImage *to, guint64 budget)
{
  g_autoptr (GError) error = NULL;
  if (held == NULL)
    held = cs_held_pages_new (budget, &error);
  unit_assert_no_error (error);
  CsRollbackPagesOptions options = { .pid = puppet->pid,
                                     .tracker = tracker,
                                     .blocks = blocks,
                                     .target = to,
                                     .base = from,
                                     .carried = carried,
                                     .held = held };
  CsRollbackPages *pages = cs_rollback_pages_new (&options, &error);
  unit_assert_no_error (error);
  return pages;
}

/* As a device that takes input while the VM stands, to a page that no rollback has written. */
static bool
store_meanwhile (GError **error)
{
  puppet_store (puppet, untouched--, 4);
  return true;
}

static void
finish (CsRollbackPages *pages, const guint32 *seeds)
{
  g_autoptr (GError) error = NULL;
  bool touched = false;
  guint64 fixed;
  g_autoptr (CsBitmap) dirty = cs_bitmap_new (N);
  bool whole = cs_rollback_pages_is_whole (pages);
  ck_assert (cs_rollback_pages_write (pages, &touched, whole ? NULL : store_meanwhile, &error));
  ck_assert (touched);
  puppet_store_every (puppet, 100, 50, 1, 3); /* what a load does */
  ck_assert (cs_rollback_pages_fix_up (pages, &fixed, &error));
  ck_assert_uint_eq (fixed, whole ? 50 : 51);
  ck_assert (cs_tracker_peek (tracker, 0, dirty, &error));
  ck_assert_uint_eq (cs_bitmap_count (dirty), fixed);
  check_memory (seeds);
}

static CsHeldVolume *
held_ram (void)
{
  return cs_held_pages_volume (held, "ram", N);
}

static void
roll_back (CsImage *from, CsImage *to, const guint32 *seeds, guint64 budget, bool whole)
{
  g_autoptr (GError) error = NULL;
  guint64 read, count, late;
  change_memory ();
  g_autoptr (CsRollbackPages) pages = begin (from, to, budget);
  ck_assert (cs_rollback_pages_read_ahead (pages, &read, &error));
  puppet_store_every (puppet, 400, 30, 1, 5);
  puppet_discard (puppet, 500, 10);
  puppet_discard (puppet, 512, 512);
  ck_assert (cs_rollback_pages_scan (pages, &error));
  ck_assert (cs_rollback_pages_is_whole (pages) == whole);
  cs_rollback_pages_count (pages, &count, &late);
  if (budget > 0 && budget < N * CS_PAGE_SIZE / 4)
    ck_assert_uint_gt (late, 10);
  ck_assert_uint_ge (count, late);
  if (!whole && from == to)
    ck_assert_uint_lt (count, 1800); /* 1220 discarded, the rest written */
  finish (pages, seeds);
}

START_TEST (same_image)
{
  if (!set_up (kinds[_i]))
    return;
  roll_back (base, base, base_seeds, 64 << 20, false);
  tear_down ();
}
END_TEST

START_TEST (other_image)
{
  if (!set_up (kinds[_i]))
    return;
  roll_back (base, target, target_seeds, 64 << 20, false);
  tear_down ();
}
END_TEST

START_TEST (little_memory)
{
  if (!set_up (kinds[_i]))
    return;
  roll_back (base, target, target_seeds, 16 * CS_PAGE_SIZE, false);
  tear_down ();
}
END_TEST

START_TEST (nothing_known)
{
  if (!set_up (kinds[_i]))
    return;
  roll_back (NULL, target, target_seeds, 64 << 20, true);
  tear_down ();
}
END_TEST

/* A tracker that has just been made knows no block. */
START_TEST (new_tracker)
{
  if (!set_up (kinds[_i]))
    return;
  cs_tracker_free (tracker);
  tracker = puppet_track (puppet);
  g_hash_table_remove_all (carried);
  g_autoptr (GError) error = NULL;
  guint64 read;
  g_autoptr (CsRollbackPages) pages = begin (base, target, 64 << 20);
  ck_assert (cs_rollback_pages_read_ahead (pages, &read, &error));
  ck_assert (cs_rollback_pages_scan (pages, &error));
  ck_assert (cs_rollback_pages_is_whole (pages));
  finish (pages, target_seeds);
  tear_down ();
}
END_TEST

/* Rule 3: what was looked at is found by the next scan. */
START_TEST (undone)
{
  if (!set_up (kinds[_i]))
    return;
  g_autoptr (GError) error = NULL;
  guint64 read;
  puppet_store (puppet, 17, 1);
  ck_assert (cs_tracker_scan (tracker, 0, g_hash_table_lookup (carried, "ram"), &error));
  puppet_store (puppet, 18, 1);
  g_autoptr (CsRollbackPages) pages = begin (base, target, 64 << 20);
  ck_assert (cs_rollback_pages_read_ahead (pages, &read, &error));
  puppet_store (puppet, 1800, 1);
  ck_assert (cs_rollback_pages_scan (pages, &error));
  cs_rollback_pages_undo (pages, carried);
  CsBitmap *kept = g_hash_table_lookup (carried, "ram");
  ck_assert (cs_tracker_scan (tracker, 0, kept, &error));
  ck_assert (cs_bitmap_test (kept, 17) && cs_bitmap_test (kept, 18) && cs_bitmap_test (kept, 1800));
  ck_assert_uint_eq (cs_bitmap_count (kept), 3);
  tear_down ();
}
END_TEST

/* A guest that goes on writing where it has written leaves nothing to read in the pause. */
START_TEST (frame_mates)
{
  if (!set_up (kinds[_i]))
    return;
  g_autoptr (GError) error = NULL;
  guint64 read, count, late;
  puppet_store_every (puppet, 0, 20 * 64, 64, 7);
  g_autoptr (CsRollbackPages) pages = begin (base, base, 64 << 20);
  ck_assert (cs_rollback_pages_read_ahead (pages, &read, &error));
  ck_assert_uint_le (read, 20);
  for (guint64 i = 0; i < 20; i++)
    puppet_store (puppet, 64 * i + 1, 8);
  ck_assert (cs_rollback_pages_scan (pages, &error));
  cs_rollback_pages_count (pages, &count, &late);
  ck_assert_uint_eq (count, 40);
  ck_assert_uint_eq (late, 0);
  finish (pages, base_seeds);
  tear_down ();
}
END_TEST

/* What one rollback has read does for the next: all of it for the same image, what is the same for
 * another. */
START_TEST (held_before)
{
  if (!set_up (kinds[_i]))
    return;
  roll_back (base, base, base_seeds, 64 << 20, false);
  guint64 held_of_base = cs_bitmap_count (cs_held_volume_set (held_ram ()));
  g_autoptr (GError) error = NULL;
  guint64 read;
  cs_bitmap_clear (g_hash_table_lookup (carried, "ram"));
  puppet_store_every (puppet, 200, 300, 5, 8);
  g_autoptr (CsRollbackPages) again = begin (base, base, 0);
  ck_assert (cs_rollback_pages_read_ahead (again, &read, &error));
  ck_assert_uint_eq (read, 0);
  ck_assert (cs_rollback_pages_scan (again, &error));
  finish (again, base_seeds);

  cs_held_pages_retarget (held, base, target);
  guint64 held_of_target = cs_bitmap_count (cs_held_volume_set (held_ram ()));
  ck_assert_uint_lt (held_of_target, held_of_base);
  ck_assert_uint_gt (held_of_target, held_of_base / 2);
  roll_back (base, target, target_seeds, 0, false);
  tear_down ();
}
END_TEST

/* What an earlier rollback has read keeps no later one from reading what it needs. */
START_TEST (held_in_the_way)
{
  if (!set_up (kinds[_i]))
    return;
  g_autoptr (GError) error = NULL;
  guint64 read, count, late;
  puppet_store_every (puppet, 0, 150, 1, 7);
  g_autoptr (CsRollbackPages) before = begin (base, base, 200 * CS_PAGE_SIZE);
  ck_assert (cs_rollback_pages_read_ahead (before, &read, &error));
  ck_assert (cs_rollback_pages_scan (before, &error));
  finish (before, base_seeds);
  ck_assert_uint_lt (cs_held_pages_room (held), 100);

  puppet_store_every (puppet, 1000, 100, 1, 7);
  g_autoptr (CsRollbackPages) pages = begin (base, base, 0);
  ck_assert (cs_rollback_pages_read_ahead (pages, &read, &error));
  ck_assert (cs_rollback_pages_scan (pages, &error));
  cs_rollback_pages_count (pages, &count, &late);
  ck_assert_uint_ge (count, 100);
  ck_assert_uint_eq (late, 0);
  finish (pages, base_seeds);
  tear_down ();
}
END_TEST

int
main (void)
{
  if (!victim_tracing_works () || !cs_tracker_probe (NULL))
    return 77;
  Suite *suite = suite_create ("rollback-pages");
  TCase *tests = tcase_create ("pages");
  tcase_set_timeout (tests, 120);
  tcase_add_loop_test (tests, same_image, 0, KINDS);
  tcase_add_loop_test (tests, other_image, 0, KINDS);
  tcase_add_loop_test (tests, little_memory, 0, KINDS);
  tcase_add_loop_test (tests, nothing_known, 0, KINDS);
  tcase_add_loop_test (tests, new_tracker, 0, KINDS);
  tcase_add_loop_test (tests, undone, 0, KINDS);
  tcase_add_loop_test (tests, frame_mates, 0, KINDS);
  tcase_add_loop_test (tests, held_before, 0, KINDS);
  tcase_add_loop_test (tests, held_in_the_way, 0, KINDS);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
