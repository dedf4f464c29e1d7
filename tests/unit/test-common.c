#include "config.h"

#include "common/bitmap.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/pace.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

START_TEST (error_names_round_trip)
{
  for (int code = 0; code <= CS_ERROR_IO; code++)
    ck_assert_int_eq (cs_error_from_name (cs_error_name (code)), code);
  ck_assert_int_eq (cs_error_from_name ("no such name"), CS_ERROR_FAILED);
  ck_assert_str_eq (cs_error_name (-1), "failed");
}
END_TEST

START_TEST (errno_becomes_a_code)
{
  g_autoptr (GError) error = NULL;
  ck_assert (!cs_error_set_errno (&error, ENOSPC, "cannot write '%s'", "x"));
  unit_assert_error (error, CS_ERROR_NO_SPACE);
  ck_assert_ptr_nonnull (strstr (error->message, "cannot write 'x': "));
  ck_assert_int_eq (cs_error_exit_status (error), 10);
}
END_TEST

START_TEST (bitmap_runs_cross_words)
{
  g_autoptr (CsBitmap) bitmap = cs_bitmap_new (1000);
  guint64 first, count;
  ck_assert (!cs_bitmap_next_run (bitmap, 0, &first, &count));
  cs_bitmap_set_range (bitmap, 60, 200);
  cs_bitmap_set_range (bitmap, 999, 1);
  ck_assert_uint_eq (cs_bitmap_count (bitmap), 201);
  ck_assert (cs_bitmap_next_run (bitmap, 0, &first, &count));
  ck_assert_uint_eq (first, 60);
  ck_assert_uint_eq (count, 200);
  ck_assert (cs_bitmap_next_run (bitmap, 100, &first, &count));
  ck_assert_uint_eq (first, 100);
  ck_assert (cs_bitmap_next_run (bitmap, 260, &first, &count));
  ck_assert_uint_eq (first, 999);
  ck_assert_uint_eq (count, 1);
  cs_bitmap_clear_range (bitmap, 64, 64);
  ck_assert (cs_bitmap_test (bitmap, 63) && !cs_bitmap_test (bitmap, 64));
  ck_assert (!cs_bitmap_test (bitmap, 127) && cs_bitmap_test (bitmap, 128));
  cs_bitmap_set_range (bitmap, 0, 0);
  ck_assert (!cs_bitmap_test (bitmap, 0));
}
END_TEST

START_TEST (bitmap_set_algebra)
{
  g_autoptr (CsBitmap) a = cs_bitmap_new (130);
  g_autoptr (CsBitmap) b = cs_bitmap_new (130);
  cs_bitmap_set_range (a, 0, 70);
  cs_bitmap_set_range (b, 64, 66);
  cs_bitmap_or (a, b);
  ck_assert_uint_eq (cs_bitmap_count (a), 130);
  cs_bitmap_and_not (a, b);
  ck_assert_uint_eq (cs_bitmap_count (a), 64);
}
END_TEST

START_TEST (commit_is_exclusive_unless_told)
{
  g_autofree char *directory = g_dir_make_tmp ("clusnap-unit-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "file", NULL);
  g_autofree char *content = NULL;
  GError *error = NULL;
  ck_assert (cs_file_commit (path, "one", 3, false, &error));
  ck_assert (!cs_file_commit (path, "two", 3, false, &error));
  unit_assert_error (error, CS_ERROR_EXISTS);
  g_clear_error (&error);
  ck_assert (cs_file_commit (path, "three", 5, true, &error));
  ck_assert (g_file_get_contents (path, &content, NULL, NULL));
  ck_assert_str_eq (content, "three");
  g_clear_pointer (&content, g_free);
  ck_assert (cs_file_replace (path, "four", 4, &error));
  ck_assert (g_file_get_contents (path, &content, NULL, NULL));
  ck_assert_str_eq (content, "four");
  g_autoptr (GDir) listing = g_dir_open (directory, 0, NULL);
  ck_assert_str_eq (g_dir_read_name (listing), "file");
  ck_assert_ptr_null (g_dir_read_name (listing));
  unlink (path);
  rmdir (directory);
}
END_TEST

START_TEST (pace_holds_the_rate)
{
  CsPace unbounded = { .rate = 0 }, pace = { .rate = 1000 };
  const gint64 s = G_USEC_PER_SEC;
  ck_assert_int_eq (cs_pace_take (&unbounded, G_MAXUINT32, 7 * s), 7 * s);
  gint64 first = cs_pace_take (&pace, 2000, 10 * s);
  ck_assert_int_gt (first, 11 * s);
  ck_assert_int_le (first, 12 * s);
  /* What comes too early waits for what came before. */
  ck_assert_int_eq (cs_pace_take (&pace, 500, 10 * s), first + s / 2);
  ck_assert_int_eq (cs_pace_take (&pace, 500, first + s / 2), first + s);
  /* And time in which nothing came does not let everything pass at once. */
  ck_assert_int_gt (cs_pace_take (&pace, 1000, 100 * s), 100 * s + s / 2);
}
END_TEST

START_TEST (pace_ends_with_its_cancellable)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  CsPace pace = { .rate = 1 };
  g_cancellable_cancel (cancellable);
  ck_assert (!cs_pace_keep (&pace, G_MAXUINT32, cancellable));
  CsPace fast = { .rate = 1000000 };
  ck_assert (cs_pace_keep (&fast, 60000, NULL));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("common");
  TCase *tests = tcase_create ("common");
  tcase_add_test (tests, error_names_round_trip);
  tcase_add_test (tests, errno_becomes_a_code);
  tcase_add_test (tests, bitmap_runs_cross_words);
  tcase_add_test (tests, bitmap_set_algebra);
  tcase_add_test (tests, commit_is_exclusive_unless_told);
  tcase_add_test (tests, pace_holds_the_rate);
  tcase_add_test (tests, pace_ends_with_its_cancellable);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
