#include "config.h"

#include "vmm/disk-server.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/disk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct CsDiskServer
{
  int directory;
  char *path; /* through the directory's descriptor: a socket's path has at most 107 bytes */
};

/* The socket's mode is the descriptor's at bind: nobody else can connect at any moment.  One left
 * by a killed daemon is replaced. */
static int
make_listener (const char *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  cs_autofd int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || fchmod (fd, 0600) < 0 || (unlink (path) < 0 && errno != ENOENT)
      || bind (fd, (struct sockaddr *)&address, sizeof address) < 0 || listen (fd, 16) < 0)
    {
      cs_error_set_errno (error, errno, "cannot make a socket for the NBD server");
      return -1;
    }
  return cs_fd_steal (&fd);
}

/* Hands the listening socket to QEMU and starts the server on it. */
static bool
start_on (CsMonitor *monitor, int fd, GError **error)
{
  if (!cs_monitor_execute_with_fd (
          monitor, "getfd", cs_json_strings ("fdname", CS_DISK_SOCKET, NULL), fd, NULL, error))
    return false;
  json_object *address = cs_json_strings ("type", "fd", NULL);
  json_object_object_add (address, "data", cs_json_strings ("str", CS_DISK_SOCKET, NULL));
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "addr", address);
  g_autoptr (GError) local = NULL;
  if (cs_monitor_execute (monitor, "nbd-server-start", arguments, NULL, &local))
    return true;
  cs_monitor_execute (monitor, "closefd", cs_json_strings ("fdname", CS_DISK_SOCKET, NULL), NULL,
                      NULL);
  if (strstr (local->message, "already running") != NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                 "%s: QEMU's only NBD server is in use (a backup or a migration of disks is under "
                 "way): try again when it has ended",
                 cs_monitor_name (monitor));
  else
    g_propagate_error (error, g_steal_pointer (&local));
  return false;
}

static bool
nobody_exports (CsMonitor *monitor)
{
  g_autoptr (CsJson) exports = NULL;
  return cs_monitor_execute (monitor, "query-block-exports", NULL, &exports, NULL)
         && cs_array_length (exports) == 0;
}

/* @left: a socket of ours lay there.  A clusnapd that was killed before its first client had
 * connected may have left the server, too. */
static bool
start_anew (CsMonitor *monitor, int fd, bool left, GError **error)
{
  g_autoptr (GError) local = NULL;
  if (start_on (monitor, fd, &local))
    return true;
  if (left && g_error_matches (local, CS_ERROR, CS_ERROR_BUSY) && nobody_exports (monitor)
      && cs_monitor_execute (monitor, "nbd-server-stop", NULL, NULL, NULL))
    return start_on (monitor, fd, error);
  g_propagate_error (error, g_steal_pointer (&local));
  return false;
}

CsDiskServer *
cs_disk_server_start (CsMonitor *monitor, const char *directory, GError **error)
{
  g_autoptr (CsDiskServer) server = g_new0 (CsDiskServer, 1);
  server->directory = open (directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (server->directory < 0)
    {
      cs_error_set_errno (error, errno, "cannot open directory '%s'", directory);
      return NULL;
    }
  server->path =
      g_strdup_printf ("/proc/self/fd/%d/nbd-%d", server->directory, (int)cs_monitor_pid (monitor));
  bool left = access (server->path, F_OK) == 0;
  cs_autofd int fd = make_listener (server->path, error);
  return fd >= 0 && start_anew (monitor, fd, left, error) ? g_steal_pointer (&server) : NULL;
}

void
cs_disk_server_free (CsDiskServer *server)
{
  if (server == NULL)
    return;
  if (server->path != NULL)
    unlink (server->path);
  cs_fd_cleanup (&server->directory);
  g_free (server->path);
  g_free (server);
}

void
cs_disk_server_close_door (CsDiskServer *server)
{
  unlink (server->path);
}

const char *
cs_disk_server_path (const CsDiskServer *server)
{
  return server->path;
}
