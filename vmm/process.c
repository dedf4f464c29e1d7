#include "config.h"

#include "vmm/process.h"

#include "common/error.h"
#include "common/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

/* Calls @func for each process until it returns true. */
typedef bool (*ProcessFunc) (pid_t pid, void *data);

static void
foreach_process (ProcessFunc func, void *data)
{
  g_autoptr (GDir) directory = g_dir_open ("/proc", 0, NULL);
  const char *name;
  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      guint64 pid;
      if (g_ascii_string_to_unsigned (name, 10, 1, G_MAXINT, &pid, NULL) && func ((pid_t)pid, data))
        return;
    }
}

/* Adds to @inodes ("socket:[N]") the accepted sockets bound to @path that @table lists.
 * Lines: Num RefCount Protocol Flags Type St Inode Path; Flags 00010000 is a listener. */
static void
add_accepted (GHashTable *inodes, const char *table, const char *path)
{
  g_autofree char *text = NULL;
  if (!g_file_get_contents (table, &text, NULL, NULL))
    return;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      unsigned flags;
      unsigned long inode;
      int at = 0;
      if (sscanf (*line, "%*s %*s %*s %x %*s %*s %lu %n", &flags, &inode, &at) == 2 && at > 0
          && (flags & 0x10000) == 0 && g_str_equal (*line + at, path))
        g_hash_table_add (inodes, g_strdup_printf ("socket:[%lu]", inode));
    }
}

static bool
process_holds (pid_t pid, GHashTable *inodes)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  const char *name;
  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *link = g_build_filename (path, name, NULL);
      char target[64];
      ssize_t length = readlink (link, target, sizeof target - 1);
      if (length <= 0)
        continue;
      target[length] = '\0';
      if (g_hash_table_contains (inodes, target))
        return true;
    }
  return false;
}

typedef struct
{
  GHashTable *inodes;
  pid_t found;
  guint count;
} HolderSearch;

static bool
look_for_holder (pid_t pid, void *data)
{
  HolderSearch *search = data;
  if (process_holds (pid, search->inodes))
    {
      search->found = pid;
      search->count++;
    }
  return search->count > 1;
}

pid_t
cs_process_of_socket (int fd, GError **error)
{
  struct ucred peer = { 0 };
  struct sockaddr_un address = { 0 };
  socklen_t peer_length = sizeof peer, length = sizeof address - 1;
  if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_length) < 0
      || getpeername (fd, (struct sockaddr *)&address, &length) < 0)
    {
      cs_error_set_errno (error, errno, "cannot tell which process is QEMU");
      return 0;
    }
  /* The accepted socket is listed in our network namespace or in the listener's. */
  g_autoptr (GHashTable) inodes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *table = g_strdup_printf ("/proc/%d/net/unix", peer.pid);
  add_accepted (inodes, "/proc/net/unix", address.sun_path);
  add_accepted (inodes, table, address.sun_path);
  if (peer.pid > 0 && process_holds (peer.pid, inodes))
    return peer.pid;

  HolderSearch search = { inodes, 0, 0 };
  foreach_process (look_for_holder, &search);
  if (search.count == 1)
    return search.found;
  g_set_error (error, CS_ERROR, search.count == 0 ? CS_ERROR_PERMISSION : CS_ERROR_STATE,
               search.count == 0
                   ? "cannot tell which process is QEMU: none that /proc shows holds the "
                     "connection (is it in another pid namespace, or are we not root?)"
                   : "cannot tell which process is QEMU: several hold sockets of that name");
  return 0;
}

GStrv
cs_process_arguments (pid_t pid, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/cmdline", pid);
  g_autofree char *text = NULL;
  gsize length = 0;
  if (!g_file_get_contents (path, &text, &length, NULL) || length == 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_GONE, "process %d has ended", pid);
      return NULL;
    }
  GStrvBuilder *builder = g_strv_builder_new ();
  for (gsize at = 0; at < length; at += strlen (text + at) + 1)
    g_strv_builder_add (builder, text + at);
  GStrv arguments = g_strv_builder_end (builder);
  g_strv_builder_unref (builder);
  return arguments;
}

typedef struct
{
  const char *name, *uuid;
  pid_t found;
  guint count;
} DomainSearch;

/* libvirt writes a comma in a name twice. */
static bool
is_guest_name (const char *argument, const char *name)
{
  g_auto (GStrv) parts = g_strsplit (name, ",", -1);
  g_autofree char *escaped = g_strjoinv (",,", parts);
  g_autofree char *prefix = g_strconcat ("guest=", escaped, NULL);
  if (!g_str_has_prefix (argument, prefix))
    return false;
  const char *rest = argument + strlen (prefix);
  return rest[0] == '\0' || (rest[0] == ',' && rest[1] != ',');
}

static bool
look_for_domain (pid_t pid, void *data)
{
  DomainSearch *search = data;
  g_auto (GStrv) arguments = cs_process_arguments (pid, NULL);
  bool name = false, uuid = false;
  for (char **at = arguments; at != NULL && at[0] != NULL && at[1] != NULL; at++)
    {
      name = name || (g_str_equal (at[0], "-name") && is_guest_name (at[1], search->name));
      uuid = uuid || (g_str_equal (at[0], "-uuid") && g_str_equal (at[1], search->uuid));
    }
  if (name && uuid)
    {
      search->found = pid;
      search->count++;
    }
  return search->count > 1;
}

pid_t
cs_process_of_domain (const char *name, const char *uuid, GError **error)
{
  DomainSearch search = { name, uuid, 0, 0 };
  foreach_process (look_for_domain, &search);
  if (search.count == 1)
    return search.found;
  if (search.count == 0)
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                 "no process on this host has the arguments of QEMU for domain '%s'", name);
  else
    g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                 "two processes have the arguments of QEMU for domain '%s' (UUID %s): is it being "
                 "migrated within this host?",
                 name, uuid);
  return 0;
}

typedef struct
{
  const char *const *arguments; /* or */
  const char *program, *text;
  pid_t found;
} ArgumentSearch;

static bool
look_for_arguments (pid_t pid, void *data)
{
  ArgumentSearch *search = data;
  g_auto (GStrv) own = cs_process_arguments (pid, NULL);
  const char *const *wanted = search->arguments;
  guint i = 0;
  while (own != NULL && own[i] != NULL && wanted[i] != NULL && g_str_equal (own[i], wanted[i]))
    i++;
  if (i > 0 && wanted[i] == NULL)
    search->found = pid;
  return search->found != 0;
}

pid_t
cs_process_of_arguments (const char *const *arguments)
{
  ArgumentSearch search = { .arguments = arguments };
  foreach_process (look_for_arguments, &search);
  return search.found;
}

static bool
look_for_program (pid_t pid, void *data)
{
  ArgumentSearch *search = data;
  g_auto (GStrv) own = cs_process_arguments (pid, NULL);
  g_autofree char *base = own != NULL && own[0] != NULL ? g_path_get_basename (own[0]) : NULL;
  bool found = false;
  for (guint i = 1; g_strcmp0 (base, search->program) == 0 && own[i] != NULL && !found; i++)
    found = strstr (own[i], search->text) != NULL;
  if (found)
    search->found = pid;
  return found;
}

pid_t
cs_process_of_program (const char *program, const char *text)
{
  ArgumentSearch search = { .program = program, .text = text };
  foreach_process (look_for_program, &search);
  return search.found;
}

int
cs_process_open (pid_t pid, GError **error)
{
  int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  if (pidfd < 0)
    cs_error_set_errno (error, errno, "process %d", pid);
  return pidfd;
}

bool
cs_process_has_ended (int pidfd)
{
  return cs_process_wait_end (pidfd, 0);
}

bool
cs_process_wait_end (int pidfd, gint64 limit)
{
  struct pollfd descriptor = { pidfd, POLLIN, 0 };
  int ready;
  do
    ready = poll (&descriptor, 1, limit / 1000);
  while (ready < 0 && errno == EINTR);
  return ready != 0;
}

guint64
cs_process_start_time (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int)pid);
  g_autofree char *text = NULL;
  if (pid <= 0 || !g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  /* Field 2, the command, may hold anything but ends at the last parenthesis. */
  const char *rest = strrchr (text, ')');
  if (rest == NULL || rest[1] == '\0')
    return 0;
  g_auto (GStrv) fields = g_strsplit (rest + 2, " ", -1);
  /* One that waits for its parent to take notice has ended. */
  return g_strv_length (fields) > 19 && fields[0][0] != 'Z' && fields[0][0] != 'X'
             ? g_ascii_strtoull (fields[19], NULL, 10)
             : 0;
}

bool
cs_process_each_descriptor (pid_t pid, const char *prefix, CsDescriptorFunc func, gpointer data,
                            GError **error)
{
  const char *name;
  cs_autofd int pidfd = cs_process_open (pid, error);
  if (pidfd < 0)
    return false;
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      guint64 number;
      g_autofree char *link = g_build_filename (path, name, NULL);
      g_autofree char *target = g_file_read_link (link, NULL);
      if (target == NULL || !g_str_has_prefix (target, prefix)
          || !g_ascii_string_to_unsigned (name, 10, 0, G_MAXINT, &number, NULL))
        continue;
      cs_autofd int fd = (int)syscall (SYS_pidfd_getfd, pidfd, (int)number, 0);
      if (fd >= 0)
        func (fd, target, data);
    }
  return true;
}
