#include "config.h"

#include "vmm/clone-xml-private.h"

#include <string.h>

/* ---- disks ---- */

/* <backingStore> for the disk's server.  Given in the XML, libvirt does not look into the
 * overlay's header, and QEMU waits for a server that is started anew. */
static void
add_backing (const CsCloneXml *context, xmlNode *disk, xmlNode *source, const char *name)
{
  g_autofree char *delay = g_strdup_printf ("%d", CS_CLONE_RECONNECT);
  xmlNode *backing = xmlNewNode (NULL, XML ("backingStore"));
  xmlAddNextSibling (source, backing);
  cs_clone_xml_set (backing, "type", "network");
  cs_clone_xml_set (xmlNewChild (backing, NULL, XML ("format"), NULL), "type", "raw");
  xmlNode *server = xmlNewChild (backing, NULL, XML ("source"), NULL);
  cs_clone_xml_set (server, "protocol", "nbd");
  cs_clone_xml_set (server, "name", name);
  xmlNode *host = xmlNewChild (server, NULL, XML ("host"), NULL);
  cs_clone_xml_set (host, "transport", "unix");
  cs_clone_xml_set (host, "socket", cs_clone_plan_vm_member (context->vm, "socket"));
  cs_clone_xml_set (xmlNewChild (server, NULL, XML ("reconnect"), NULL), "delay", delay);
  xmlNewChild (backing, NULL, XML ("backingStore"), NULL);
}

static bool
is_read_only (const xmlNode *disk)
{
  g_autofree char *device = cs_clone_xml_attribute (disk, "device");
  return g_strcmp0 (device, "cdrom") == 0 || cs_clone_xml_child (disk, "readonly") != NULL;
}

static bool
check_disk (const CsCloneXml *context, const xmlNode *disk, GError **error)
{
  static const char *const refused[] = { "shareable", "mirror", "transient", "encryption", NULL };
  for (const char *const *name = refused; *name != NULL; name++)
    if (cs_clone_xml_child (disk, *name) != NULL)
      return cs_clone_xml_refuse (context, disk, error, "it has <%s>", *name);
  return true;
}

static bool
rewrite_disk (CsCloneXml *context, xmlNode *disk, GError **error)
{
  xmlNode *source = cs_clone_xml_child (disk, "source");
  g_autofree char *file = cs_clone_xml_attribute (source, "file");
  g_autofree char *device = file == NULL ? cs_clone_xml_attribute (source, "dev") : NULL;
  const char *original = file != NULL ? file : device;
  if (source == NULL || is_read_only (disk))
    return true;
  if (!check_disk (context, disk, error))
    return false;
  const char *overlay = original != NULL ? cs_clone_plan_vm_overlay (context->vm, original) : NULL;
  if (overlay == NULL)
    return cs_clone_xml_refuse (context, disk, error,
                                "'%s' is neither a disk of the snapshot nor read-only: two VMs "
                                "cannot both write to it",
                                original != NULL ? original : "(no file)");
  const char *name = cs_clone_plan_vm_disk_name (context->vm, original);
  cs_clone_xml_set (disk, "type", "file");
  cs_clone_xml_remove (cs_clone_xml_child (disk, "backingStore"));
  xmlNode *own = xmlNewNode (NULL, XML ("source"));
  cs_clone_xml_set (own, "file", overlay);
  xmlReplaceNode (source, own);
  xmlFreeNode (source);
  add_backing (context, disk, own, name);
  xmlNode *driver = cs_clone_xml_child (disk, "driver");
  if (driver == NULL)
    driver = xmlNewChild (disk, NULL, XML ("driver"), NULL);
  cs_clone_xml_set (driver, "name", "qemu");
  cs_clone_xml_set (driver, "type", "qcow2");
  return true;
}

/* ---- networks ---- */

static bool
rewrite_interface (CsCloneXml *context, xmlNode *interface, GError **error)
{
  static const char *const dropped[] = { "target",    "virtualport", "vlan", "filterref",
                                         "bandwidth", "portForward", NULL };
  xmlNode *source = cs_clone_xml_child (interface, "source");
  g_autofree char *type = cs_clone_xml_attribute (interface, "type");
  g_autofree char *bridge = cs_clone_xml_attribute (source, "bridge");
  g_autofree char *network = cs_clone_xml_attribute (source, "network");
  if (g_strcmp0 (type, "user") == 0 && cs_clone_xml_child (interface, "portForward") == NULL)
    return true;
  bool known = (g_strcmp0 (type, "bridge") == 0 && bridge != NULL)
               || (g_strcmp0 (type, "network") == 0 && network != NULL);
  if (!known)
    return cs_clone_xml_refuse (context, interface, error,
                                "a clone cannot have its own network of type '%s': only "
                                "bridge and network",
                                type != NULL ? type : "?");
  /* A running domain's XML says which bridge its network is; another VM may name that. */
  g_autofree char *key = bridge != NULL ? g_strconcat ("bridge:", bridge, NULL)
                                        : g_strconcat ("network:", network, NULL);
  for (const char *const *name = dropped; *name != NULL; name++)
    cs_clone_xml_remove (cs_clone_xml_child (interface, *name));
  cs_clone_xml_set (interface, "type", "bridge");
  xmlNode *own = xmlNewNode (NULL, XML ("source"));
  cs_clone_xml_set (own, "bridge", cs_clone_plan_bridge (cs_clone_plan_vm_plan (context->vm), key));
  xmlReplaceNode (source, own);
  xmlFreeNode (source);
  return true;
}

/* ---- character devices ---- */

/* libvirt names these itself when nothing is said. */
static bool
is_libvirts_own (const char *path)
{
  static const char *const prefixes[] = { "/var/lib/libvirt/qemu/", "/run/libvirt/qemu/",
                                          "/var/run/libvirt/qemu/" };
  for (gsize i = 0; i < G_N_ELEMENTS (prefixes); i++)
    if (g_str_has_prefix (path, prefixes[i]))
      return true;
  return false;
}

static bool
rewrite_unix (CsCloneXml *context, xmlNode *node, xmlNode *source, GError **error)
{
  g_autofree char *mode = cs_clone_xml_attribute (source, "mode");
  g_autofree char *path = cs_clone_xml_attribute (source, "path");
  if (path == NULL)
    return true;
  if (g_strcmp0 (mode, "bind") != 0)
    return cs_clone_xml_refuse (context, node, error,
                                "it connects to '%s', whose server serves the original", path);
  if (is_libvirts_own (path))
    cs_clone_xml_remove (source);
  else
    cs_clone_xml_set (source, "path", cs_clone_plan_vm_path (context->vm, path));
  return true;
}

static bool
rewrite_character (CsCloneXml *context, xmlNode *node, GError **error)
{
  static const char *const harmless[] = { "null",         "vc",   "spicevmc", "spiceport",
                                          "qemu-vdagent", "dbus", "stdio",    NULL };
  xmlNode *source = cs_clone_xml_child (node, "source");
  xmlNode *log = cs_clone_xml_child (node, "log");
  g_autofree char *type = cs_clone_xml_attribute (node, "type");
  g_autofree char *log_file = cs_clone_xml_attribute (log, "file");
  if (log_file != NULL)
    cs_clone_xml_set (log, "file", cs_clone_plan_vm_path (context->vm, log_file));
  if (g_strcmp0 (type, "unix") == 0)
    return rewrite_unix (context, node, source, error);
  if (g_strcmp0 (type, "pty") == 0)
    {
      cs_clone_xml_remove (source);
      cs_clone_xml_unset (node, "tty");
      return true;
    }
  g_autofree char *path = cs_clone_xml_attribute (source, "path");
  if (g_strcmp0 (type, "file") == 0 && path != NULL)
    {
      cs_clone_xml_set (source, "path", cs_clone_plan_vm_path (context->vm, path));
      return true;
    }
  if (type != NULL && g_strv_contains (harmless, type))
    return true;
  return cs_clone_xml_refuse (context, node, error,
                              "a clone cannot have its own of type '%s': only unix, file and pty",
                              type != NULL ? type : "?");
}

/* ---- the rest ---- */

/* The next free port, as libvirt chooses it. */
static bool
rewrite_graphics (CsCloneXml *context, xmlNode *graphics, GError **error)
{
  g_autofree char *socket = cs_clone_xml_attribute (graphics, "socket");
  g_autofree char *port = cs_clone_xml_attribute (graphics, "port");
  if (port != NULL)
    {
      cs_clone_xml_set (graphics, "port", "-1");
      cs_clone_xml_set (graphics, "autoport", "yes");
    }
  cs_clone_xml_unset (graphics, "tlsPort");
  cs_clone_xml_unset (graphics, "websocket");
  if (socket != NULL)
    cs_clone_xml_set (graphics, "socket", cs_clone_plan_vm_path (context->vm, socket));
  for (xmlNode *node = graphics->children; node != NULL; node = node->next)
    {
      g_autofree char *own =
          cs_clone_xml_is (node, "listen") ? cs_clone_xml_attribute (node, "socket") : NULL;
      if (own != NULL && is_libvirts_own (own))
        cs_clone_xml_unset (node, "socket");
      else if (own != NULL)
        cs_clone_xml_set (node, "socket", cs_clone_plan_vm_path (context->vm, own));
    }
  return true;
}

static bool
rewrite_rng (CsCloneXml *context, xmlNode *rng, GError **error)
{
  xmlNode *backend = cs_clone_xml_child (rng, "backend");
  g_autofree char *model = cs_clone_xml_attribute (backend, "model");
  if (g_strcmp0 (model, "random") == 0 || g_strcmp0 (model, "builtin") == 0)
    return true;
  return cs_clone_xml_refuse (context, rng, error, "its backend is '%s'", model ? model : "?");
}

static bool
check_memory (CsCloneXml *context, xmlNode *memory, GError **error)
{
  g_autofree char *model = cs_clone_xml_attribute (memory, "model");
  if (g_strcmp0 (model, "dimm") == 0 || g_strcmp0 (model, "virtio-mem") == 0)
    return true;
  return cs_clone_xml_refuse (context, memory, error, "its model is '%s'", model ? model : "?");
}

static bool
check_file_system (CsCloneXml *context, xmlNode *node, GError **error)
{
  return cs_clone_xml_child (node, "readonly") != NULL
         || cs_clone_xml_refuse (context, node, error,
                                 "both VMs would write to the same directory of the host");
}

static bool
check_input (CsCloneXml *context, xmlNode *input, GError **error)
{
  return cs_clone_xml_child (input, "source") == NULL
         || cs_clone_xml_refuse (context, input, error, "it is a device of the host");
}

static bool
check_audio (CsCloneXml *context, xmlNode *audio, GError **error)
{
  g_autofree char *type = cs_clone_xml_attribute (audio, "type");
  return g_strcmp0 (type, "file") != 0
         || cs_clone_xml_refuse (context, audio, error, "both VMs would write to the same file");
}

typedef struct
{
  const char *name;
  bool (*func) (CsCloneXml *context, xmlNode *device, GError **error); /* NULL: harmless */
} Known;

static const Known known[] = {
  { "audio", check_audio },
  { "channel", rewrite_character },
  { "console", rewrite_character },
  { "controller", NULL },
  { "crypto", NULL },
  { "disk", rewrite_disk },
  { "emulator", NULL },
  { "filesystem", check_file_system },
  { "graphics", rewrite_graphics },
  { "hub", NULL },
  { "input", check_input },
  { "interface", rewrite_interface },
  { "iommu", NULL },
  { "memballoon", NULL },
  { "memory", check_memory },
  { "nvram", NULL },
  { "panic", NULL },
  { "parallel", rewrite_character },
  { "redirdev", rewrite_character },
  { "redirfilter", NULL },
  { "rng", rewrite_rng },
  { "serial", rewrite_character },
  { "sound", NULL },
  { "video", NULL },
  { "watchdog", NULL },
};

static bool
rewrite_device (CsCloneXml *context, xmlNode *device, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (known); i++)
    if (cs_clone_xml_is (device, known[i].name))
      return known[i].func == NULL || known[i].func (context, device, error);
  return cs_clone_xml_refuse (context, device, error,
                              "it is, or uses, something of the host that two VMs cannot share");
}

bool
cs_clone_xml_devices (CsCloneXml *context, xmlNode *devices, GError **error)
{
  for (xmlNode *node = devices->children, *next; node != NULL; node = next)
    {
      next = node->next;
      if (node->type == XML_ELEMENT_NODE && !rewrite_device (context, node, error))
        return false;
    }
  return true;
}
