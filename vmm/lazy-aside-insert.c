/* The overlay comes before an image set aside (lazy-aside.h). */
#include "config.h"

#include "vmm/lazy-aside-private.h"

#include "common/error.h"
#include "vmm/clone-overlay.h"
#include "vmm/disk-device.h"
#include "vmm/disk-file.h"
#include "vmm/disk-private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
is_image (const CsLazyAsideLook *look, const char *node)
{
  const char *protocol = cs_block_graph_protocol (look->graph, node);
  const char *file = cs_json_string (cs_block_graph_info (look->graph, protocol), "file");
  g_autofree char *absolute =
      file != NULL ? cs_disk_file_absolute (cs_monitor_pid (look->monitor), file, NULL) : NULL;
  g_autofree char *resolved = absolute != NULL ? realpath (absolute, NULL) : NULL;
  return g_strcmp0 (resolved, look->aside->path) == 0;
}

/* The entry of query-block whose device has the image's node itself. */
static json_object *
find_device (const CsLazyAsideLook *look)
{
  for (gsize i = 0; i < cs_array_length (look->blocks); i++)
    {
      json_object *block = json_object_array_get_idx (look->blocks, i);
      const char *top = cs_lazy_aside_top_of (block);
      if (top != NULL && cs_json_string (block, "qdev") != NULL
          && g_strcmp0 (cs_block_graph_skip_filters (look->graph, top), top) == 0
          && is_image (look, top))
        return block;
    }
  return NULL;
}

/* Owned as the image is: QEMU may be another user than we are. */
static bool
make_overlay (const CsLazyAside *aside, const char *backing, GError **error)
{
  struct stat image;
  if (!cs_clone_overlay_make (aside->overlay, aside->disk.form->size, backing, error))
    return false;
  if (stat (aside->path, &image) == 0 && chown (aside->overlay, image.st_uid, image.st_gid) == 0
      && chmod (aside->overlay, image.st_mode & 07777) == 0)
    return true;
  return cs_error_set_errno (error, errno, "cannot give '%s' its owner and mode", aside->overlay);
}

bool
cs_lazy_aside_prepare (CsLazyAside *aside, const char *backing, GError **error)
{
  return make_overlay (aside, backing, error) && cs_lazy_aside_drop_name (aside, error);
}

/* Cached as the image is, @like. */
static bool
add_overlay (const CsLazyAsideLook *look, const char *like, GError **error)
{
  json_object *options =
      cs_json_strings ("driver", "qcow2", "node-name", look->aside->node, "discard", "unmap", NULL);
  json_object_object_add (
      options, "file", cs_json_strings ("driver", "file", "filename", look->aside->overlay, NULL));
  json_object *had = cs_member (cs_block_graph_info (look->graph, like), "cache");
  json_object *cache = json_object_new_object ();
  static const char *const keys[] = { "direct", "no-flush" };
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    json_object_object_add (cache, keys[i],
                            json_object_new_boolean (cs_member_true (had, keys[i])));
  json_object_object_add (options, "cache", cache);
  return cs_monitor_execute (look->monitor, "blockdev-add", options, NULL, error);
}

/* Keeps the image's node, which with -drive only the device does, and tells which it is. */
static bool
add_hold (const CsLazyAsideLook *look, const char *image, GError **error)
{
  json_object *options =
      cs_json_strings ("driver", "raw", "node-name", look->aside->hold, "file", image, NULL);
  json_object_object_add (options, "read-only", json_object_new_boolean (true));
  return cs_monitor_execute (look->monitor, "blockdev-add", options, NULL, error);
}

/* A VM that was loaded and has not run has inactive nodes, on which nothing active may stand from
 * QEMU 10.0 on; that brought the command, before there is neither. */
static void
activate (CsMonitor *monitor)
{
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "active", json_object_new_boolean (true));
  cs_monitor_execute (monitor, "blockdev-set-active", arguments, NULL, NULL);
}

bool
cs_lazy_aside_insert (CsLazyAside *aside, const char *backing, CsMonitor *monitor, bool *complete,
                      GError **error)
{
  g_auto (CsLazyAsideLook) look = { .aside = aside, .monitor = monitor };
  *complete = false;
  if (!cs_lazy_aside_look (&look, error))
    return false;
  json_object *block = find_device (&look);
  if (block == NULL)
    {
      *complete = true;
      return cs_lazy_aside_write (aside, aside->path, error);
    }
  activate (monitor);
  g_autofree char *device = cs_disk_device_path (block);
  /* The name goes last: a node opened with auto-read-only is opened by it when its device leaves.
   */
  return make_overlay (aside, backing, error)
         && add_overlay (&look, cs_lazy_aside_top_of (block), error)
         && add_hold (&look, cs_lazy_aside_top_of (block), error)
         && cs_disk_device_give (monitor, device, aside->node, error)
         && cs_lazy_aside_drop_name (aside, error);
}
