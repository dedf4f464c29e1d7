#include "config.h"

#include "common/error.h"
#include "tests/unit/puppet.h"
#include "tests/unit/unit.h"
#include "tests/unit/victim.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

/* Each looped test runs on one kind of memory. */
static Puppet *puppet;
static CsTracker *tracker;

/* False when this host has no such memory. */
static bool
set_up (PuppetKind kind)
{
  puppet = puppet_new (kind);
  if (puppet == NULL)
    return false;
  tracker = puppet_track (puppet);
  return true;
}

static void
tear_down (void)
{
  cs_tracker_free (tracker);
  puppet_free (puppet);
}

static guint
set_blocks (GPtrArray *blocks)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) fresh = NULL;
  bool good = cs_tracker_set_blocks (tracker, blocks, &fresh, &error);
  unit_assert_no_error (error);
  ck_assert (good);
  ck_assert_uint_eq (cs_tracker_n_blocks (tracker), blocks->len);
  return fresh->len;
}

typedef bool (*LookFunc) (CsTracker *, guint, CsBitmap *, GError **);

static CsBitmap *
look (LookFunc func, guint i)
{
  g_autoptr (GError) error = NULL;
  CsBitmap *pages = cs_bitmap_new (cs_tracker_block (tracker, i)->used_length / PAGE);
  bool good = func (tracker, i, pages, &error);
  unit_assert_no_error (error);
  ck_assert (good);
  return pages;
}

static void
assert_same (const CsBitmap *found, const CsBitmap *expected, const char *what)
{
  for (guint64 page = 0; page < cs_bitmap_size (expected); page++)
    ck_assert_msg (cs_bitmap_test (found, page) == cs_bitmap_test (expected, page),
                   "%s: page %u is %s", what, (guint)page,
                   cs_bitmap_test (found, page) ? "reported but was not written"
                                                : "not reported but was written");
}

static void
assert_scan (guint i, const CsBitmap *expected, const char *what)
{
  g_autoptr (CsBitmap) found = look (cs_tracker_scan, i);
  assert_same (found, expected, what);
}

static void
expect (CsBitmap *expected, guint64 page)
{
  guint unit = puppet_unit (puppet);
  cs_bitmap_set_range (expected, page / unit * unit, unit);
}

/* Writes @page in one of three ways. */
static void
write_somehow (guint64 page, GRand *random)
{
  g_autoptr (GError) error = NULL;
  CsPageRun run = { page, 1 };
  g_autofree char *content = g_malloc0 (PAGE);
  switch (g_rand_int_range (random, 0, 3))
    {
    case 0:
      puppet_store (puppet, page, 1);
      break;
    case 1:
      puppet_read_into (puppet, page);
      break;
    default:
      ck_assert (cs_tracker_write (tracker, 0, &run, 1, content, &error));
    }
}

START_TEST (finds_exactly_what_was_written)
{
  if (!set_up (_i))
    return;
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  g_autoptr (CsBitmap) expected = cs_bitmap_new (PUPPET_PAGES);
  puppet_store_every (puppet, 0, PUPPET_PAGES / 2, 1, 1); /* the other half is untouched */
  ck_assert_uint_eq (set_blocks (puppet->blocks), 1);
  assert_scan (0, expected, "right after protecting");

  for (guint round = 0; round < 30; round++)
    {
      guint64 wanted = g_rand_int_range (random, 0, 50);
      cs_bitmap_clear (expected);
      for (guint64 i = 0; i < wanted; i++)
        {
          guint64 page = (guint64)g_rand_int_range (random, 0, PUPPET_PAGES);
          write_somehow (page, random);
          expect (expected, page);
          puppet_load (puppet, (guint64)g_rand_int_range (random, 0, PUPPET_PAGES));
        }
      g_autoptr (CsBitmap) peeked = look (cs_tracker_peek, 0);
      assert_same (peeked, expected, "peek");
      assert_scan (0, expected, "scan");
      cs_bitmap_clear (expected);
      assert_scan (0, expected, "second scan");
    }
  tear_down ();
}
END_TEST

/* Every second page: 2048 regions, more than one call of the kernel returns. */
START_TEST (finds_more_regions_than_fit_the_vector)
{
  if (!set_up (_i))
    return;
  g_autoptr (CsBitmap) expected = cs_bitmap_new (PUPPET_PAGES);
  set_blocks (puppet->blocks);
  for (guint step = 2; step < 4; step++)
    {
      cs_bitmap_clear (expected);
      puppet_store_every (puppet, 0, PUPPET_PAGES, step, 2);
      for (guint64 page = 0; page < PUPPET_PAGES; page += step)
        expect (expected, page);
      assert_scan (0, expected, "scan");
    }
  tear_down ();
}
END_TEST

static void
copy_dirty (char *mirror)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsBitmap) dirty = look (cs_tracker_scan, 0);
  CsPageRun run;
  for (guint64 at = 0; cs_bitmap_next_run (dirty, at, &run.first, &run.count);
       at = run.first + run.count)
    ck_assert (cs_tracker_read (tracker, 0, &run, 1, mirror + run.first * PAGE, &error));
}

/* Scans of a process that writes all the time: copies of what each reports add up to the
 * memory as it is in the end. */
START_TEST (nothing_is_lost_between_scans)
{
  if (!set_up (_i))
    return;
  g_autoptr (GError) error = NULL;
  g_autofree char *mirror = g_malloc0 (PUPPET_PAGES * PAGE);
  g_autofree char *memory = g_malloc (PUPPET_PAGES * PAGE);
  const CsPageRun all = { 0, PUPPET_PAGES };
  set_blocks (puppet->blocks);
  puppet_storm (puppet);
  for (guint i = 0; i < 30; i++)
    copy_dirty (mirror);
  puppet_calm (puppet);
  copy_dirty (mirror);
  ck_assert (cs_tracker_read (tracker, 0, &all, 1, memory, &error));
  ck_assert_mem_eq (mirror, memory, PUPPET_PAGES * PAGE);
  tear_down ();
}
END_TEST

/* The kernel consumes what it has walked over before it fails: this must be in the bitmap. */
START_TEST (a_scan_that_fails_halfway_loses_nothing)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsBitmap) dirty = cs_bitmap_new (PUPPET_PAGES);
  g_autoptr (CsBitmap) none = cs_bitmap_new (PUPPET_PAGES);
  set_up (PUPPET_ANONYMOUS);
  set_blocks (puppet->blocks);
  puppet_store_every (puppet, 0, 2000, 3, 1);
  puppet_map_over (puppet, 2048, 1);
  ck_assert (!cs_tracker_scan (tracker, 0, dirty, &error));
  unit_assert_error (error, CS_ERROR_STATE);
  ck_assert_ptr_nonnull (strstr (error->message, "'ram'"));
  for (guint64 page = 0; page < 2000; page++)
    ck_assert (cs_bitmap_test (dirty, page) == (page % 3 == 0));

  ck_assert_uint_eq (set_blocks (puppet->blocks), 1);
  assert_scan (0, none, "after registering anew");
  tear_down ();
}
END_TEST

START_TEST (a_process_that_ended_is_not_clean)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsBitmap) pages = cs_bitmap_new (PUPPET_PAGES);
  g_autofree char *buffer = g_malloc (PAGE);
  const CsPageRun run = { 0, 1 };
  set_up (PUPPET_ANONYMOUS);
  set_blocks (puppet->blocks);
  puppet_store (puppet, 3, 1);
  kill (puppet->pid, SIGKILL);
  ck_assert_int_eq (waitpid (puppet->pid, NULL, 0), puppet->pid);
  ck_assert (!cs_tracker_scan (tracker, 0, pages, &error));
  unit_assert_error (error, CS_ERROR_GONE);
  g_clear_error (&error);
  ck_assert (!cs_tracker_resident (tracker, 0, pages, &error));
  unit_assert_error (error, CS_ERROR_GONE);
  g_clear_error (&error);
  ck_assert (!cs_tracker_read (tracker, 0, &run, 1, buffer, &error));
  unit_assert_error (error, CS_ERROR_GONE);
  g_clear_error (&error);
  ck_assert (!cs_tracker_set_blocks (tracker, puppet->blocks, NULL, &error));
  unit_assert_error (error, CS_ERROR_GONE);
  tear_down ();
}
END_TEST

/* Two blocks in one mapping, the second of which is soon two mappings; then plugged, unplugged,
 * moved, grown. */
START_TEST (blocks_come_go_and_move)
{
  g_autoptr (GPtrArray) blocks = g_ptr_array_new ();
  set_up (PUPPET_ANONYMOUS);
  CsRamBlock low = puppet_part (puppet, "low", 0, 100);
  CsRamBlock high = puppet_part (puppet, "high", 100, 200);
  CsRamBlock plugged = puppet_part (puppet, "plugged", 1000, 24);
  g_ptr_array_add (blocks, &low);
  g_ptr_array_add (blocks, &high);
  puppet_map_over (puppet, 150, 500);
  ck_assert_uint_eq (set_blocks (blocks), 2);
  ck_assert_uint_eq (set_blocks (blocks), 0);

  g_autoptr (CsBitmap) in_low = cs_bitmap_new (100);
  g_autoptr (CsBitmap) in_high = cs_bitmap_new (200);
  puppet_store_every (puppet, 99, 3, 1, 1);
  puppet_store_every (puppet, 298, 4, 1, 1);
  cs_bitmap_set_range (in_low, 99, 1);
  cs_bitmap_set_range (in_high, 0, 2);
  cs_bitmap_set_range (in_high, 198, 2);

  g_ptr_array_insert (blocks, 0, &plugged);
  ck_assert_uint_eq (set_blocks (blocks), 1);
  guint i;
  ck_assert (cs_tracker_find_block (tracker, "low", &i));
  assert_scan (i, in_low, "low");
  ck_assert (cs_tracker_find_block (tracker, "high", &i));
  assert_scan (i, in_high, "high");

  g_ptr_array_remove (blocks, &low);
  plugged.host = puppet_address (puppet, 2000);
  high.used_length = high.max_length = 201 * PAGE;
  ck_assert_uint_eq (set_blocks (blocks), 2);
  ck_assert (!cs_tracker_find_block (tracker, "low", &i));
  puppet_store (puppet, 300, 1);
  puppet_store (puppet, 2023, 1);
  puppet_store (puppet, 0, 1); /* no longer protected: must not hang */
  ck_assert (cs_tracker_find_block (tracker, "high", &i));
  g_autoptr (CsBitmap) found = look (cs_tracker_scan, i);
  ck_assert_uint_eq (cs_bitmap_count (found), 1);
  ck_assert (cs_bitmap_test (found, 200));
  tear_down ();
}
END_TEST

/* Same name, place and size, but unplugged and plugged again in between. */
START_TEST (memory_replaced_in_place_is_fresh)
{
  set_up (PUPPET_ANONYMOUS);
  ck_assert_uint_eq (set_blocks (puppet->blocks), 1);
  puppet_unmap (puppet, 0, PUPPET_PAGES);
  puppet_map_over (puppet, 0, PUPPET_PAGES);
  ck_assert_uint_eq (set_blocks (puppet->blocks), 1);
  tear_down ();
}
END_TEST

START_TEST (blocks_of_a_failed_call_stay_fresh)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) blocks = g_ptr_array_new ();
  set_up (PUPPET_ANONYMOUS);
  CsRamBlock low = puppet_part (puppet, "low", 0, 100);
  CsRamBlock hole = puppet_part (puppet, "hole", 200, 100);
  g_ptr_array_add (blocks, &low);
  set_blocks (blocks);
  puppet_unmap (puppet, 200, 100);
  CsRamBlock good = puppet_part (puppet, "good", 300, 100);
  g_ptr_array_add (blocks, &good);
  g_ptr_array_add (blocks, &hole);
  ck_assert (!cs_tracker_set_blocks (tracker, blocks, NULL, &error));
  unit_assert_error (error, CS_ERROR_STATE);
  ck_assert_ptr_nonnull (strstr (error->message, "'hole'"));
  ck_assert_uint_eq (cs_tracker_n_blocks (tracker), 1);
  g_ptr_array_remove (blocks, &hole);
  ck_assert_uint_eq (set_blocks (blocks), 1);
  tear_down ();
}
END_TEST

START_TEST (a_second_tracker_is_refused)
{
  g_autoptr (GError) error = NULL;
  set_up (PUPPET_ANONYMOUS);
  set_blocks (puppet->blocks);
  g_autoptr (CsTracker) second = puppet_track (puppet);
  ck_assert (!cs_tracker_set_blocks (second, puppet->blocks, NULL, &error));
  unit_assert_error (error, CS_ERROR_BUSY);
  puppet_store (puppet, 1, 1);
  g_autoptr (CsBitmap) found = look (cs_tracker_scan, 0);
  ck_assert_uint_eq (cs_bitmap_count (found), 1);
  tear_down ();
}
END_TEST

/* The pages that resident must report of what the test below touches. */
static void
expect_resident (CsBitmap *expected, bool touched_by_file)
{
  static const guint64 stored[] = { 0, 5, 1030 };
  for (guint i = 0; i < G_N_ELEMENTS (stored); i++)
    if (puppet->kind == PUPPET_HUGE)
      cs_bitmap_set_range (expected, stored[i] / 512 * 512, 512);
    else
      expect (expected, stored[i]);
  /* A read maps the zero page; in a file it allocates one. */
  if (puppet->kind >= PUPPET_SHARED_MEMFD)
    expect (expected, 2000);
  if (touched_by_file)
    cs_bitmap_set_range (expected, 3333, 1);
}

START_TEST (resident_are_the_pages_with_content)
{
  if (!set_up (_i))
    return;
  g_autoptr (CsBitmap) expected = cs_bitmap_new (PUPPET_PAGES);
  g_autoptr (GError) error = NULL;
  g_autofree char *buffer = g_malloc (PUPPET_PAGES * PAGE);
  CsPageRun run;
  bool by_file = puppet->kind == PUPPET_SHARED_MEMFD || puppet->kind == PUPPET_PRIVATE_MEMFD;

  puppet_store (puppet, 0, 1);
  puppet_store (puppet, 5, 1);
  set_blocks (puppet->blocks);
  puppet_store (puppet, 1030, 1);
  puppet_load (puppet, 2000);
  if (by_file)
    ck_assert_int_eq (pwrite (puppet->memfd, "x", 1, 3333 * PAGE + 1), 1);
  expect_resident (expected, by_file);
  /* The half without huge pages after protecting is mapped in small ones. */
  if (puppet->kind == PUPPET_HUGE)
    {
      cs_bitmap_clear_range (expected, 1024, 512);
      cs_bitmap_set_range (expected, 1030, 1);
    }
  g_autoptr (CsBitmap) found = look (cs_tracker_resident, 0);
  assert_same (found, expected, "resident");

  for (guint64 at = 0; cs_bitmap_next_run (found, at, &run.first, &run.count);
       at = run.first + run.count)
    ck_assert (cs_tracker_read (tracker, 0, &run, 1, buffer, &error));
  g_autoptr (CsBitmap) again = look (cs_tracker_resident, 0);
  assert_same (again, expected, "resident after reading these");
  tear_down ();
}
END_TEST

/* Pages in swap keep their state, have content, and are dirt when written.  The same must hold
 * where there is no swap. */
START_TEST (pages_in_swap_keep_their_state)
{
  if (_i == PUPPET_HUGETLB || !set_up (_i))
    return;
  g_autoptr (CsBitmap) expected = cs_bitmap_new (PUPPET_PAGES);
  set_blocks (puppet->blocks);
  puppet_store_every (puppet, 0, 2000, 2, 7);
  g_autoptr (CsBitmap) first = look (cs_tracker_scan, 0);
  puppet_store (puppet, 100, 8);
  puppet_page_out (puppet);
  for (guint64 page = 0; page < 2000; page += 2)
    expect (expected, page);
  assert_same (first, expected, "scan before");
  g_autoptr (CsBitmap) resident = look (cs_tracker_resident, 0);
  assert_same (resident, expected, "resident");

  puppet_store (puppet, 200, 9);
  puppet_load (puppet, 300);
  cs_bitmap_clear (expected);
  expect (expected, 100);
  expect (expected, 200);
  g_autoptr (CsBitmap) found = look (cs_tracker_scan, 0);
  for (guint64 page = 0; page < PUPPET_PAGES; page++)
    if (cs_bitmap_test (expected, page))
      ck_assert (cs_bitmap_test (found, page));
  /* A page of a file that was written and then unmapped by reclaim counts as written. */
  if (_i != PUPPET_SHARED_MEMFD)
    assert_same (found, expected, "scan");
  ck_assert_int_eq (puppet_load (puppet, 400), 7);
  tear_down ();
}
END_TEST

/* More runs than one call of the kernel takes, of one and of many pages, and empty ones. */
START_TEST (copies_many_runs)
{
  if (!set_up (_i))
    return;
  enum
  {
    N = 3000
  };
  g_autoptr (GError) error = NULL;
  g_autofree CsPageRun *runs = g_new0 (CsPageRun, N);
  g_autofree char *written = g_malloc (PUPPET_PAGES * PAGE);
  g_autofree char *read = g_malloc0 (PUPPET_PAGES * PAGE);
  guint64 page = 0, total = 0;
  set_blocks (puppet->blocks);
  for (guint i = 0; i < N; i++)
    {
      runs[i] = (CsPageRun){ page, i % 7 == 0 ? 0 : i % 500 == 1 ? 20 : 1 };
      page += runs[i].count + (i % 3 == 0);
      total += runs[i].count;
    }
  ck_assert_uint_le (page, PUPPET_PAGES);
  for (guint64 i = 0; i < total * PAGE; i++)
    written[i] = (char)(i * 31 + i / PAGE);
  ck_assert (cs_tracker_write (tracker, 0, runs, N, written, &error));
  ck_assert (cs_tracker_read (tracker, 0, runs, N, read, &error));
  ck_assert_mem_eq (read, written, total * PAGE);
  ck_assert_int_eq (puppet_load (puppet, runs[1].first), (guint8)written[0]);
  tear_down ();
}
END_TEST

START_TEST (copying_names_the_page_that_is_missing)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *buffer = g_malloc (100 * PAGE);
  const CsPageRun run = { 0, 100 };
  set_up (PUPPET_ANONYMOUS);
  set_blocks (puppet->blocks);
  puppet_unmap (puppet, 42, 1);
  ck_assert (!cs_tracker_read (tracker, 0, &run, 1, buffer, &error));
  unit_assert_error (error, CS_ERROR_STATE);
  ck_assert_ptr_nonnull (strstr (error->message, "page 42 "));
  tear_down ();
}
END_TEST

/* Discarded pages: written in anonymous memory, and dirt again when touched anew. */
START_TEST (discarded_pages_are_seen_when_used_again)
{
  if (_i == PUPPET_HUGETLB || !set_up (_i))
    return;
  puppet_store_every (puppet, 0, PUPPET_PAGES, 1, 1);
  set_blocks (puppet->blocks);
  puppet_discard (puppet, 1024, 512);
  if (_i == PUPPET_ANONYMOUS || _i == PUPPET_HUGE)
    {
      g_autoptr (CsBitmap) certain = look (cs_tracker_with_table, 0);
      ck_assert_uint_eq (cs_bitmap_count (certain), PUPPET_PAGES - 512);
      ck_assert (!cs_bitmap_test (certain, 1024) && !cs_bitmap_test (certain, 1535));
    }
  g_autoptr (CsBitmap) found = look (cs_tracker_scan, 0);
  if (_i != PUPPET_SHARED_MEMFD && _i != PUPPET_PRIVATE_MEMFD)
    ck_assert_uint_eq (cs_bitmap_count (found), 512);
  puppet_store (puppet, 1100, 1);
  g_autoptr (CsBitmap) again = look (cs_tracker_scan, 0);
  ck_assert_uint_eq (cs_bitmap_count (again), 1);
  ck_assert (cs_bitmap_test (again, 1100));
  tear_down ();
}
END_TEST

START_TEST (few_pages_are_looked_at_alone)
{
  g_autoptr (GError) error = NULL;
  if (_i == PUPPET_HUGETLB || !set_up (_i))
    return;
  puppet_store_every (puppet, 0, 2000, 2, 1);
  set_blocks (puppet->blocks);
  puppet_discard (puppet, 100, 10);
  g_autoptr (CsBitmap) candidates = cs_bitmap_new (PUPPET_PAGES);
  g_autoptr (CsBitmap) mapped = cs_bitmap_new (PUPPET_PAGES);
  cs_bitmap_set_range (candidates, 90, 40);
  cs_bitmap_set_range (candidates, 1998, 4);
  ck_assert (cs_tracker_mapped_among (tracker, 0, candidates, mapped, &error));
  for (guint64 page = 0; page < PUPPET_PAGES; page++)
    {
      bool there = _i == PUPPET_HUGE || (page % 2 == 0 && page < 2000);
      there = there && (page < 100 || page >= 110) && cs_bitmap_test (candidates, page);
      ck_assert (cs_bitmap_test (mapped, page) == there);
    }
  tear_down ();
}
END_TEST

START_TEST (the_end_of_tracking_hurts_nobody)
{
  set_up (PUPPET_ANONYMOUS);
  set_blocks (puppet->blocks);
  puppet_storm (puppet);
  cs_tracker_free (tracker);
  puppet_calm (puppet);
  puppet_store_every (puppet, 0, PUPPET_PAGES, 1, 9);
  ck_assert_int_eq (puppet_load (puppet, 77), 9);
  puppet_free (puppet);
}
END_TEST

START_TEST (this_kernel_can_track)
{
  g_autoptr (GError) error = NULL;
  ck_assert (cs_tracker_probe (&error));
  unit_assert_no_error (error);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("tracker");
  TCase *tests = tcase_create ("tracker");
  g_autoptr (GError) error = NULL;

  tcase_set_timeout (tests, 60);
  tcase_add_test (tests, this_kernel_can_track);
  tcase_add_loop_test (tests, finds_exactly_what_was_written, 0, PUPPET_KINDS);
  tcase_add_loop_test (tests, finds_more_regions_than_fit_the_vector, 0, PUPPET_KINDS);
  tcase_add_loop_test (tests, nothing_is_lost_between_scans, 0, PUPPET_KINDS);
  tcase_add_loop_test (tests, resident_are_the_pages_with_content, 0, PUPPET_KINDS);
  tcase_add_loop_test (tests, pages_in_swap_keep_their_state, 0, PUPPET_KINDS);
  tcase_add_loop_test (tests, copies_many_runs, 0, PUPPET_KINDS);
  tcase_add_loop_test (tests, discarded_pages_are_seen_when_used_again, 0, PUPPET_KINDS);
  tcase_add_loop_test (tests, few_pages_are_looked_at_alone, 0, PUPPET_KINDS);
  tcase_add_test (tests, a_scan_that_fails_halfway_loses_nothing);
  tcase_add_test (tests, a_process_that_ended_is_not_clean);
  tcase_add_test (tests, blocks_come_go_and_move);
  tcase_add_test (tests, memory_replaced_in_place_is_fresh);
  tcase_add_test (tests, blocks_of_a_failed_call_stay_fresh);
  tcase_add_test (tests, a_second_tracker_is_refused);
  tcase_add_test (tests, copying_names_the_page_that_is_missing);
  tcase_add_test (tests, the_end_of_tracking_hurts_nobody);
  suite_add_tcase (suite, tests);
  if (!victim_tracing_works ())
    return 77;
  if (!cs_tracker_probe (&error) && g_error_matches (error, CS_ERROR, CS_ERROR_UNSUPPORTED))
    {
      fprintf (stderr, "skipped: %s\n", error->message);
      return 77;
    }
  return unit_run (suite);
}
