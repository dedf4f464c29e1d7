/* Networks, character devices, devices, objects, displays. */
#include "config.h"

#include "vmm/clone-argv-private.h"

#include "common/error.h"

#include <string.h>

static bool
is_among (const char *word, const char *const *words)
{
  return word != NULL && g_strv_contains (words, word);
}

static bool
has_prefix_among (const char *word, const char *const *prefixes)
{
  for (; *prefixes != NULL; prefixes++)
    if (g_str_has_prefix (word, *prefixes))
      return true;
  return false;
}

/* ---- networks ---- */

/* One bridge of the clone for each of the original's. */
static void
give_tap (CsCloneArgv *argv, CsQemuOption *option, const char *type)
{
  const char *ifname = cs_qemu_option_get (option, "ifname");
  const char *bridge = cs_qemu_option_get (option, "br");
  if (g_str_equal (type, "bridge") && bridge == NULL)
    bridge = "br0"; /* QEMU's default */
  if (bridge == NULL && ifname != NULL && argv->context->bridge_of != NULL)
    bridge = argv->context->bridge_of (ifname, argv->context->data);
  g_autofree char *network = g_strconcat ("bridge:", bridge != NULL ? bridge : "", NULL);
  const char *queues = cs_qemu_option_get (option, "queues");
  bool many = queues != NULL && !g_str_equal (queues, "1");
  const char *tap = cs_clone_plan_tap (cs_clone_plan_vm_plan (argv->vm), network, many);
  cs_qemu_option_remove (option, "br");
  cs_qemu_option_remove (option, "helper");
  cs_qemu_option_set (option, "type", "tap");
  cs_qemu_option_set (option, "ifname", tap);
  cs_qemu_option_set (option, "script", "no");
  cs_qemu_option_set (option, "downscript", "no");
}

static bool
check_user_network (CsCloneArgv *argv, const CsQemuOption *option, GError **error)
{
  static const char *const ports[] = { "hostfwd", "guestfwd", "smb", NULL };
  for (guint i = 0; i < cs_qemu_option_n (option); i++)
    {
      g_auto (GStrv) parts = g_strsplit (cs_qemu_option_key (option, i), ".", 2);
      if (!g_strv_contains (ports, parts[0]))
        continue;
      cs_clone_argv_refuse (argv, error,
                            "'%s' takes a port or directory of the host, which the original has",
                            parts[0]);
      return false;
    }
  return true;
}

char *
cs_clone_argv_netdev (CsCloneArgv *argv, const char *text, GError **error)
{
  static const char *const harmless[] = { "none", "hubport", "nic", NULL };
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "type", error);
  if (option == NULL)
    return NULL;
  g_autofree char *type = g_strdup (cs_qemu_option_get (option, "type"));
  bool user = g_strcmp0 (type, "user") == 0;
  if (is_among (type, harmless) || (user && check_user_network (argv, option, error)))
    return g_strdup (text);
  if (user)
    return NULL;
  if (g_strcmp0 (type, "tap") == 0 || g_strcmp0 (type, "bridge") == 0)
    {
      give_tap (argv, option, type);
      return cs_qemu_option_format (option);
    }
  cs_clone_argv_refuse (argv, error,
                        "a clone cannot have its own network of type '%s': only tap, bridge "
                        "and user",
                        type != NULL ? type : "?");
  return NULL;
}

/* ---- character devices ---- */

static bool
rewrite_socket (CsCloneArgv *argv, CsQemuOption *option, GError **error)
{
  if (cs_qemu_option_get (option, "path") == NULL)
    cs_clone_argv_refuse (argv, error,
                          "it takes a fixed port of the host: use a unix socket instead");
  else if (cs_qemu_option_is_on (option, "abstract"))
    cs_clone_argv_refuse (argv, error, "an abstract socket has no file that a clone could move");
  else if (!cs_qemu_option_is_on (option, "server"))
    cs_clone_argv_refuse (argv, error,
                          "it connects to a server on the host, which serves the original");
  else
    {
      cs_clone_argv_map_key (argv, option, "path");
      return true;
    }
  return false;
}

static bool
rewrite_backend (CsCloneArgv *argv, CsQemuOption *option, const char *backend, GError **error)
{
  static const char *const harmless[] = { "null",      "vc",      "ringbuf",      "memory",
                                          "pty",       "stdio",   "mux",          "spicevmc",
                                          "spiceport", "msmouse", "wctablet",     "testdev",
                                          "hub",       "none",    "qemu-vdagent", "dbus",
                                          "chardev",   NULL };
  if (is_among (backend, harmless))
    return true;
  if (g_strcmp0 (backend, "socket") == 0)
    return rewrite_socket (argv, option, error);
  if (g_strcmp0 (backend, "file") == 0 && cs_qemu_option_get (option, "input-path") == NULL)
    {
      cs_clone_argv_map_key (argv, option, "path");
      return true;
    }
  cs_clone_argv_refuse (argv, error,
                        "a clone cannot have its own '%s': only unix sockets, files and what "
                        "needs nothing of the host",
                        backend != NULL ? backend : "?");
  return false;
}

char *
cs_clone_argv_chardev (CsCloneArgv *argv, const char *text, GError **error)
{
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "backend", error);
  if (option == NULL
      || !rewrite_backend (argv, option, cs_qemu_option_get (option, "backend"), error))
    return NULL;
  cs_clone_argv_map_key (argv, option, "logfile");
  return cs_qemu_option_format (option);
}

/* "unix:PATH,server=on", "mon:…", "chardev:ID", "file:PATH", "stdio", … */
char *
cs_clone_argv_character (CsCloneArgv *argv, const char *text, GError **error)
{
  if (g_str_has_prefix (text, "mon:"))
    {
      g_autofree char *rest = cs_clone_argv_character (argv, text + 4, error);
      return rest != NULL ? g_strconcat ("mon:", rest, NULL) : NULL;
    }
  const char *colon = strchr (text, ':');
  g_autofree char *kind =
      g_strndup (text, colon != NULL ? (gsize)(colon - text) : strcspn (text, ","));
  bool is_unix = g_str_equal (kind, "unix");
  const char *rest = colon != NULL ? colon + 1 : "";
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (is_unix ? rest : "", "path", error);
  if (option == NULL)
    return NULL;
  if (is_unix)
    {
      if (!rewrite_socket (argv, option, error))
        return NULL;
      cs_clone_argv_map_key (argv, option, "logfile");
      g_autofree char *format = cs_qemu_option_format (option);
      return g_strconcat ("unix:", format, NULL);
    }
  if (g_str_equal (kind, "file"))
    {
      g_autofree char *path = cs_qemu_option_escape (cs_clone_argv_map (argv, rest));
      return g_strconcat ("file:", path, NULL);
    }
  if (g_str_equal (kind, "socket") || strstr (text, "logfile=") != NULL
      || !rewrite_backend (argv, option, kind, error))
    {
      if (error == NULL || *error == NULL)
        cs_clone_argv_refuse (argv, error, "clusnap does not know this form");
      return NULL;
    }
  return g_strdup (text);
}

/* ---- devices ---- */

static bool
is_vmgenid (const CsQemuOption *option)
{
  return g_strcmp0 (cs_qemu_option_get (option, "driver"), "vmgenid") == 0;
}

char *
cs_clone_argv_device (CsCloneArgv *argv, const char *text, GError **error)
{
  static const char *const refused[] = {
    "vfio",    "vhost-",     "ivshmem",           "usb-host",
    "usb-mtp", "tpm-",       "virtio-input-host", "scsi-generic",
    "u2f-",    "ccid-card-", "kvm-pci-assign",    "xen-",
    NULL
  };
  static const char *const keys[] = { "host",     "hostdev",  "hostbus", "hostaddr",
                                      "hostport", "sysfsdev", "evdev",   "rootdir",
                                      "path",     "filename", NULL };
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "driver", error);
  if (option == NULL)
    return NULL;
  const char *driver = cs_qemu_option_get (option, "driver");
  if (driver == NULL || has_prefix_among (driver, refused))
    {
      cs_clone_argv_refuse (argv, error,
                            "device '%s' is, or uses, something of the host that "
                            "two VMs cannot share",
                            driver != NULL ? driver : "?");
      return NULL;
    }
  for (guint i = 0; i < cs_qemu_option_n (option); i++)
    if (is_among (cs_qemu_option_key (option, i), keys))
      {
        cs_clone_argv_refuse (argv, error, "'%s' names something of the host",
                              cs_qemu_option_key (option, i));
        return NULL;
      }
  if (is_vmgenid (option))
    {
      g_autofree char *generation = g_uuid_string_random ();
      cs_qemu_option_set (option, "guid", generation);
    }
  return cs_qemu_option_format (option);
}

/* A directory (hugetlbfs) gives each QEMU its own; a file is one. */
static void
rewrite_memory_file (CsCloneArgv *argv, CsQemuOption *option)
{
  const char *path = cs_qemu_option_get (option, "mem-path");
  bool own = path == NULL || cs_qemu_option_is_on (option, "readonly")
             || g_file_test (path, G_FILE_TEST_IS_DIR);
  if (own)
    return;
  g_autofree char *absolute = cs_clone_argv_absolute (argv, path);
  cs_qemu_option_set (option, "mem-path", cs_clone_plan_vm_beside (argv->vm, absolute));
}

char *
cs_clone_argv_object (CsCloneArgv *argv, const char *text, GError **error)
{
  static const char *const harmless[] = { "memory-backend-ram",
                                          "memory-backend-memfd",
                                          "memory-backend-shm",
                                          "iothread",
                                          "throttle-group",
                                          "main-loop",
                                          "thread-context",
                                          "rng-random",
                                          "rng-builtin",
                                          "rng-egd",
                                          "secret",
                                          "secret_keyring",
                                          "tls-creds-x509",
                                          "tls-creds-psk",
                                          "tls-creds-anon",
                                          "tls-cipher-suites",
                                          "authz-simple",
                                          "authz-list",
                                          "authz-list-file",
                                          "authz-pam",
                                          "cryptodev-backend",
                                          "cryptodev-backend-builtin",
                                          "filter-buffer",
                                          "filter-replay",
                                          "acpi-generic-initiator",
                                          NULL };
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "qom-type", error);
  if (option == NULL)
    return NULL;
  const char *type = cs_qemu_option_get (option, "qom-type");
  if (is_among (type, harmless))
    return g_strdup (text);
  if (g_strcmp0 (type, "memory-backend-file") == 0)
    rewrite_memory_file (argv, option);
  else if (g_strcmp0 (type, "filter-dump") == 0)
    cs_clone_argv_map_key (argv, option, "file");
  else
    {
      cs_clone_argv_refuse (argv, error, "clusnap does not know whether two VMs can share a '%s'",
                            type != NULL ? type : "?");
      return NULL;
    }
  return cs_qemu_option_format (option);
}

/* ---- displays ---- */

/* The first free port from 5900 on. */
char *
cs_clone_argv_vnc (CsCloneArgv *argv, const char *text, GError **error)
{
  static const char *const refused[] = { "reverse", "websocket", NULL };
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "vnc", error);
  if (option == NULL)
    return NULL;
  const char *where = cs_qemu_option_get (option, "vnc");
  for (guint i = 0; i < cs_qemu_option_n (option); i++)
    if (is_among (cs_qemu_option_key (option, i), refused))
      {
        cs_clone_argv_refuse (argv, error, "'%s' takes a fixed port",
                              cs_qemu_option_key (option, i));
        return NULL;
      }
  if (where == NULL || g_str_equal (where, "none"))
    return g_strdup (text);
  if (g_str_has_prefix (where, "unix:"))
    {
      g_autofree char *path = g_strconcat ("unix:", cs_clone_argv_map (argv, where + 5), NULL);
      cs_qemu_option_set (option, "vnc", path);
      return cs_qemu_option_format (option);
    }
  const char *colon = strrchr (where, ':');
  if (colon == NULL)
    {
      cs_clone_argv_refuse (argv, error, "clusnap does not know this form");
      return NULL;
    }
  g_autofree char *host = g_strndup (where, (gsize)(colon - where));
  g_autofree char *free_port = g_strconcat (host, ":0", NULL);
  cs_qemu_option_set (option, "vnc", free_port);
  cs_qemu_option_set (option, "to", "999");
  return cs_qemu_option_format (option);
}

char *
cs_clone_argv_spice (CsCloneArgv *argv, const char *text, GError **error)
{
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, NULL, error);
  if (option == NULL)
    return NULL;
  if (cs_qemu_option_get (option, "port") != NULL
      || cs_qemu_option_get (option, "tls-port") != NULL)
    {
      cs_clone_argv_refuse (argv, error, "it takes a fixed port: use unix=on,addr=PATH instead");
      return NULL;
    }
  if (cs_qemu_option_is_on (option, "unix"))
    cs_clone_argv_map_key (argv, option, "addr");
  return cs_qemu_option_format (option);
}

char *
cs_clone_argv_display (CsCloneArgv *argv, const char *text, GError **error)
{
  if (g_str_has_prefix (text, "vnc="))
    {
      g_autofree char *rest = cs_clone_argv_vnc (argv, text + 4, error);
      return rest != NULL ? g_strconcat ("vnc=", rest, NULL) : NULL;
    }
  if (!g_str_has_prefix (text, "spice-app") && !g_str_has_prefix (text, "dbus"))
    return g_strdup (text);
  cs_clone_argv_refuse (argv, error, "two VMs cannot share it");
  return NULL;
}

char *
cs_clone_argv_audiodev (CsCloneArgv *argv, const char *text, GError **error)
{
  g_autoptr (CsQemuOption) option = cs_qemu_option_parse (text, "driver", error);
  if (option == NULL)
    return NULL;
  if (g_strcmp0 (cs_qemu_option_get (option, "driver"), "wav") == 0)
    cs_clone_argv_map_key (argv, option, "path");
  return cs_qemu_option_format (option);
}
