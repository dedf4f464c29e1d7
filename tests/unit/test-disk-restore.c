/* Restores disks from an image that lies in memory, with the real qemu-img and qemu-nbd. */
#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "tests/unit/unit.h"
#include "vmm/disk-restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define SIZE (G_GUINT64_CONSTANT (9) * 1024 * 1024 + 512)
#define PAGES ((SIZE + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE)

/* The double of images/image.h: pages in memory, handed on from the last to the first by blocks. */
struct CsImage
{
  char *data; /* PAGES pages */
  guint64 length;
  guint64 fail_at; /* page; 0: never */
  GCancellable *cancel;
};

void
cs_image_volume_info (const CsImage *image, guint volume, CsVolumeInfo *info)
{
  *info = (CsVolumeInfo){ CS_VOLUME_DISK, "vda", image->length, 0 };
}

bool
cs_image_foreach (CsImage *image, guint volume, CsImagePageFunc func, void *user_data,
                  GError **error)
{
  static const char zero[CS_PAGE_SIZE];
  for (guint64 block = (PAGES + 99) / 100; block-- > 0;)
    for (guint64 page = block * 100; page < MIN (PAGES, block * 100 + 100); page++)
      {
        const char *data = image->data + page * CS_PAGE_SIZE;
        if (image->fail_at != 0 && page == image->fail_at)
          {
            g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "segment '7' is damaged");
            return false;
          }
        if (image->cancel != NULL && page == 500)
          g_cancellable_cancel (image->cancel);
        if (memcmp (data, zero, CS_PAGE_SIZE) != 0 && !func (page, data, user_data, error))
          return false;
      }
  return true;
}

bool
cs_image_read (CsImage *image, guint volume, guint64 page, guint64 count, void *data,
               GError **error)
{
  ck_assert_uint_le (page + count, PAGES);
  memcpy (data, image->data + page * CS_PAGE_SIZE, count * CS_PAGE_SIZE);
  return true;
}

typedef struct
{
  char *directory, *path;
  CsDisk disk;
  CsImage image;
} Fixture;

static Fixture fixture;

static void
run (const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *arguments = g_strdup_vprintf (format, args);
  va_end (args);
  g_autofree char *command = g_strdup_printf ("cd '%s' && %s", fixture.directory, arguments);
  ck_assert_msg (system (command) == 0, "'%s' failed", command);
}

static void
set_up (void)
{
  if (system ("qemu-nbd --version >/dev/null 2>&1 && qemu-img --version >/dev/null 2>&1") != 0)
    exit (77);
  fixture.directory = g_dir_make_tmp ("clusnap-unit-XXXXXX", NULL);
  fixture.path = g_build_filename (fixture.directory, "disk.img", NULL);
  fixture.disk = (CsDisk){ .name = (char *)"vda",
                           .node = (char *)"n",
                           .filename = fixture.path,
                           .format = (char *)"raw",
                           .size = SIZE };
  fixture.image = (CsImage){ g_malloc0 (PAGES * CS_PAGE_SIZE), SIZE };
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  for (guint64 page = 0; page < PAGES; page++)
    if (g_rand_int_range (random, 0, 3) > 0)
      for (guint i = 0; i < CS_PAGE_SIZE; i += 4)
        *(guint32 *)(void *)(fixture.image.data + page * CS_PAGE_SIZE + i) = g_rand_int (random);
  memset (fixture.image.data + SIZE, 0, PAGES * CS_PAGE_SIZE - SIZE);
}

static void
tear_down (void)
{
  run ("rm -rf '%s'", fixture.directory);
  g_free (fixture.directory);
  g_free (fixture.path);
  g_free (fixture.image.data);
}

/* The image at the path has the content. */
static void
assert_content (void)
{
  g_autofree char *content = NULL;
  gsize length;
  run ("qemu-img convert -f %s -O raw disk.img plain", fixture.disk.format);
  g_autofree char *plain = g_build_filename (fixture.directory, "plain", NULL);
  ck_assert (g_file_get_contents (plain, &content, &length, NULL));
  ck_assert_uint_eq (length, SIZE);
  ck_assert (memcmp (content, fixture.image.data, SIZE) == 0);
  unlink (plain);
}

/* Nothing but the files named is in the directory. */
static void
assert_files (const char *names)
{
  run ("test \"$(ls | tr '\\n' ' ')\" = '%s '", names);
}

static void
use_qcow2 (void)
{
  fixture.disk.format = (char *)"qcow2";
  fixture.disk.cluster_size = 131072;
}

static void
use_backing (void)
{
  use_qcow2 ();
  fixture.disk.backing_file = (char *)"base.img";
  fixture.disk.backing_format = (char *)"qcow2";
  run ("qemu-img create -q -f qcow2 base.img 9437696 && "
       "qemu-io -f qcow2 -c 'write -P 5 0 9437696' base.img >base.log && rm base.log");
}

static void
restore_and_commit (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsDiskRestore) restore =
      cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error);
  unit_assert_no_error (error);
  ck_assert (cs_disk_restore_switch (restore, &error));
  ck_assert (cs_disk_restore_flush (restore, &error));
  cs_disk_restore_commit (restore);
}

START_TEST (raw_is_restored_and_sparse)
{
  struct stat st;
  run ("echo old >disk.img && chown 12:34 disk.img && chmod 0640 disk.img");
  restore_and_commit ();
  assert_files ("disk.img");
  assert_content ();
  ck_assert_int_eq (stat (fixture.path, &st), 0);
  ck_assert (st.st_uid == 12 && st.st_gid == 34 && (st.st_mode & 07777) == 0640);
  ck_assert_uint_lt ((guint64)st.st_blocks * 512, SIZE * 8 / 10);
}
END_TEST

START_TEST (raw_where_nothing_stands)
{
  restore_and_commit ();
  assert_files ("disk.img");
  assert_content ();
}
END_TEST

START_TEST (qcow2_keeps_its_form)
{
  use_qcow2 ();
  run ("qemu-img create -q -f qcow2 disk.img 1M");
  restore_and_commit ();
  assert_files ("disk.img");
  assert_content ();
  run ("qemu-img info --output=json disk.img | grep -q '\"cluster-size\": 131072'");
  run ("qemu-img check -q disk.img");
}
END_TEST

START_TEST (backing_does_not_show_through)
{
  use_backing ();
  restore_and_commit ();
  assert_files ("base.img disk.img");
  assert_content ();
  run ("qemu-img info --output=json disk.img | grep -q '\"backing-filename\": \"base.img\"'");
}
END_TEST

/* What the backing image holds as well does not come into the image; a cluster that differs in one
 * byte, or is zero now, does. */
START_TEST (backing_content_is_not_copied)
{
  static const guint64 cluster = 131072;
  use_backing ();
  memset (fixture.image.data, 5, SIZE);
  memset (fixture.image.data + 3 * cluster, 0, cluster);
  fixture.image.data[7 * cluster + 4711] = 6;
  fixture.image.data[SIZE - 1] = 7;
  restore_and_commit ();
  assert_files ("base.img disk.img");
  assert_content ();
  run ("qemu-img map --output=json disk.img | grep -c '\"depth\": 0' >depths; "
       "test \"$(cat depths)\" = 3 && rm depths");
  run ("test $(stat -c %%b disk.img) -lt 2048");
  run ("qemu-img check -q disk.img");
}
END_TEST

/* It ends before the image does: zeros follow. */
START_TEST (short_backing)
{
  use_backing ();
  run ("qemu-img create -q -f qcow2 base.img 1M && qemu-io -f qcow2 -c 'write -P 5 0 1M' base.img "
       ">/dev/null");
  restore_and_commit ();
  assert_content ();
}
END_TEST

START_TEST (missing_backing_is_named)
{
  use_backing ();
  run ("rm base.img");
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error));
  unit_assert_error (error, CS_ERROR_FAILED);
  ck_assert_ptr_nonnull (strstr (error->message, "base.img"));
  ck_assert_ptr_nonnull (strstr (error->message, "disk 'vda'"));
}
END_TEST

/* Freed without commit, before and after the switch. */
START_TEST (undone_without_commit)
{
  g_autoptr (GError) error = NULL;
  if (_i >= 2)
    use_qcow2 ();
  run ("echo old >disk.img; ls -i disk.img >/tmp/clusnap-unit-inode.%d", (int)getpid ());
  CsDiskRestore *restore =
      cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error);
  unit_assert_no_error (error);
  assert_files ("disk.img disk.img.clusnap-new");
  if (_i % 2 == 1)
    {
      ck_assert (cs_disk_restore_switch (restore, &error));
      assert_files ("disk.img disk.img.clusnap-old");
      assert_content ();
    }
  cs_disk_restore_free (restore);
  assert_files ("disk.img");
  run ("grep -qx old disk.img && ls -i disk.img | cmp - /tmp/clusnap-unit-inode.%d && "
       "rm /tmp/clusnap-unit-inode.%d",
       (int)getpid (), (int)getpid ());
}
END_TEST

START_TEST (undone_where_nothing_stood)
{
  g_autoptr (GError) error = NULL;
  CsDiskRestore *restore =
      cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error);
  unit_assert_no_error (error);
  ck_assert (cs_disk_restore_switch (restore, &error));
  cs_disk_restore_free (restore);
  run ("test -z \"$(ls)\"");
}
END_TEST

START_TEST (store_failure_leaves_all_as_it_was)
{
  g_autoptr (GError) error = NULL;
  if (_i == 1)
    use_qcow2 ();
  run ("echo old >disk.img");
  fixture.image.fail_at = 700;
  ck_assert_ptr_null (cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error));
  unit_assert_error (error, CS_ERROR_CORRUPT);
  assert_files ("disk.img");
  run ("grep -qx old disk.img");
}
END_TEST

START_TEST (cancelled)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  use_qcow2 ();
  fixture.image.cancel = cancellable;
  ck_assert_ptr_null (
      cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, cancellable, &error));
  unit_assert_error (error, CS_ERROR_CANCELLED);
  run ("test -z \"$(ls)\"");
}
END_TEST

START_TEST (leftovers)
{
  g_autoptr (GError) error = NULL;
  run ("echo old >disk.img; echo half >disk.img.clusnap-new");
  /* Half filled by a daemon that was killed: garbage. */
  restore_and_commit ();
  assert_files ("disk.img");
  /* While somebody holds it, not. */
  run ("echo half >disk.img.clusnap-new");
  g_autofree char *path = g_strconcat (fixture.path, ".clusnap-new", NULL);
  cs_autofd int fd = open (path, O_RDWR | O_CLOEXEC);
  ck_assert_int_eq (flock (fd, LOCK_EX), 0);
  ck_assert_ptr_null (cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error));
  unit_assert_error (error, CS_ERROR_BUSY);
  g_clear_error (&error);
  /* An old image is never removed. */
  run ("mv disk.img.clusnap-new disk.img.clusnap-old");
  ck_assert_ptr_null (cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error));
  unit_assert_error (error, CS_ERROR_EXISTS);
  assert_files ("disk.img disk.img.clusnap-old");
}
END_TEST

START_TEST (internal_snapshots_are_not_lost)
{
  g_autoptr (GError) error = NULL;
  use_qcow2 ();
  run ("qemu-img create -q -f qcow2 disk.img 1M && qemu-img snapshot -c mine disk.img");
  ck_assert_ptr_null (cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error));
  unit_assert_error (error, CS_ERROR_REFUSED);
}
END_TEST

START_TEST (symbolic_link_stays)
{
  run ("mkdir real && echo old >real/d && ln -s real/d disk.img");
  restore_and_commit ();
  run ("test -L disk.img && test \"$(ls real)\" = d");
  assert_content ();
}
END_TEST

START_TEST (wrong_volume)
{
  g_autoptr (GError) error = NULL;
  fixture.image.length = 4096;
  ck_assert_ptr_null (cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error));
  unit_assert_error (error, CS_ERROR_CORRUPT);
}
END_TEST

START_TEST (full_file_system)
{
  g_autoptr (GError) error = NULL;
  if (_i == 1)
    use_qcow2 ();
  g_autofree char *command = g_strdup_printf (
      "mount -t tmpfs -o size=4m clusnap-unit '%s' 2>/dev/null", fixture.directory);
  if (system (command) != 0)
    return; /* no mounts in this container */
  ck_assert_ptr_null (cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error));
  g_autofree char *undo = g_strdup_printf ("test -z \"$(ls '%s')\" && umount '%s'",
                                           fixture.directory, fixture.directory);
  ck_assert_int_eq (system (undo), 0);
  unit_assert_error (error, CS_ERROR_NO_SPACE);
}
END_TEST

START_TEST (block_device_is_overwritten_in_switch)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *device = NULL;
  if (_i == 1)
    use_qcow2 ();
  run ("truncate -s 16M device.img && qemu-io -f raw -c 'write -P 7 0 16M' device.img >log");
  g_autofree char *command =
      g_strdup_printf ("losetup -f --show '%s/device.img'", fixture.directory);
  if (!g_spawn_command_line_sync (command, &device, NULL, NULL, NULL)
      || !g_str_has_prefix (g_strchomp (device), "/dev/"))
    return; /* no loop devices in this container */
  fixture.disk.filename = device;
  CsDiskRestore *restore =
      cs_disk_restore_new (&fixture.disk, &fixture.image, 3, NULL, NULL, &error);
  unit_assert_no_error (error);
  run ("qemu-io -f raw -c 'read -P 7 0 16M' device.img >log");
  bool ok = cs_disk_restore_switch (restore, &error);
  if (ok)
    cs_disk_restore_commit (restore);
  cs_disk_restore_free (restore);
  run ("losetup -d %s", device);
  unit_assert_no_error (error);
  run ("%s device.img disk.img", _i == 1 ? "mv" : "head -c 9437696 <device.img >disk.img; true");
  assert_content ();
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("disk-restore");
  TCase *tests = tcase_create ("disk-restore");
  tcase_set_timeout (tests, 60);
  tcase_add_checked_fixture (tests, set_up, tear_down);
  tcase_add_test (tests, raw_is_restored_and_sparse);
  tcase_add_test (tests, raw_where_nothing_stands);
  tcase_add_test (tests, qcow2_keeps_its_form);
  tcase_add_test (tests, backing_does_not_show_through);
  tcase_add_test (tests, backing_content_is_not_copied);
  tcase_add_test (tests, short_backing);
  tcase_add_test (tests, missing_backing_is_named);
  tcase_add_loop_test (tests, undone_without_commit, 0, 4);
  tcase_add_test (tests, undone_where_nothing_stood);
  tcase_add_loop_test (tests, store_failure_leaves_all_as_it_was, 0, 2);
  tcase_add_test (tests, cancelled);
  tcase_add_test (tests, leftovers);
  tcase_add_test (tests, internal_snapshots_are_not_lost);
  tcase_add_test (tests, symbolic_link_stays);
  tcase_add_test (tests, wrong_volume);
  tcase_add_loop_test (tests, full_file_system, 0, 2);
  tcase_add_loop_test (tests, block_device_is_overwritten_in_switch, 0, 2);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
