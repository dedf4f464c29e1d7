/* Theory of operation.  QEMU's query-chardev says whether the guest has a virtserialport open
 * ("frontend-open"), which it has exactly while an agent runs: a guest without one costs no
 * waiting. After a restore QEMU knows it from the loaded device state. */
#include "config.h"

#include "vmm/guest-port.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "vmm/disk-file.h"
#include "vmm/disk-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PORT_TYPE "child<virtserialport>"

static char *
get_string (CsMonitor *monitor, const char *path, const char *property)
{
  g_autoptr (CsJson) value = NULL;
  if (!cs_monitor_execute (monitor, "qom-get",
                           cs_json_strings ("path", path, "property", property, NULL), &value, NULL)
      || !json_object_is_type (value, json_type_string))
    return NULL;
  return g_strdup (json_object_get_string (value));
}

/* The chardev's name, or NULL when there is no such port under @container. */
static char *
find_in (CsMonitor *monitor, const char *container, const char *wanted)
{
  g_autoptr (CsJson) children = NULL;
  if (!cs_monitor_execute (monitor, "qom-list", cs_json_strings ("path", container, NULL),
                           &children, NULL))
    return NULL;
  for (gsize i = 0; i < cs_array_length (children); i++)
    {
      json_object *child = json_object_array_get_idx (children, i);
      const char *name = cs_json_string (child, "name");
      if (name == NULL || g_strcmp0 (cs_json_string (child, "type"), PORT_TYPE) != 0)
        continue;
      g_autofree char *path = g_build_path ("/", container, name, NULL);
      g_autofree char *port = get_string (monitor, path, "name");
      if (g_strcmp0 (port, wanted) == 0)
        return get_string (monitor, path, "chardev");
    }
  return NULL;
}

char *
cs_guest_port_find (CsMonitor *monitor, const char *name, GError **error)
{
  g_autofree char *chardev = find_in (monitor, "/machine/peripheral", name);
  g_autoptr (CsJson) list = NULL;
  if (chardev == NULL)
    chardev = find_in (monitor, "/machine/peripheral-anon", name);
  if (chardev == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "%s has no channel '%s' for a guest agent",
                   cs_monitor_name (monitor), name);
      return NULL;
    }
  if (!cs_monitor_execute (monitor, "query-chardev", NULL, &list, error))
    return NULL;
  for (gsize i = 0; i < cs_array_length (list); i++)
    {
      json_object *entry = json_object_array_get_idx (list, i);
      if (g_strcmp0 (cs_json_string (entry, "label"), chardev) != 0
          || !cs_member_true (entry, "frontend-open"))
        continue;
      const char *filename = cs_json_string (entry, "filename");
      return g_strdup (filename != NULL ? filename : "");
    }
  g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "%s: no guest agent runs in the guest",
               cs_monitor_name (monitor));
  return NULL;
}

/* "disconnected:unix:PATH,server=on": QEMU's char-socket.c. */
char *
cs_guest_port_socket_path (const char *filename, GError **error)
{
  static const char apart[] = "disconnected:", scheme[] = "unix:", server[] = ",server";
  bool connected = filename == NULL || !g_str_has_prefix (filename, apart);
  const char *rest = connected ? filename : filename + strlen (apart);
  const char *end = rest != NULL ? g_strrstr (rest, server) : NULL;
  if (end == NULL || !g_str_has_prefix (rest, scheme))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
                   "the guest agent's chardev is '%s', not a unix socket that listens",
                   filename ? filename : "?");
      return NULL;
    }
  if (connected)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                   "somebody else is connected to the guest agent's socket");
      return NULL;
    }
  rest += strlen (scheme);
  return g_strndup (rest, (gsize)(end - rest));
}

static int
connect_to (const char *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  cs_autofd int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "socket path '%s' is too long", path);
      return -1;
    }
  if (fd >= 0 && connect (fd, (struct sockaddr *)&address, sizeof address) == 0)
    return cs_fd_steal (&fd);
  cs_error_set_errno (error, errno, "cannot connect to the guest agent at '%s'", path);
  return -1;
}

int
cs_guest_port_connect (CsMonitor *monitor, const char *filename, GError **error)
{
  g_autofree char *path = cs_guest_port_socket_path (filename, error);
  g_autofree char *absolute =
      path != NULL ? cs_disk_file_absolute (cs_monitor_pid (monitor), path, error) : NULL;
  int fd = absolute != NULL ? connect_to (absolute, error) : -1;
  if (fd < 0)
    g_prefix_error (error, "%s: ", cs_monitor_name (monitor));
  return fd;
}
