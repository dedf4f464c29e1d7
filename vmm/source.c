#include "config.h"

#include "vmm/source.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/clone-network.h"
#include "vmm/launch.h"
#include "vmm/libvirt.h"
#include "vmm/process.h"
#include "vmm/qemu-option.h"
#include "vmm/source-argv.h"
#include "vmm/source-xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum
{
  DYING_TIMEOUT = 1000, /* ms for the kernel to take a killed QEMU apart */
};

static char *
read_link (pid_t pid, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", pid, name);
  return g_file_read_link (path, NULL);
}

static void
add_string (json_object *object, const char *key, const char *value)
{
  json_object_object_add (object, key, json_object_new_string (value));
}

/* The program by its file, so that the same QEMU is started again whatever PATH says; unless
 * that file was replaced since (an upgrade). */
static json_object *
argv_to_json (GStrv argv, const char *executable)
{
  json_object *array = json_object_new_array ();
  for (char **at = argv; *at != NULL; at++)
    json_object_array_add (array, json_object_new_string (*at));
  if (executable != NULL && !g_str_has_suffix (executable, " (deleted)"))
    json_object_array_put_idx (array, 0, json_object_new_string (executable));
  return array;
}

/* Which bridge each of its taps is on: a clone's taps are to be together likewise. */
static json_object *
find_taps (GStrv argv)
{
  json_object *taps = json_object_new_object ();
  for (char **at = argv; at[0] != NULL && at[1] != NULL; at++)
    {
      static const char *const options[] = { "-netdev", "-nic",  "-net", "--netdev",
                                             "--nic",   "--net", NULL };
      g_autoptr (CsQemuOption) option =
          g_strv_contains (options, at[0]) ? cs_qemu_option_parse (at[1], "type", NULL) : NULL;
      const char *ifname = option != NULL ? cs_qemu_option_get (option, "ifname") : NULL;
      g_autofree char *bridge = ifname != NULL ? cs_clone_network_bridge_of (ifname) : NULL;
      if (bridge != NULL)
        add_string (taps, ifname, bridge);
    }
  return taps;
}

static json_object *
capture_qmp (CsMonitor *monitor, const CsVmRef *ref, GError **error)
{
  pid_t pid = cs_monitor_pid (monitor);
  g_auto (GStrv) arguments = cs_process_arguments (pid, error);
  if (arguments == NULL)
    return NULL;
  g_auto (GStrv) argv = cs_source_argv_clean ((const char *const *)arguments, error);
  if (argv == NULL)
    {
      g_prefix_error (error, "%s: ", cs_monitor_name (monitor));
      return NULL;
    }
  g_autofree char *directory = read_link (pid, "cwd");
  g_autofree char *executable = read_link (pid, "exe");
  if (directory == NULL || !cs_monitor_is_alive (monitor))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_GONE, "%s has ended", cs_monitor_name (monitor));
      return NULL;
    }
  json_object *source = json_object_new_object ();
  add_string (source, "transport", "qmp");
  add_string (source, "socket", ref->qmp);
  json_object_object_add (source, "argv", argv_to_json (argv, executable));
  add_string (source, "directory", directory);
  json_object_object_add (source, "taps", find_taps (argv));
  return source;
}

static json_object *
capture_libvirt (CsMonitor *monitor, const CsVmRef *ref, GError **error)
{
  g_autofree char *live = cs_monitor_libvirt_xml (monitor, error);
  g_autofree char *xml = live != NULL ? cs_source_xml_strip_incoming (live, error) : NULL;
  g_autofree char *uuid = xml != NULL ? cs_source_xml_uuid (xml, error) : NULL;
  if (uuid == NULL)
    {
      g_prefix_error (error, "%s: ", cs_monitor_name (monitor));
      return NULL;
    }
  json_object *source = json_object_new_object ();
  add_string (source, "transport", "libvirt");
  add_string (source, "uri", ref->uri);
  add_string (source, "domain", ref->domain);
  add_string (source, "uuid", uuid);
  add_string (source, "xml", xml);
  return source;
}

json_object *
cs_source_capture (CsMonitor *monitor, const CsVmRef *ref, GError **error)
{
  return cs_monitor_is_libvirt (monitor) ? capture_libvirt (monitor, ref, error)
                                         : capture_qmp (monitor, ref, error);
}

/* A source out of a manifest, validated.  Strings are borrowed from the JSON. */
typedef struct
{
  const char *uri, *domain, *uuid, *xml; /* libvirt */
  const char *socket, *directory;        /* bare QEMU */
  const char **argv;                     /* as well; NULL for libvirt */
} Source;

static void
source_clear (Source *source)
{
  g_free (source->argv);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Source, source_clear)

static const char *
text_member (json_object *object, const char *key)
{
  json_object *member = NULL;
  if (!json_object_object_get_ex (object, key, &member)
      || !json_object_is_type (member, json_type_string))
    return NULL;
  const char *text = json_object_get_string (member);
  bool whole = *text != '\0' && strlen (text) == (gsize)json_object_get_string_len (member);
  return whole ? text : NULL;
}

static const char **
parse_argv (json_object *object)
{
  json_object *array = NULL;
  if (!json_object_object_get_ex (object, "argv", &array)
      || !json_object_is_type (array, json_type_array) || json_object_array_length (array) == 0)
    return NULL;
  gsize n = json_object_array_length (array);
  g_autofree const char **argv = g_new0 (const char *, n + 1);
  for (gsize i = 0; i < n; i++)
    {
      json_object *item = json_object_array_get_idx (array, i);
      if (!json_object_is_type (item, json_type_string))
        return NULL;
      argv[i] = json_object_get_string (item);
    }
  return g_steal_pointer (&argv);
}

static bool
source_parse (json_object *object, Source *source, GError **error)
{
  const char *transport = text_member (object, "transport");
  if (g_strcmp0 (transport, "libvirt") == 0)
    {
      source->uri = text_member (object, "uri");
      source->domain = text_member (object, "domain");
      source->uuid = text_member (object, "uuid");
      source->xml = text_member (object, "xml");
      if (source->uri != NULL && source->domain != NULL && source->uuid != NULL
          && source->xml != NULL)
        return true;
    }
  else if (g_strcmp0 (transport, "qmp") == 0)
    {
      source->socket = text_member (object, "socket");
      source->directory = text_member (object, "directory");
      source->argv = parse_argv (object);
      if (source->socket != NULL && source->directory != NULL && source->argv != NULL)
        return true;
    }
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "the manifest's \"source\" is incomplete: it tells neither a libvirt domain nor a "
               "QEMU");
  return false;
}

/* Whether the QEMU that took our connection into its queue lives: it greets us, or (busy with
 * another client) lets us wait.  One that was killed a moment ago still has its socket for some
 * milliseconds; then the connection ends. */
static bool
listener_lives (int fd)
{
  char byte;
  struct pollfd polled = { .fd = fd, .events = POLLIN };
  return poll (&polled, 1, DYING_TIMEOUT) == 0 || recv (fd, &byte, 1, MSG_PEEK) > 0;
}

static bool
check_socket_absent (const char *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (strlen (path) >= sizeof address.sun_path)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "'%s' is too long for the path of a unix socket", path);
      return false;
    }
  memcpy (address.sun_path, path, strlen (path) + 1);
  cs_autofd int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return cs_error_set_errno (error, errno, "cannot make a socket");
  bool connected = connect (fd, (struct sockaddr *)&address, sizeof address) == 0;
  if (connected && !listener_lives (fd))
    return true;
  if (connected || errno == EAGAIN)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                   "a QEMU is running at '%s': end it first (its guest's present state is lost "
                   "with it)",
                   path);
      return false;
    }
  return errno == ENOENT || errno == ECONNREFUSED
         || cs_error_set_errno (error, errno, "cannot look at '%s'", path);
}

static bool
check_domain_absent (virConnectPtr connection, const Source *source, GError **error)
{
  g_autoptr (virDomain) domain = virDomainLookupByName (connection, source->domain);
  if (domain == NULL)
    return virGetLastErrorCode () == VIR_ERR_NO_DOMAIN
           || cs_libvirt_set_error (error, "domain '%s'", source->domain);
  char uuid[VIR_UUID_STRING_BUFLEN];
  int active = virDomainIsActive (domain);
  if (active < 0 || virDomainGetUUIDString (domain, uuid) < 0)
    return cs_libvirt_set_error (error, "domain '%s'", source->domain);
  if (active == 1)
    g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                 "domain '%s' is running: shut it off first (virsh shutdown %s, or virsh destroy)",
                 source->domain, source->domain);
  else if (g_ascii_strcasecmp (uuid, source->uuid) != 0)
    g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
                 "another domain is called '%s' now (UUID %s, the snapshot's has %s): rename or "
                 "undefine it first",
                 source->domain, uuid, source->uuid);
  else
    return true;
  return false;
}

bool
cs_source_check_absent (json_object *object, GError **error)
{
  g_auto (Source) source = { 0 };
  if (!source_parse (object, &source, error))
    return false;
  if (source.argv != NULL)
    return check_socket_absent (source.socket, error);
  g_autoptr (virConnect) connection = cs_libvirt_connect (source.uri, error);
  return connection != NULL && check_domain_absent (connection, &source, error);
}

static CsMonitor *
launch_qmp (const Source *source, const char *log_path, GError **error)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  for (const char **at = source->argv; *at != NULL; at++)
    g_ptr_array_add (argv, (gpointer)*at);
  static const char *const more[] = { "-incoming", "defer", "-S", NULL };
  for (gsize i = 0; i < G_N_ELEMENTS (more); i++)
    g_ptr_array_add (argv, (gpointer)more[i]);
  return cs_launch_qemu ((const char *const *)argv->pdata, source->directory, source->socket,
                         log_path, error);
}

static CsMonitor *
launch_libvirt (const Source *source, GError **error)
{
  g_autofree char *xml = cs_source_xml_add_incoming (source->xml, error);
  g_autoptr (virConnect) connection = xml != NULL ? cs_libvirt_connect (source->uri, error) : NULL;
  if (connection == NULL || !check_domain_absent (connection, source, error))
    return NULL;
  g_autoptr (virDomain) domain = virDomainCreateXML (connection, xml, VIR_DOMAIN_START_PAUSED);
  if (domain == NULL)
    {
      cs_libvirt_set_error (error, "cannot start domain '%s'", source->domain);
      return NULL;
    }
  CsMonitor *monitor = cs_monitor_open_libvirt (source->uri, source->domain, error);
  if (monitor == NULL)
    virDomainDestroy (domain);
  return monitor;
}

CsMonitor *
cs_source_launch (json_object *object, const char *log_path, GError **error)
{
  g_auto (Source) source = { 0 };
  if (!source_parse (object, &source, error))
    return NULL;
  return source.argv != NULL ? launch_qmp (&source, log_path, error)
                             : launch_libvirt (&source, error);
}

void
cs_source_kill (json_object *object, CsMonitor *monitor)
{
  g_auto (Source) source = { 0 };
  if (monitor == NULL || !cs_monitor_is_alive (monitor) || !source_parse (object, &source, NULL))
    return;
  if (source.argv != NULL)
    {
      cs_launch_end (cs_monitor_pid (monitor));
      return;
    }
  g_autoptr (virConnect) connection = cs_libvirt_connect (source.uri, NULL);
  g_autoptr (virDomain) domain =
      connection != NULL ? virDomainLookupByUUIDString (connection, source.uuid) : NULL;
  if (domain != NULL)
    virDomainDestroy (domain);
}
