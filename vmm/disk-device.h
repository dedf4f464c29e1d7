/* A guest's disk device, and the node that it has; private to disk.h's files and the lazy disks. */
#ifndef CS_VMM_DISK_DEVICE_H
#define CS_VMM_DISK_DEVICE_H

#include "vmm/monitor.h"

#include <json.h>

/* The QOM path of an entry of query-block, which tells a device's id, or its path where it has none
 * (g_free); NULL: no device. */
char *cs_disk_device_path (json_object *block);

/* Gives the device at @path node @node, at once, whether or not the VM runs. */
bool cs_disk_device_give (CsMonitor *monitor, const char *path, const char *node, GError **error);

#endif
