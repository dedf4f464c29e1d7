/* What QEMU does for an image set aside (lazy-aside.h). */
#include "config.h"

#include "vmm/lazy-aside-private.h"

#include "common/error.h"
#include "common/fault.h"
#include "vmm/clone-overlay.h"
#include "vmm/disk-device.h"
#include "vmm/disk-file.h"
#include "vmm/disk-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  CsLazyAside *aside;
  CsMonitor *monitor;
  CsBlockGraph *graph;
  json_object *blocks;
} Look;

static void
look_clear (Look *look)
{
  cs_block_graph_free (look->graph);
  json_object_put (look->blocks);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Look, look_clear)

static bool
look_begin (Look *look, GError **error)
{
  return cs_monitor_execute (look->monitor, "query-block", NULL, &look->blocks, error)
         && (look->graph = cs_block_graph_load (look->monitor, error)) != NULL;
}

static const char *
top_of (json_object *block)
{
  return cs_json_string (cs_member (block, "inserted"), "node-name");
}

/* Whether a device has @node, NULL: none has. */
static bool
has_device (const Look *look, const char *node)
{
  for (gsize i = 0; node != NULL && i < cs_array_length (look->blocks); i++)
    if (g_strcmp0 (top_of (json_object_array_get_idx (look->blocks, i)), node) == 0)
      return true;
  return false;
}

static const char *
image_node (const Look *look)
{
  return cs_block_graph_child (look->graph, look->aside->hold, "file");
}

/* ---- the overlay comes ---- */

static bool
is_image (const Look *look, const char *node)
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
find_device (const Look *look)
{
  for (gsize i = 0; i < cs_array_length (look->blocks); i++)
    {
      json_object *block = json_object_array_get_idx (look->blocks, i);
      const char *top = top_of (block);
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
  if (!cs_clone_overlay_make (aside->overlay, aside->disk.size, backing, error))
    return false;
  if (stat (aside->path, &image) == 0 && chown (aside->overlay, image.st_uid, image.st_gid) == 0
      && chmod (aside->overlay, image.st_mode & 07777) == 0)
    return true;
  return cs_error_set_errno (error, errno, "cannot give '%s' its owner and mode", aside->overlay);
}

/* Cached as the image is, @like. */
static bool
add_overlay (const Look *look, const char *like, GError **error)
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
add_hold (const Look *look, const char *image, GError **error)
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
  g_auto (Look) look = { .aside = aside, .monitor = monitor };
  *complete = false;
  activate (monitor);
  if (!look_begin (&look, error))
    return false;
  json_object *block = find_device (&look);
  if (block == NULL)
    {
      *complete = true;
      return cs_lazy_aside_write (aside, aside->path, error);
    }
  g_autofree char *device = cs_disk_device_path (block);
  /* The name goes last: a node opened with auto-read-only is opened by it when its device leaves.
   */
  return make_overlay (aside, backing, error) && add_overlay (&look, top_of (block), error)
         && add_hold (&look, top_of (block), error)
         && cs_disk_device_give (monitor, device, aside->node, error)
         && cs_lazy_aside_drop_name (aside, error);
}

/* ---- and goes ---- */

/* Those that a capture trusts. */
static bool
add_bitmaps (const Look *look, const char *image, GError **error)
{
  json_object *info = cs_block_graph_info (look->graph, look->aside->node);
  json_object *bitmaps = cs_member (info, "dirty-bitmaps");
  for (gsize i = 0; i < cs_array_length (bitmaps); i++)
    {
      json_object *bitmap = json_object_array_get_idx (bitmaps, i);
      const char *name = cs_json_string (bitmap, "name");
      if (name == NULL || !g_str_has_prefix (name, CS_DISK_PREFIX)
          || !cs_member_true (bitmap, "recording")
          || cs_disk_find_bitmap (cs_block_graph_info (look->graph, image), name) != NULL)
        continue;
      json_object *arguments = cs_json_strings ("node", image, "name", name, NULL);
      json_object_object_add (arguments, "granularity", json_object_new_int (CS_DISK_GRANULARITY));
      if (!cs_monitor_execute (look->monitor, "block-dirty-bitmap-add", arguments, NULL, error))
        return false;
    }
  return true;
}

static bool
mirror (const Look *look, const char *image, GError **error)
{
  return cs_monitor_execute (look->monitor, "blockdev-mirror",
                             cs_json_strings ("job-id", look->aside->job, "device",
                                              look->aside->node, "target", image, "sync", "top",
                                              "copy-mode", "write-blocking", NULL),
                             NULL, error);
}

static bool
start_job (const Look *look, GError **error)
{
  CsLazyAside *aside = look->aside;
  const char *image = image_node (look);
  if (image == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_STATE, "disk '%s' has lost its node '%s'",
                   aside->disk.name, aside->hold);
      return false;
    }
  if (!cs_fault_point ("disk-mirror", error) || !add_bitmaps (look, image, error))
    return false;
  aside->begun = mirror (look, image, NULL);
  if (aside->begun)
    return true;
  if (!cs_lazy_aside_link (aside, error))
    return false;
  aside->begun = mirror (look, image, error);
  cs_lazy_aside_unlink (aside);
  return aside->begun;
}

static bool
remove_node (const Look *look, const char *node, GError **error)
{
  return cs_block_graph_info (look->graph, node) == NULL
         || cs_monitor_execute (look->monitor, "blockdev-del",
                                cs_json_strings ("node-name", node, NULL), NULL, error);
}

/* The device has its node again. */
static bool
finish (const Look *look, bool *complete, GError **error)
{
  CsLazyAside *aside = look->aside;
  if (!cs_fault_point ("disk-finish", error) || !remove_node (look, aside->node, error)
      || !remove_node (look, aside->hold, error) || !cs_lazy_aside_take_name (aside, error))
    return false;
  unlink (aside->overlay);
  *complete = true;
  return true;
}

/* The job is ready. */
static bool
change_over (const Look *look, bool *complete, GError **error)
{
  CsLazyAside *aside = look->aside;
  g_auto (Look) after = { .aside = aside, .monitor = look->monitor };
  if (!cs_fault_point ("disk-name", error) || !cs_lazy_aside_take_name (aside, error)
      || !cs_fault_point ("disk-pivot", error)
      || !cs_monitor_execute (look->monitor, "job-complete",
                              cs_json_strings ("id", aside->job, NULL), NULL, error)
      || !cs_disk_wait_absent (look->monitor, "query-block-jobs", "device", aside->job, error)
      || !look_begin (&after, error))
    return false;
  return !has_device (&after, image_node (&after)) || finish (&after, complete, error);
}

static json_object *
find_job (json_object *jobs, const char *id)
{
  for (gsize i = 0; i < cs_array_length (jobs); i++)
    {
      json_object *job = json_object_array_get_idx (jobs, i);
      if (g_strcmp0 (cs_json_string (job, "device"), id) == 0)
        return job;
    }
  return NULL;
}

/* The guest still works on the overlay. */
static bool
step_overlay (const Look *look, bool *complete, GError **error)
{
  CsLazyAside *aside = look->aside;
  g_autoptr (CsJson) jobs = NULL;
  bool filled;
  /* We were killed, or the job failed, before the device changed over. */
  if (cs_lazy_aside_is_named (aside) && !cs_lazy_aside_drop_name (aside, error))
    return false;
  if (!cs_monitor_execute (look->monitor, "query-block-jobs", NULL, &jobs, error))
    return false;
  json_object *job = find_job (jobs, aside->job);
  if (job != NULL)
    return !cs_member_true (job, "ready") || change_over (look, complete, error);
  if (aside->begun)
    {
      aside->begun = false;
      g_set_error (error, CS_ERROR, CS_ERROR_IO,
                   "disk '%s' ('%s') could not be filled to its end: its job has failed",
                   aside->disk.name, aside->path);
      return false;
    }
  return cs_lazy_aside_fill (aside, &filled, error) && (!filled || start_job (look, error));
}

bool
cs_lazy_aside_step (CsLazyAside *aside, CsMonitor *monitor, bool *complete, GError **error)
{
  g_auto (Look) look = { .aside = aside, .monitor = monitor };
  *complete = false;
  if (!look_begin (&look, error))
    return false;
  if (has_device (&look, aside->node))
    return step_overlay (&look, complete, error);
  /* Without both nodes only the files are left of it.  Otherwise it was taken out: the image gets
   * the rest when QEMU has ended. */
  bool nothing_there =
      cs_block_graph_info (look.graph, aside->node) == NULL && cs_lazy_aside_is_named (aside);
  return (!nothing_there && !has_device (&look, image_node (&look)))
         || finish (&look, complete, error);
}

void
cs_lazy_aside_hold (CsLazyAside *aside, CsMonitor *monitor)
{
  json_object *arguments = cs_json_strings ("device", aside->job, NULL);
  json_object_object_add (arguments, "force", json_object_new_boolean (true));
  aside->begun = false;
  /* There may be none. */
  cs_monitor_execute (monitor, "block-job-cancel", arguments, NULL, NULL);
}
