/* Steps and what a crash leaves: while filling FILE.clusnap-new, garbage, locked (flock) while
 * somebody works on it and removed by the next restore; from switch to commit FILE.clusnap-old, the
 * old image: it is linked there before the new one takes its place at FILE, so that FILE always
 * exists.  A clusnapd that is started again makes both good (disk-undo.c); after a crash of the
 * host nothing but the user removes it. */
#include "config.h"

#include "vmm/disk-restore.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/disk-fill.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* qcow2's header: docs/interop/qcow2.txt in QEMU's source. */
#define QCOW2_MAGIC "QFI\xfb"
#define QCOW2_SNAPSHOTS_OFFSET 60

struct CsDiskRestore
{
  /* immutable */
  CsDisk *disk; /* a copy */
  CsImage *image;
  guint volume;
  char *lazy_backing; /* NULL: filled here */
  GCancellable *cancellable;
  char *path; /* symbolic links resolved */
  char *new_path;
  char *old_path;
  bool block_device;
  bool replaces; /* something stands there */

  int fd; /* of the new image */
  bool created;
  bool switched;
  bool flushed;
  bool committed;
};

static bool
check_snapshots (const CsDiskRestore *restore, GError **error)
{
  unsigned char header[QCOW2_SNAPSHOTS_OFFSET + 4];
  cs_autofd int fd = open (restore->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return cs_error_set_errno (error, errno, "cannot open '%s'", restore->path);
  ssize_t n = pread (fd, header, sizeof header, 0);
  guint32 snapshots = 0;
  if (n == (ssize_t)sizeof header && memcmp (header, QCOW2_MAGIC, 4) == 0)
    memcpy (&snapshots, header + QCOW2_SNAPSHOTS_OFFSET, sizeof snapshots);
  if (snapshots == 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "'%s' holds %u internal snapshots, which a restore would lose: delete them with "
               "qemu-img snapshot -d, or move the file away",
               restore->path, GUINT32_FROM_BE (snapshots));
  return false;
}

static bool
check_device (const CsDiskRestore *restore, GError **error)
{
  guint64 size = 0;
  cs_autofd int fd = open (restore->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ioctl (fd, BLKGETSIZE64, &size) < 0)
    return cs_error_set_errno (error, errno, "cannot open block device '%s'", restore->path);
  if (size >= restore->disk->size)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_NO_SPACE,
               "block device '%s' has only %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " bytes",
               restore->path, size, restore->disk->size);
  return false;
}

/* Looks at what stands at the path; *@old is its owner and mode. */
static bool
check_target (CsDiskRestore *restore, struct stat *old, GError **error)
{
  restore->replaces = stat (restore->path, old) == 0;
  if (!restore->replaces && errno != ENOENT)
    return cs_error_set_errno (error, errno, "cannot look at '%s'", restore->path);
  if (restore->replaces && S_ISBLK (old->st_mode))
    {
      restore->block_device = true;
      return check_device (restore, error);
    }
  if (restore->replaces && !S_ISREG (old->st_mode))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "'%s' is neither file nor block device",
                   restore->path);
      return false;
    }
  if (access (restore->old_path, F_OK) == 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
                   "'%s' is left from a restore that was interrupted: keep the right one of the "
                   "two files and remove the other",
                   restore->old_path);
      return false;
    }
  return !restore->replaces || check_snapshots (restore, error);
}

/* Opens the new file, for us alone. */
static bool
create_file (CsDiskRestore *restore, GError **error)
{
  for (guint attempt = 0; attempt < 2; attempt++)
    {
      restore->fd = open (restore->new_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      if (restore->fd >= 0)
        break;
      if (errno != EEXIST)
        return cs_error_set_errno (error, errno, "cannot create '%s'", restore->new_path);
      cs_autofd int left = open (restore->new_path, O_RDWR | O_CLOEXEC);
      if (left < 0 || flock (left, LOCK_EX | LOCK_NB) < 0)
        break;
      unlink (restore->new_path);
    }
  if (restore->fd >= 0 && flock (restore->fd, LOCK_EX | LOCK_NB) == 0)
    {
      restore->created = true;
      return true;
    }
  g_set_error (error, CS_ERROR, CS_ERROR_BUSY, "another restore of '%s' is under way",
               restore->path);
  return false;
}

static bool
make_new (CsDiskRestore *restore, const struct stat *old, GError **error)
{
  if (!create_file (restore, error))
    return false;
  if (restore->replaces
      && (fchown (restore->fd, old->st_uid, old->st_gid) < 0
          || fchmod (restore->fd, old->st_mode & 07777) < 0))
    return cs_error_set_errno (error, errno, "cannot give '%s' its owner and mode",
                               restore->new_path);
  if (restore->lazy_backing != NULL && strcmp (restore->disk->format, "raw") == 0)
    return cs_disk_create_raw (restore->disk, restore->new_path, restore->fd, restore->image,
                               restore->volume, error);
  if (restore->lazy_backing != NULL)
    return cs_disk_create_qcow2 (restore->disk,
                                 restore->disk->backing_file != NULL ? NULL : restore->lazy_backing,
                                 restore->new_path, error);
  CsDiskFillControl control = { .cancellable = restore->cancellable };
  return cs_disk_fill (restore->disk, restore->new_path, restore->fd, false, restore->image,
                       restore->volume, &control, error);
}

static bool
check_volume (CsDiskRestore *restore, GError **error)
{
  CsVolumeInfo info;
  cs_image_volume_info (restore->image, restore->volume, &info);
  if (info.length == restore->disk->size)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
               "the volume '%s' has %" G_GUINT64_FORMAT " bytes, not the disk's %" G_GUINT64_FORMAT,
               info.name, info.length, restore->disk->size);
  return false;
}

static CsDisk *
disk_copy (const CsDisk *disk)
{
  CsDisk *copy = g_memdup2 (disk, sizeof *disk);
  copy->name = g_strdup (disk->name);
  copy->node = g_strdup (disk->node);
  copy->filename = g_strdup (disk->filename);
  copy->format = g_strdup (disk->format);
  copy->backing_file = g_strdup (disk->backing_file);
  copy->backing_format = g_strdup (disk->backing_format);
  return copy;
}

CsDiskRestore *
cs_disk_restore_new (const CsDisk *disk, CsImage *image, guint volume, const char *lazy_backing,
                     GCancellable *cancellable, GError **error)
{
  g_autoptr (CsDiskRestore) restore = g_new0 (CsDiskRestore, 1);
  g_autofree char *resolved = realpath (disk->filename, NULL);
  struct stat old;
  restore->disk = disk_copy (disk);
  restore->image = image;
  restore->volume = volume;
  restore->lazy_backing = g_strdup (lazy_backing);
  restore->cancellable = cancellable != NULL ? g_object_ref (cancellable) : NULL;
  restore->path = g_strdup (resolved != NULL ? resolved : disk->filename);
  restore->new_path = g_strconcat (restore->path, ".clusnap-new", NULL);
  restore->old_path = g_strconcat (restore->path, ".clusnap-old", NULL);
  restore->fd = -1;
  if (check_volume (restore, error) && check_target (restore, &old, error)
      && (restore->block_device || make_new (restore, &old, error)))
    return g_steal_pointer (&restore);
  g_prefix_error (error, "cannot restore disk '%s': ", disk->name);
  return NULL;
}

static bool
switch_device (CsDiskRestore *restore, GError **error)
{
  restore->fd = open (restore->path, O_RDWR | O_EXCL | O_CLOEXEC);
  if (restore->fd < 0)
    return cs_error_set_errno (error, errno, "cannot open block device '%s' for us alone",
                               restore->path);
  CsDiskFillControl control = { .cancellable = restore->cancellable };
  return cs_disk_fill (restore->disk, restore->path, restore->fd, true, restore->image,
                       restore->volume, &control, error);
}

/* Keeps the old image under a second name. */
static bool
keep_old (CsDiskRestore *restore, GError **error)
{
  if (link (restore->path, restore->old_path) == 0)
    return true;
  /* A file system without hard links: there is no image at the path for a moment. */
  if (errno != EEXIST
      && renameat2 (AT_FDCWD, restore->path, AT_FDCWD, restore->old_path, RENAME_NOREPLACE) == 0)
    return true;
  return cs_error_set_errno (error, errno, "cannot keep '%s' as '%s'", restore->path,
                             restore->old_path);
}

/* Exchanged rather than renamed over: for a rename over a file ext4 first writes all of the new one
 * out (0.8 s for 512 MiB), which is for commit to do, when the VM runs. */
static int
put_new (CsDiskRestore *restore)
{
  if (restore->replaces
      && renameat2 (AT_FDCWD, restore->new_path, AT_FDCWD, restore->path, RENAME_EXCHANGE) == 0)
    return unlink (restore->new_path);
  return renameat2 (AT_FDCWD, restore->new_path, AT_FDCWD, restore->path,
                    restore->replaces ? 0 : RENAME_NOREPLACE);
}

static bool
switch_file (CsDiskRestore *restore, GError **error)
{
  if (restore->replaces && !keep_old (restore, error))
    return false;
  restore->switched = restore->replaces;
  if (put_new (restore) < 0)
    return cs_error_set_errno (error, errno, "cannot rename '%s' to '%s'", restore->new_path,
                               restore->path);
  restore->switched = true;
  restore->created = false;
  return true;
}

bool
cs_disk_restore_switch (CsDiskRestore *restore, GError **error)
{
  g_assert (!restore->switched);
  bool ok = restore->block_device ? switch_device (restore, error) : switch_file (restore, error);
  if (!ok)
    g_prefix_error (error, "cannot restore disk '%s': ", restore->disk->name);
  return ok;
}

bool
cs_disk_restore_flush (CsDiskRestore *restore, GError **error)
{
  if (restore->flushed)
    return true;
  if (fsync (restore->fd) < 0)
    return cs_error_set_errno (error, errno, "disk '%s': cannot flush '%s'", restore->disk->name,
                               restore->path);
  restore->flushed = restore->block_device || cs_directory_sync_of (restore->path, error);
  return restore->flushed;
}

void
cs_disk_restore_commit (CsDiskRestore *restore)
{
  g_assert (restore->switched || restore->block_device);
  restore->committed = true;
  if (cs_disk_restore_flush (restore, NULL) && restore->replaces && !restore->block_device)
    unlink (restore->old_path);
}

/* The old image is put back over the new one, if there is an old one. */
static void
undo (CsDiskRestore *restore)
{
  if (restore->switched && restore->replaces)
    {
      /* Where the new one never got there both names are one file, and rename leaves both. */
      if (renameat2 (AT_FDCWD, restore->old_path, AT_FDCWD, restore->path, 0) == 0)
        unlink (restore->old_path);
    }
  else if (restore->switched)
    unlink (restore->path);
  if (restore->created)
    unlink (restore->new_path);
}

void
cs_disk_restore_free (CsDiskRestore *restore)
{
  if (restore == NULL)
    return;
  if (!restore->committed && !restore->block_device)
    undo (restore);
  cs_fd_cleanup (&restore->fd);
  g_clear_object (&restore->cancellable);
  cs_disk_free (restore->disk);
  g_free (restore->lazy_backing);
  g_free (restore->path);
  g_free (restore->new_path);
  g_free (restore->old_path);
  g_free (restore);
}
