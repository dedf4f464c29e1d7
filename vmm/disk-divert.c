/* Theory of operation.
 *
 * A guest's device shares its disk with readers only, stopped or not: an NBD export that writes to
 * the disk's node is refused ("Permission conflict").  Nothing but the device itself can give that
 * up, by having another node.  Setting a device's property "drive" gives it one, also while
 * the guest runs; that is done for each disk once before the pause, and undone once after it.  In
 * the pause one blockdev-reopen for all disks exchanges what lies below two nodes of ours:
 *
 *   VM runs                              we write
 *
 *   device      export (connected)       device      export
 *     |           |                        |           |
 *   front       back                     front       back
 *     |           |                           \     /
 *   disk        empty                          \   /
 *                                               \ /
 *                                               / \
 *                                           empty  disk
 *
 * front and back are raw nodes without an offset, which pass all on; empty is a null-co node of the
 * disk's size.  What a device has at the top may be a filter above the disk's node (limits):
 * front stands above that, back above the disk's node.  hold, a read-only raw node, keeps the top
 * alive, which with -drive only the device does, and tells a cleanup what the device had.
 *
 * A reopen flushes the node that it reopens: what was written is in the file when
 * cs_disk_divert_switch is back. */
#include "config.h"

#include "vmm/disk-divert.h"

#include "common/error.h"
#include "vmm/disk-device.h"
#include "vmm/disk-private.h"

#include <string.h>

typedef struct
{
  char *node;   /* the disk's */
  char *top;    /* what the device has: @node or a filter above it */
  char *device; /* QOM path; NULL: no device has it */
} Diverted;

struct CsDiskDivert
{
  CsMonitor *monitor;
  GPtrArray *disks; /* of Diverted */
};

static void
diverted_free (Diverted *diverted)
{
  g_free (diverted->node);
  g_free (diverted->top);
  g_free (diverted->device);
  g_free (diverted);
}

/* The options of front and back; discards and zeros are passed on, the disk decides. */
static json_object *
raw_node (const char *name, const char *below)
{
  return cs_json_strings ("driver", "raw", "node-name", name, "file", below, "discard", "unmap",
                          NULL);
}

static char *
front_name (guint i)
{
  return g_strdup_printf (CS_DISK_FRONT "%u", i);
}

static bool
add_nodes (CsDiskDivert *divert, guint i, guint64 size, GError **error)
{
  const Diverted *disk = divert->disks->pdata[i];
  g_autofree char *empty = g_strdup_printf (CS_DISK_EMPTY "%u", i);
  g_autofree char *hold = g_strdup_printf (CS_DISK_HOLD "%u", i);
  g_autofree char *front = front_name (i);
  g_autofree char *back = g_strdup_printf (CS_DISK_BACK "%u", i);
  json_object *null = cs_json_strings ("driver", "null-co", "node-name", empty, NULL);
  json_object *holder =
      cs_json_strings ("driver", "raw", "node-name", hold, "file", disk->top, NULL);
  json_object_object_add (null, "size", json_object_new_int64 ((gint64)size));
  json_object_object_add (holder, "read-only", json_object_new_boolean (true));
  json_object *nodes[] = { null, holder, raw_node (front, disk->top), raw_node (back, empty) };
  bool ok = true;
  for (gsize n = 0; n < G_N_ELEMENTS (nodes); n++)
    if (ok)
      ok = cs_monitor_execute (divert->monitor, "blockdev-add", nodes[n], NULL, error);
    else
      json_object_put (nodes[n]);
  return ok;
}

static Diverted *
find_disk (const CsDisk *disk, json_object *blocks, const CsBlockGraph *graph)
{
  for (gsize i = 0; i < cs_array_length (blocks); i++)
    {
      json_object *block = json_object_array_get_idx (blocks, i);
      const char *top = cs_json_string (cs_member (block, "inserted"), "node-name");
      if (top == NULL || g_strcmp0 (cs_block_graph_skip_filters (graph, top), disk->node) != 0)
        continue;
      Diverted *diverted = g_new0 (Diverted, 1);
      diverted->node = g_strdup (disk->node);
      diverted->top = g_strdup (top);
      diverted->device = cs_disk_device_path (block);
      return diverted;
    }
  return NULL;
}

CsDiskDivert *
cs_disk_divert_new (CsMonitor *monitor, GPtrArray *disks, const CsBlockGraph *graph, GError **error)
{
  g_autoptr (CsDiskDivert) divert = g_new0 (CsDiskDivert, 1);
  divert->monitor = monitor;
  divert->disks = g_ptr_array_new_with_free_func ((GDestroyNotify)diverted_free);
  g_autoptr (CsJson) blocks = NULL;
  if (!cs_monitor_execute (monitor, "query-block", NULL, &blocks, error))
    return NULL;
  for (guint i = 0; i < disks->len; i++)
    {
      const CsDisk *disk = disks->pdata[i];
      Diverted *diverted = find_disk (disk, blocks, graph);
      if (diverted == NULL)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_STATE, "%s: disk '%s' was taken out",
                       cs_monitor_name (monitor), disk->name);
          return NULL;
        }
      g_ptr_array_add (divert->disks, diverted);
      if (!add_nodes (divert, i, disk->size, error))
        {
          g_prefix_error (error, "disk '%s': ", disk->name);
          return NULL;
        }
    }
  return g_steal_pointer (&divert);
}

void
cs_disk_divert_free (CsDiskDivert *divert)
{
  if (divert == NULL)
    return;
  g_ptr_array_unref (divert->disks);
  g_free (divert);
}

bool
cs_disk_divert_insert (CsDiskDivert *divert, GError **error)
{
  for (guint i = 0; i < divert->disks->len; i++)
    {
      const Diverted *disk = divert->disks->pdata[i];
      g_autofree char *front = front_name (i);
      if (disk->device != NULL
          && !cs_disk_device_give (divert->monitor, disk->device, front, error))
        return false;
    }
  return true;
}

static bool
reopen (CsMonitor *monitor, json_object *options, GError **error)
{
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "options", options);
  return cs_monitor_execute (monitor, "blockdev-reopen", arguments, NULL, error);
}

bool
cs_disk_divert_switch (CsDiskDivert *divert, bool ours, GError **error)
{
  json_object *options = json_object_new_array ();
  for (guint i = 0; i < divert->disks->len; i++)
    {
      const Diverted *disk = divert->disks->pdata[i];
      g_autofree char *empty = g_strdup_printf (CS_DISK_EMPTY "%u", i);
      g_autofree char *front = front_name (i);
      g_autofree char *back = g_strdup_printf (CS_DISK_BACK "%u", i);
      json_object_array_add (options, raw_node (front, ours ? empty : disk->top));
      json_object_array_add (options, raw_node (back, ours ? disk->node : empty));
    }
  return reopen (divert->monitor, options, error);
}

/* The number in the name of the front node that is a device's in @block, or NULL. */
static const char *
front_number (json_object *block)
{
  const char *top = cs_json_string (cs_member (block, "inserted"), "node-name");
  return top != NULL && g_str_has_prefix (top, CS_DISK_FRONT) ? top + strlen (CS_DISK_FRONT) : NULL;
}

/* The node's own options, with what it stood above before the switch. */
static void
add_reopen (json_object *options, const CsBlockGraph *graph, const char *name, const char *below)
{
  if (g_strcmp0 (cs_block_graph_child (graph, name, "file"), below) != 0)
    json_object_array_add (options, raw_node (name, below));
}

/* Undoes a switch for the disk of @number; the device of @block then gets its top node back. */
static bool
undo_one (CsMonitor *monitor, const CsBlockGraph *graph, json_object *block, const char *number,
          GError **error)
{
  g_autofree char *hold = g_strconcat (CS_DISK_HOLD, number, NULL);
  g_autofree char *front = g_strconcat (CS_DISK_FRONT, number, NULL);
  g_autofree char *back = g_strconcat (CS_DISK_BACK, number, NULL);
  g_autofree char *empty = g_strconcat (CS_DISK_EMPTY, number, NULL);
  g_autofree char *device = cs_disk_device_path (block);
  const char *top = cs_block_graph_child (graph, hold, "file");
  if (top == NULL || device == NULL)
    {
      g_set_error (
          error, CS_ERROR, CS_ERROR_FAILED,
          "%s: it is not known which disk the device '%s' had: stop the VM and start it anew",
          cs_monitor_name (monitor), device ? device : "?");
      return false;
    }
  json_object *options = json_object_new_array ();
  add_reopen (options, graph, front, top);
  add_reopen (options, graph, back, empty);
  return (json_object_array_length (options) > 0 ? reopen (monitor, options, error)
                                                 : (json_object_put (options), true))
         && cs_disk_device_give (monitor, device, top, error);
}

bool
cs_disk_divert_undo (CsMonitor *monitor, GError **error)
{
  g_autoptr (CsJson) blocks = NULL;
  g_autoptr (CsBlockGraph) graph = NULL;
  if (!cs_monitor_execute (monitor, "query-block", NULL, &blocks, error))
    return false;
  bool ok = true;
  for (gsize i = 0; i < cs_array_length (blocks); i++)
    {
      json_object *block = json_object_array_get_idx (blocks, i);
      const char *number = front_number (block);
      if (number == NULL)
        continue;
      if (graph == NULL && (graph = cs_block_graph_load (monitor, error)) == NULL)
        return false;
      /* One that fails does not keep the others from their disks. */
      ok = undo_one (monitor, graph, block, number, ok ? error : NULL) && ok;
    }
  return ok;
}
