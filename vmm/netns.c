#include "config.h"

#include "vmm/netns.h"

#include "common/error.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#define NAMED "/run/netns"
#define OWN "/proc/thread-self/ns/net"

guint64
cs_netns_id (int fd)
{
  struct stat status;
  return fstat (fd, &status) == 0 ? status.st_ino : 0;
}

bool
cs_netns_enter (int fd, int *home, GError **error)
{
  *home = open (OWN, O_RDONLY | O_CLOEXEC);
  if (*home >= 0 && setns (fd, CLONE_NEWNET) == 0)
    return true;
  cs_error_set_errno (error, errno, "cannot enter the network namespace of a tap");
  cs_fd_cleanup (home);
  return false;
}

void
cs_netns_leave (int *home)
{
  if (setns (*home, CLONE_NEWNET) < 0)
    g_error ("cannot leave a network namespace: %s", g_strerror (errno));
  cs_fd_cleanup (home);
}

static int
open_if (const char *path, guint64 id)
{
  cs_autofd int fd = open (path, O_RDONLY | O_CLOEXEC);
  return fd >= 0 && cs_netns_id (fd) == id ? cs_fd_steal (&fd) : -1;
}

int
cs_netns_find (guint64 id)
{
  const char *name;
  int fd = open_if (OWN, id);
  g_autoptr (GDir) named = g_dir_open (NAMED, 0, NULL);
  while (fd < 0 && named != NULL && (name = g_dir_read_name (named)) != NULL)
    {
      g_autofree char *path = g_build_filename (NAMED, name, NULL);
      fd = open_if (path, id);
    }
  return fd;
}
