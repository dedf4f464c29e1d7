#include "config.h"

#include "vmm/disk-private.h"

static bool
find_changed (json_object *nodes, const CsDisk *disk, const char *name, guint64 *bytes)
{
  for (gsize i = 0; i < cs_array_length (nodes); i++)
    {
      json_object *info = json_object_array_get_idx (nodes, i);
      if (g_strcmp0 (cs_json_string (info, "node-name"), disk->node) != 0)
        continue;
      json_object *bitmap = cs_disk_find_bitmap (info, name);
      *bytes = cs_json_uint (bitmap, "count", 0);
      return cs_member_true (bitmap, "recording");
    }
  return false;
}

bool
cs_disk_changed (CsMonitor *monitor, const CsDisk *disk, const char *name, guint64 *bytes)
{
  g_autoptr (CsJson) nodes = NULL;
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "flat", json_object_new_boolean (true));
  return cs_monitor_execute (monitor, "query-named-block-nodes", arguments, &nodes, NULL)
         && find_changed (nodes, disk, name, bytes);
}
