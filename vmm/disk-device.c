#include "config.h"

#include "vmm/disk-device.h"

#include "vmm/disk-private.h"

char *
cs_disk_device_path (json_object *block)
{
  const char *qdev = cs_json_string (block, "qdev");
  return qdev == NULL || qdev[0] == '/' ? g_strdup (qdev)
                                        : g_strconcat ("/machine/peripheral/", qdev, NULL);
}

bool
cs_disk_device_give (CsMonitor *monitor, const char *path, const char *node, GError **error)
{
  return cs_monitor_execute (
      monitor, "qom-set", cs_json_strings ("path", path, "property", "drive", "value", node, NULL),
      NULL, error);
}
