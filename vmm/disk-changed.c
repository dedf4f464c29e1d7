#include "config.h"

#include "vmm/block-nodes.h"
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
  g_autoptr (CsJson) nodes = cs_block_nodes_query (monitor, NULL);
  return nodes != NULL && find_changed (nodes, disk, name, bytes);
}
