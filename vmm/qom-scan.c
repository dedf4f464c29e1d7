#include "config.h"

#include "vmm/qom-scan.h"

#include "common/error.h"
#include "vmm/network-listing.h"

#include <string.h>

static const char vhost_user[] =
    "another process serves it and writes the guest's memory unseen: use QEMU's own device";
static const char direct[] = "the hardware writes the guest's memory unseen: use a virtio device";
static const char shared[] = "other guests or processes write its memory unseen: take it away";
static const char kernel_disk[] =
    "its disks are the kernel's, not QEMU's, and cannot be captured with it: use virtio-scsi";

static const struct
{
  const char *prefix;
  const char *reason;
} refused[] = {
  { "vhost-user-", vhost_user }, { "vfio-", direct },   { "vhost-vdpa-", direct },
  { "x-vfio-user", vhost_user }, { "ivshmem", shared }, { "vhost-scsi", kernel_disk },
};

const char *
cs_qom_refused_type (const char *type)
{
  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    if (g_str_has_prefix (type, refused[i].prefix))
      return refused[i].reason;
  return NULL;
}

/* @type: "child<virtio-net-pci>". */
static char *
child_type (const char *type)
{
  if (!g_str_has_prefix (type, "child<") || !g_str_has_suffix (type, ">"))
    return NULL;
  return g_strndup (type + strlen ("child<"), strlen (type) - strlen ("child<>"));
}

static bool
check_children (CsMonitor *monitor, json_object *children, GError **error)
{
  for (gsize i = 0; i < json_object_array_length (children); i++)
    {
      json_object *child = json_object_array_get_idx (children, i), *type = NULL, *name = NULL;
      if (!json_object_object_get_ex (child, "type", &type)
          || !json_object_object_get_ex (child, "name", &name))
        continue;
      g_autofree char *class = child_type (json_object_get_string (type));
      const char *reason = class != NULL ? cs_qom_refused_type (class) : NULL;
      if (reason == NULL)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_REFUSED, "%s has device '%s' (%s): %s",
                   cs_monitor_name (monitor), json_object_get_string (name), class, reason);
      return false;
    }
  return true;
}

/* Every device that a user can add is a child of one of these two. */
bool
cs_qom_scan_devices (CsMonitor *monitor, GError **error)
{
  static const char *const containers[] = { "/machine/peripheral", "/machine/peripheral-anon" };
  for (gsize i = 0; i < G_N_ELEMENTS (containers); i++)
    {
      json_object *children = NULL, *arguments = json_object_new_object ();
      json_object_object_add (arguments, "path", json_object_new_string (containers[i]));
      if (!cs_monitor_execute (monitor, "qom-list", arguments, &children, error))
        return false;
      bool good = check_children (monitor, children, error);
      json_object_put (children);
      if (!good)
        return false;
    }
  return true;
}

char *
cs_qom_refused_netdev (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      g_autofree char *id = NULL;
      const char *type;
      if (cs_network_listing_parse (*line, &id, &type)
          && (g_str_has_prefix (type, "vhost-user") || g_str_has_prefix (type, "vhost-vdpa")))
        return g_steal_pointer (&id);
    }
  return NULL;
}

bool
cs_qom_scan_netdevs (CsMonitor *monitor, GError **error)
{
  g_autofree char *text = cs_network_listing_query (monitor, error);
  if (text == NULL)
    return false;
  g_autofree char *id = cs_qom_refused_netdev (text);
  if (id == NULL)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "%s has network backend '%s' of type vhost-user or vhost-vdpa, which writes the "
               "guest's memory unseen: use a tap device (vhost=on is fine)",
               cs_monitor_name (monitor), id);
  return false;
}
