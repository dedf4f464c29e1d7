/* The image of a VM state, judged by qemu-img. */
#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "unit.h"
#include "vmm/vmstate-image.h"

#include <string.h>
#include <sys/stat.h>

typedef struct
{
  gsize length;
  bool failing;
} State;

static bool
write_state (int fd, void *user_data, GError **error)
{
  const State *state = user_data;
  g_autofree char *data = g_malloc (state->length + 1);
  memset (data, 0x5a, state->length);
  if (state->failing)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "no state");
      return false;
    }
  return cs_fd_write_all (fd, data, state->length, -1, "state", error);
}

/* A copy that qemu-img can open: it is another process. */
static char *
export_image (int fd, const char *directory)
{
  struct stat info;
  ck_assert_int_eq (fstat (fd, &info), 0);
  ck_assert_int_eq (info.st_size % 65536, 0);
  g_autofree char *data = g_malloc ((gsize)info.st_size);
  char *path = g_build_filename (directory, "image.qcow2", NULL);
  ck_assert (cs_fd_read_all (fd, data, (gsize)info.st_size, 0, "image", NULL));
  ck_assert (g_file_set_contents (path, data, info.st_size, NULL));
  return path;
}

static char *
run (const char *command, const char *path)
{
  g_autofree char *line = g_strdup_printf ("%s %s", command, path);
  char *out = NULL;
  g_autofree char *err = NULL;
  int status;
  ck_assert (g_spawn_command_line_sync (line, &out, &err, &status, NULL));
  ck_assert_msg (g_spawn_check_wait_status (status, NULL), "%s: %s%s", line, out, err);
  return out;
}

static void
check_size (gsize length)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *tool = g_find_program_in_path ("qemu-img");
  if (tool == NULL)
    return;
  State state = { length, false };
  g_autofree char *directory = g_dir_make_tmp ("clusnap-test-XXXXXX", NULL);
  cs_autofd int fd = cs_vmstate_image_make (write_state, &state, &error);
  unit_assert_no_error (error);
  g_autofree char *path = export_image (fd, directory);
  g_autofree char *checked = run ("qemu-img check", path);
  ck_assert_msg (strstr (checked, "No errors were found") != NULL, "%s", checked);
  g_autofree char *listed = run ("qemu-img snapshot -l", path);
  ck_assert_msg (strstr (listed, CS_VMSTATE_TAG) != NULL, "%s", listed);
  /* What loading does to the image's tables. */
  g_autofree char *applied = run ("qemu-img snapshot -a " CS_VMSTATE_TAG, path);
  g_autofree char *rechecked = run ("qemu-img check", path);
  ck_assert_msg (strstr (rechecked, "No errors were found") != NULL, "%s", rechecked);
  unlink (path);
  rmdir (directory);
}

START_TEST (small)
{
  check_size (1);
}
END_TEST

START_TEST (whole_clusters)
{
  check_size (3 * 65536);
}
END_TEST

START_TEST (large)
{
  check_size ((20 << 20) + 17);
}
END_TEST

START_TEST (failing)
{
  g_autoptr (GError) error = NULL;
  State state = { 10, true };
  ck_assert_int_eq (cs_vmstate_image_make (write_state, &state, &error), -1);
  unit_assert_error (error, CS_ERROR_CORRUPT);
}
END_TEST

START_TEST (empty)
{
  g_autoptr (GError) error = NULL;
  State state = { 0, false };
  ck_assert_int_eq (cs_vmstate_image_make (write_state, &state, &error), -1);
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("vmstate-image");
  TCase *tests = tcase_create ("image");
  tcase_set_timeout (tests, 60);
  tcase_add_test (tests, small);
  tcase_add_test (tests, whole_clusters);
  tcase_add_test (tests, large);
  tcase_add_test (tests, failing);
  tcase_add_test (tests, empty);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
