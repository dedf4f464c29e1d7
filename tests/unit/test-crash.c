/* Crashes: a child works on a store and ends without any clean-up at the n-th operation of the
 * backend, for every n; what it leaves must be a sound store. */
#include "config.h"

#include "backend-double.h"
#include "store-fixture.h"
#include "unit.h"

#include "common/error.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 96u
#define CRASHED 9

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

/* What page @i of snapshot @name is: depends on nothing but these. */
static guint32
seed_of (const char *name, guint i)
{
  guint32 number = (guint32)(name[1] - '0');
  if (i % 8 == 0)
    return 0;
  return i % 3 == number % 3 ? 1000 * number + i : i;
}

static void
seeds_of (const char *name, guint32 seeds[N])
{
  for (guint i = 0; i < N; i++)
    seeds[i] = seed_of (name, i);
}

static char *
take (CsStore *store, const char *name, const char *parent)
{
  guint32 seeds[N];
  seeds_of (name, seeds);
  char *id = fixture_write (store, parent, seeds, N, NULL);
  g_autoptr (GError) error = NULL;
  cs_store_commit (store, &error);
  unit_assert_no_error (error);
  fixture_name (store, name, id);
  return id;
}

static void
scenario (CsStore *store)
{
  g_autofree char *s1 = take (store, "s1", NULL);
  g_autofree char *s2 = take (store, "s2", s1);
  g_autofree char *s3 = take (store, "s3", s2);
  ck_assert (cs_store_manifest_delete (store, "c", "s1", NULL));
  ck_assert (cs_store_gc (store, false, NULL, NULL, NULL, NULL));
  g_autofree char *s4 = take (store, "s4", s3);
  ck_assert (cs_store_manifest_delete (store, "c", "s3", NULL));
  ck_assert (cs_store_manifest_delete (store, "c", "s2", NULL));
  ck_assert (cs_store_gc (store, false, NULL, NULL, NULL, NULL));
  g_autofree char *s5 = take (store, "s5", NULL);
}

typedef struct
{
  gint left; /* atomic */
} Crash;

static int
crash_hook (const char *operation, const char *name, bool after, void *data)
{
  Crash *crash = data;
  if (strcmp (operation, "read") != 0 && strcmp (operation, "open") != 0
      && strcmp (operation, "list") != 0 && g_atomic_int_add (&crash->left, -1) == 0)
    _exit (CRASHED);
  return 0;
}

/* Returns false once the child got to its end. */
static bool
run_child (gint operations)
{
  pid_t child = fork ();
  ck_assert_int_ge (child, 0);
  if (child == 0)
    {
      Crash crash = { .left = operations };
      CsStore *store = cs_store_open_backend (
          path, backend_faulty_new (cs_backend_local_new (path), crash_hook, &crash), NULL);
      if (store == NULL)
        _exit (1);
      scenario (store);
      _exit (0);
    }
  int status;
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert (WIFEXITED (status));
  ck_assert_msg (WEXITSTATUS (status) == CRASHED || WEXITSTATUS (status) == 0,
                 "the child failed otherwise: %d", WEXITSTATUS (status));
  return WEXITSTATUS (status) == CRASHED;
}

static void
check_all (CsStore *store)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) list = cs_store_manifest_list (store, NULL, &error);
  unit_assert_no_error (error);
  for (guint i = 0; i < list->len; i++)
    {
      const CsManifestName *name = list->pdata[i];
      guint32 seeds[N];
      seeds_of (name->snapshot, seeds);
      json_object *manifest = cs_store_manifest_get (store, "c", name->snapshot, &error);
      unit_assert_no_error (error);
      json_object *images;
      ck_assert (json_object_object_get_ex (manifest, "images", &images));
      fixture_check (store, json_object_get_string (json_object_array_get_idx (images, 0)), seeds,
                     N);
      json_object_put (manifest);
    }
}

static void
check_store (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsStore) store = fixture_open (path);
  check_all (store);
  /* A new snapshot on what the index now says. */
  g_autofree char *id = take (store, "s9", NULL);
  check_all (store);
  cs_store_gc (store, false, NULL, NULL, NULL, &error);
  unit_assert_no_error (error);
  check_all (store);
  g_autofree char *tmp = g_build_filename (path, "tmp", NULL);
  g_autoptr (GDir) left = g_dir_open (tmp, 0, NULL);
  ck_assert (g_dir_read_name (left) == NULL);
}

START_TEST (at_every_operation)
{
  bool crashed = true;
  guint runs = 0;
  /* Four tests share the numbers: they run in parallel where libcheck does. */
  for (gint n = _i; crashed; n += 4, runs++)
    {
      crashed = run_child (n);
      check_store ();
      teardown ();
      setup ();
    }
  ck_assert_uint_gt (runs, 10);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("crash");
  TCase *cases = tcase_create ("crash");
  tcase_set_timeout (cases, 300);
  tcase_add_checked_fixture (cases, setup, teardown);
  tcase_add_loop_test (cases, at_every_operation, 0, 4);
  suite_add_tcase (suite, cases);
  return unit_run (suite);
}
