/* What the unit tests share: a main from a suite, and assertions on GError. */
#ifndef CS_TESTS_UNIT_H
#define CS_TESTS_UNIT_H

#include <check.h>
#include <glib.h>
#include <stdlib.h>

/* Runs @suite (taken) and returns main's status. */
static inline int
unit_run (Suite *suite)
{
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define unit_assert_no_error(error)                                                                \
  ck_assert_msg ((error) == NULL, "unexpected error: %s", (error) ? (error)->message : "")

#define unit_assert_error(error, expected)                                                         \
  do                                                                                               \
    {                                                                                              \
      ck_assert_msg ((error) != NULL, "no error where %s was expected", #expected);                \
      ck_assert_msg (g_error_matches ((error), CS_ERROR, (expected)), "wrong error: %s",           \
                     (error)->message);                                                            \
    }                                                                                              \
  while (0)

#endif
