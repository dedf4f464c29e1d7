#include "config.h"

#include "vmm/disk-serve.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "vmm/launch.h"
#include "vmm/process.h"
#include "vmm/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define START_TIMEOUT (30 * G_USEC_PER_SEC)
#define RETRY_MS 2
#define GREETING_MS 10000
#define LAST_WORDS 4096
/* One per connection, and QEMU has one per disk: with more, nbdkit 1.32 ends by an assertion
 * (raw_send_socket, sock >= 0) when a client goes away while several requests are in flight. */
#define THREADS "1"

/* What an NBD server says first (protocol: NetworkBlockDevice/nbd, doc/proto.md). */
#define GREETING "NBDMAGIC"

struct CsDiskServe
{
  pid_t pid;
  guint64 start_time;
  char *socket;
};

/* The tests' one is in the build tree. */
static char *
plugin_path (void)
{
  const char *named = g_getenv ("CLUSNAP_NBDKIT_PLUGIN");
  return named != NULL && *named != '\0'
             ? g_strdup (named)
             : g_build_filename (CS_NBDKIT_PLUGIN_DIR, "nbdkit-clusnap-plugin.so", NULL);
}

/* Beside the socket: what nbdkit says, errors of the store as well. */
static char *
log_path (const char *socket)
{
  return g_strconcat (socket, ".log", NULL);
}

static bool
prepare_path (const char *path, GError **error)
{
  struct sockaddr_un address;
  if (strlen (path) >= sizeof address.sun_path)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "'%s' is too long for the path of a unix socket", path);
      return false;
    }
  return unlink (path) == 0 || errno == ENOENT
         || cs_error_set_errno (error, errno, "cannot remove the old socket '%s'", path);
}

/* Returns the process, 0 for an error.  In the foreground nbdkit says what fails; that it then asks
 * to be ended with its parent, the plugin takes back (outlive). */
static pid_t
spawn (CsStore *store, const char *image, const char *path, int log, GError **error)
{
  g_autofree char *plugin = plugin_path ();
  g_autofree char *store_parameter = g_strconcat ("store=", cs_store_path (store), NULL);
  g_autofree char *image_parameter = g_strconcat ("image=", image, NULL);
  const char *argv[] = { "nbdkit",        "--foreground",  "--readonly",  "--threads",
                         THREADS,         "--unix",        path,          plugin,
                         store_parameter, image_parameter, "outlive=yes", NULL };
  return cs_spawn (argv, "/", log, error);
}

/* Whether somebody who speaks NBD answers there.  @error only where waiting is of no use. */
static bool
answers (const char *path, GError **error)
{
  char greeting[sizeof GREETING - 1];
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  cs_autofd int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return cs_error_set_errno (error, errno, "cannot make a socket");
  if (connect (fd, (struct sockaddr *)&address, sizeof address) < 0)
    return false;
  struct pollfd polled = { .fd = fd, .events = POLLIN };
  if (poll (&polled, 1, GREETING_MS) == 1
      && recv (fd, greeting, sizeof greeting, MSG_WAITALL) == (ssize_t)sizeof greeting
      && memcmp (greeting, GREETING, sizeof greeting) == 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "nbdkit at '%s' does not greet", path);
  return false;
}

static bool
wait_until_it_answers (const char *path, int pidfd, GError **error)
{
  gint64 end = g_get_monotonic_time () + START_TIMEOUT;
  struct pollfd descriptor = { pidfd, POLLIN, 0 };
  for (;;)
    {
      g_autoptr (GError) local = NULL;
      if (answers (path, &local))
        return true;
      if (local != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return false;
        }
      if (poll (&descriptor, 1, RETRY_MS) > 0)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "nbdkit ended at its start");
          return false;
        }
      if (g_get_monotonic_time () > end)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE, "nbdkit does not serve '%s'", path);
          return false;
        }
    }
}

/* QEMU may be another user than we are. */
static bool
give_away (const char *path, uid_t uid, gid_t gid, GError **error)
{
  if (chown (path, uid, gid) == 0 && chmod (path, 0660) == 0)
    return true;
  return cs_error_set_errno (error, errno, "cannot give '%s' to user %d", path, (int)uid);
}

static CsDiskServe *
start (CsStore *store, const char *image, const char *path, int log, GError **error)
{
  g_autoptr (CsDiskServe) serve = g_new0 (CsDiskServe, 1);
  serve->socket = g_strdup (path);
  serve->pid = spawn (store, image, path, log, error);
  if (serve->pid == 0)
    return NULL;
  serve->start_time = cs_process_start_time (serve->pid);
  cs_autofd int pidfd = cs_process_open (serve->pid, error);
  if (pidfd >= 0 && wait_until_it_answers (path, pidfd, error))
    return g_steal_pointer (&serve);
  cs_launch_end (serve->pid);
  unlink (path);
  return NULL;
}

CsDiskServe *
cs_disk_serve_start (CsStore *store, const char *image, const char *socket, uid_t uid, gid_t gid,
                     GError **error)
{
  g_autofree char *log_name = log_path (socket);
  if (!prepare_path (socket, error))
    return NULL;
  cs_autofd int log = open (log_name, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (log < 0)
    {
      cs_error_set_errno (error, errno, "cannot open '%s'", log_name);
      return NULL;
    }
  GError *local = NULL;
  CsDiskServe *serve = start (store, image, socket, log, &local);
  if (serve == NULL)
    {
      g_autofree char *words = cs_launch_last_words (log, 0);
      g_set_error (error, CS_ERROR, local->code, "cannot serve the disks of image '%s': %s%s%s",
                   image, local->message, *words != '\0' ? ": " : "", words);
      g_error_free (local);
      unlink (log_name);
      return NULL;
    }
  if (give_away (socket, uid, gid, error))
    return serve;
  cs_disk_serve_stop (serve);
  cs_disk_serve_free (serve);
  return NULL;
}

bool
cs_disk_serve_is_alive (const CsDiskServe *serve)
{
  cs_autofd int pidfd = cs_process_open (serve->pid, NULL);
  return pidfd >= 0 && cs_process_start_time (serve->pid) == serve->start_time
         && !cs_process_has_ended (pidfd);
}

void
cs_disk_serve_stop (CsDiskServe *serve)
{
  g_autofree char *log_name = log_path (serve->socket);
  if (cs_disk_serve_is_alive (serve))
    cs_launch_end (serve->pid);
  unlink (serve->socket);
  unlink (log_name);
}

void
cs_disk_serve_free (CsDiskServe *serve)
{
  if (serve == NULL)
    return;
  g_free (serve->socket);
  g_free (serve);
}

json_object *
cs_disk_serve_to_json (const CsDiskServe *serve)
{
  json_object *object = json_object_new_object ();
  cs_json_add_uint (object, "pid", (guint64)serve->pid);
  cs_json_add_uint (object, "start-time", serve->start_time);
  cs_json_add_string (object, "socket", serve->socket);
  return object;
}

CsDiskServe *
cs_disk_serve_from_json (json_object *object, GError **error)
{
  const char *socket = cs_json_string (object, "socket");
  guint64 pid = cs_json_uint (object, "pid", 0);
  if (socket == NULL || pid == 0 || pid > G_MAXINT32)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the record of a disk server is not valid");
      return NULL;
    }
  g_autoptr (CsDiskServe) serve = g_new0 (CsDiskServe, 1);
  serve->pid = (pid_t)pid;
  serve->start_time = cs_json_uint (object, "start-time", 0);
  serve->socket = g_strdup (socket);
  if (serve->start_time != 0 && cs_disk_serve_is_alive (serve))
    return g_steal_pointer (&serve);
  g_set_error (error, CS_ERROR, CS_ERROR_GONE, "the disk server at '%s' has ended", socket);
  return NULL;
}
