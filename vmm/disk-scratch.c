#include "config.h"

#include "vmm/disk-scratch.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/disk-private.h"
#include "vmm/qemu-img.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <sys/statvfs.h>

struct CsDiskScratch
{
  char *directory;
  int fd;
  GSubprocess *maker; /* NULL once it has ended well */
};

/* A descriptor without a name in @directory. */
static int
open_nameless (const char *directory, GError **error)
{
  int fd = open (directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
  if (fd >= 0)
    return fd;
  if (errno == EOPNOTSUPP || errno == EISDIR)
    {
      g_autofree char *path = g_build_filename (directory, "scratch-XXXXXX", NULL);
      fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0600);
      if (fd >= 0)
        unlink (path);
    }
  if (fd < 0)
    cs_error_set_errno (error, errno, "cannot create a scratch file in '%s'", directory);
  return fd;
}

/* qemu-img gets the descriptor as its number 3. */
static GSubprocess *
start_maker (int fd, guint64 size, GError **error)
{
  g_autofree char *bytes = g_strdup_printf ("%" G_GUINT64_FORMAT, size);
  g_autoptr (GSubprocessLauncher) launcher =
      g_subprocess_launcher_new (CS_QEMU_IMG_FLAGS | G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  int copy = fcntl (fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0)
    {
      cs_error_set_errno (error, errno, "cannot duplicate a descriptor");
      return NULL;
    }
  g_subprocess_launcher_take_fd (launcher, copy, 3);
  return g_subprocess_launcher_spawn (launcher, error, "qemu-img", "create", "-q", "-f", "qcow2",
                                      "/proc/self/fd/3", bytes, NULL);
}

CsDiskScratch *
cs_disk_scratch_new (const char *directory, guint64 size, GError **error)
{
  g_autoptr (CsDiskScratch) scratch = g_new0 (CsDiskScratch, 1);
  scratch->directory = g_strdup (directory);
  scratch->fd = open_nameless (directory, error);
  if (scratch->fd < 0)
    return NULL;
  g_autoptr (GError) local = NULL;
  scratch->maker = start_maker (scratch->fd, size, &local);
  if (scratch->maker != NULL)
    return g_steal_pointer (&scratch);
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "cannot start qemu-img: %s", local->message);
  return NULL;
}

void
cs_disk_scratch_free (CsDiskScratch *scratch)
{
  if (scratch == NULL)
    return;
  if (scratch->maker != NULL)
    {
      g_subprocess_force_exit (scratch->maker);
      g_subprocess_wait (scratch->maker, NULL, NULL);
      g_object_unref (scratch->maker);
    }
  cs_fd_cleanup (&scratch->fd);
  g_free (scratch->directory);
  g_free (scratch);
}

static bool
finish_maker (CsDiskScratch *scratch, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;
  bool heard = g_subprocess_communicate_utf8 (scratch->maker, NULL, NULL, NULL, &text, &local);
  if (!heard || !g_subprocess_get_successful (scratch->maker))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
                   "qemu-img cannot make a scratch image in '%s': %s", scratch->directory,
                   heard ? g_strchomp (text) : local->message);
      return false;
    }
  g_clear_object (&scratch->maker);
  return true;
}

bool
cs_disk_scratch_attach (CsDiskScratch *scratch, CsMonitor *monitor, const char *node,
                        const char *backing, GError **error)
{
  if (scratch->maker != NULL && !finish_maker (scratch, error))
    return false;
  g_autoptr (CsJson) added = NULL;
  if (!cs_monitor_execute_with_fd (monitor, "add-fd",
                                   cs_json_strings ("opaque", CS_DISK_FDSET, NULL), scratch->fd,
                                   &added, error))
    return false;
  g_autofree char *filename =
      g_strdup_printf ("/dev/fdset/%" G_GINT64_FORMAT, cs_member_int (added, "fdset-id"));
  json_object *arguments =
      cs_json_strings ("driver", "qcow2", "node-name", node, "backing", backing, NULL);
  json_object *file = cs_json_strings ("driver", "file", "filename", filename, NULL);
  json_object *cache = json_object_new_object ();
  json_object_object_add (arguments, "file", file);
  /* `stop` flushes every node: what is thrown away anyhow must not make a pause longer. */
  json_object_object_add (cache, "no-flush", json_object_new_boolean (true));
  json_object_object_add (arguments, "cache", cache);
  return cs_monitor_execute (monitor, "blockdev-add", arguments, NULL, error);
}

bool
cs_disk_scratch_check_space (CsDiskScratch *scratch, guint64 bytes, GError **error)
{
  struct statvfs space;
  if (fstatvfs (scratch->fd, &space) < 0)
    return cs_error_set_errno (error, errno, "cannot look at the space of '%s'",
                               scratch->directory);
  guint64 available = (guint64)space.f_bavail * space.f_frsize;
  if (available >= bytes)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_NO_SPACE,
               "'%s' has %" G_GUINT64_FORMAT " MiB left, where what guests overwrite during a "
               "capture is kept: at least %" G_GUINT64_FORMAT " MiB are needed",
               scratch->directory, available >> 20, bytes >> 20);
  return false;
}
