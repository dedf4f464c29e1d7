/* What each moment of disk-restore.c leaves, for a file that stood there (O) and the new one (N):
 *
 *   writing          FILE=O new=N         linked    FILE=O old=O new=N
 *   exchanged        FILE=N old=O new=O   switched  FILE=N old=O
 *
 * so a FILE.clusnap-old of O's inode is renamed to FILE (where both are one file rename does
 * nothing and the second name is removed), and FILE.clusnap-new goes, whichever it is. */
#include "config.h"

#include "vmm/disk-undo.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

json_object *
cs_disk_undo_record (const CsDisk *disk)
{
  g_autofree char *resolved = realpath (disk->filename, NULL);
  const char *path = resolved != NULL ? resolved : disk->filename;
  g_autofree char *old_path = g_strconcat (path, ".clusnap-old", NULL);
  struct stat info;
  bool there = stat (path, &info) == 0;
  json_object *record = json_object_new_object ();
  cs_json_add_string (record, "path", path);
  cs_json_add_uint (record, "inode", there ? info.st_ino : 0);
  cs_json_add_uint (record, "device", there ? info.st_dev : 0);
  json_object_object_add (record, "block",
                          json_object_new_boolean (there && S_ISBLK (info.st_mode)));
  json_object_object_add (record, "old", json_object_new_boolean (access (old_path, F_OK) == 0));
  return record;
}

void
cs_disk_undo_note_new (json_object *record)
{
  g_autofree char *path = g_strconcat (cs_json_string (record, "path"), ".clusnap-new", NULL);
  struct stat info;
  if (stat (path, &info) == 0)
    cs_json_add_uint (record, "new-inode", info.st_ino);
}

static bool
get_flag (json_object *record, const char *key)
{
  return json_object_get_boolean (json_object_object_get (record, key));
}

static bool
has_inode (const char *path, guint64 inode)
{
  struct stat info;
  return inode != 0 && lstat (path, &info) == 0 && info.st_ino == inode;
}

/* Unless somebody works on it. */
static void
remove_new (const char *path)
{
  cs_autofd int fd = open (path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0)
    unlink (path);
}

bool
cs_disk_undo_back (json_object *record, GError **error)
{
  const char *path = cs_json_string (record, "path");
  if (path == NULL || get_flag (record, "block"))
    return true;
  guint64 inode = cs_json_uint (record, "inode", 0);
  g_autofree char *old_path = g_strconcat (path, ".clusnap-old", NULL);
  g_autofree char *new_path = g_strconcat (path, ".clusnap-new", NULL);
  if (!get_flag (record, "old") && has_inode (old_path, inode))
    {
      if (renameat2 (AT_FDCWD, old_path, AT_FDCWD, path, 0) < 0)
        return cs_error_set_errno (error, errno, "cannot put '%s' back to '%s'", old_path, path);
      if (has_inode (old_path, inode))
        unlink (old_path);
    }
  else if (inode == 0 && has_inode (path, cs_json_uint (record, "new-inode", 0)))
    unlink (path);
  remove_new (new_path);
  return true;
}

bool
cs_disk_undo_forward (json_object *record, GError **error)
{
  const char *path = cs_json_string (record, "path");
  if (path == NULL || get_flag (record, "block") || get_flag (record, "old"))
    return true;
  g_autofree char *old_path = g_strconcat (path, ".clusnap-old", NULL);
  if (!has_inode (old_path, cs_json_uint (record, "inode", 0)))
    return true;
  /* It may have no name yet (lazy-aside.h): nothing but holes, which need no flush. */
  g_autofree char *aside = g_strconcat (path, ".clusnap-fill", NULL);
  cs_autofd int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT)
    fd = open (aside, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || fsync (fd) < 0)
    return cs_error_set_errno (error, errno, "cannot flush '%s': '%s' is kept", path, old_path);
  return unlink (old_path) == 0
         || cs_error_set_errno (error, errno, "cannot remove '%s'", old_path);
}
