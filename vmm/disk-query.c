#include "config.h"

#include "vmm/disk-private.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/block-graph.h"
#include "vmm/disk-file.h"
#include "vmm/lazy-aside.h"
#include "vmm/lazy-disks.h"
#include "vmm/qemu-img.h"
#include "vmm/source-xml.h"

#include <string.h>
#include <sys/stat.h>

typedef struct
{
  CsMonitor *monitor;
  CsBlockGraph *graph;
  GPtrArray *disks;
} Query;

/* Sets REFUSED and names the VM, the disk and the reason. */
static bool G_GNUC_PRINTF (4, 5)
    refuse (const Query *query, const char *disk, GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *reason = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED, "%s: disk '%s' cannot be captured: %s",
               cs_monitor_name (query->monitor), disk, reason);
  return false;
}

/* The qdev id is what the user or libvirt chose; a device without one is called by its -drive,
 * whose name is given by bus and unit; the QOM path is numbered by the order of the command line.
 */
static char *
name_of (json_object *block)
{
  const char *qdev = cs_json_string (block, "qdev");
  const char *drive = cs_json_string (block, "device");
  if (qdev != NULL && strchr (qdev, '/') == NULL)
    return g_strdup (qdev);
  if (qdev != NULL && g_str_has_prefix (qdev, "/machine/peripheral/"))
    {
      const char *id = qdev + strlen ("/machine/peripheral/");
      return g_strndup (id, strcspn (id, "/"));
    }
  if (drive != NULL && drive[0] != '\0')
    return g_strdup (drive);
  if (qdev == NULL)
    return NULL;
  char *name = g_strdup (g_str_has_prefix (qdev, "/machine/") ? qdev + strlen ("/machine/") : qdev);
  return g_strdelimit (name, "/", '-');
}

static bool
is_flash (CsMonitor *monitor, json_object *block)
{
  const char *qdev = cs_json_string (block, "qdev");
  if (qdev == NULL)
    return false;
  g_autoptr (CsJson) type = NULL;
  if (!cs_monitor_execute (monitor, "qom-get",
                           cs_json_strings ("path", qdev, "property", "type", NULL), &type, NULL))
    return false;
  const char *name = json_object_get_string (type);
  return name != NULL && g_str_has_prefix (name, "cfi.pflash");
}

/* Nobody else may be at work on any image of the chain: two jobs exclude each other. */
static bool
check_jobs (const Query *query, const char *disk, const char *top, GError **error)
{
  guint limit = 1024;
  for (const char *node = top; node != NULL && limit-- > 0;
       node = cs_block_graph_below (query->graph, node))
    {
      const char *job = cs_block_graph_job (query->graph, node, CS_DISK_PREFIX);
      if (job != NULL)
        return refuse (query, disk, error,
                       "block job '%s' is at work on it: wait for its end or cancel it", job);
    }
  return true;
}

/* A restore must find the file by its name again.  @form: the node that has it. */
static bool
check_file (const Query *query, CsDisk *disk, const char *form, GError **error)
{
  json_object *protocol =
      cs_block_graph_info (query->graph, cs_block_graph_protocol (query->graph, form));
  const char *driver = cs_json_string (protocol, "drv");
  const char *filename = cs_json_string (protocol, "file");
  if (g_strcmp0 (driver, "file") != 0 && g_strcmp0 (driver, "host_device") != 0)
    return refuse (query, disk->name, error,
                   "it lies on '%s': only local files and block devices can be restored",
                   driver ? driver : "?");
  if (filename == NULL || g_str_has_prefix (filename, "/dev/fdset/"))
    return refuse (query, disk->name, error,
                   "its file was passed as a descriptor: a restore could not find it");
  disk->filename = cs_disk_file_absolute (cs_monitor_pid (query->monitor), filename, error);
  /* While it is filled aside it has no name. */
  if (disk->filename == NULL || strcmp (form, disk->node) != 0)
    return disk->filename != NULL;
  g_autoptr (GError) local = NULL;
  cs_autofd int fd = cs_disk_file_open (cs_monitor_pid (query->monitor), disk->filename, &local);
  if (fd < 0 && g_error_matches (local, CS_ERROR, CS_ERROR_NOT_FOUND))
    return refuse (query, disk->name, error,
                   "its file '%s' was deleted (or QEMU runs with -snapshot)", disk->filename);
  if (fd < 0)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&local), "disk '%s': ", disk->name);
      return false;
    }
  return true;
}

static bool
check_format (const Query *query, const CsDisk *disk, json_object *info, GError **error)
{
  bool qcow2 = strcmp (disk->format, "qcow2") == 0;
  const char *name = cs_json_string (cs_member (info, "image"), "filename");
  if (!qcow2 && strcmp (disk->format, "raw") != 0)
    return refuse (query, disk->name, error, "its format is '%s', not raw or qcow2", disk->format);
  if (cs_member_true (info, "encrypted"))
    return refuse (query, disk->name, error, "it is encrypted: its content would leave plain");
  if (qcow2 && cs_block_graph_child (query->graph, disk->node, "data-file") != NULL)
    return refuse (query, disk->name, error, "it has an external data file");
  if (!qcow2 && name != NULL && g_str_has_prefix (name, "json:"))
    return refuse (query, disk->name, error, "it is a part (offset, size) of a larger image");
  if (disk->size == 0 || disk->size % 512 != 0)
    return refuse (query, disk->name, error, "its size is %" G_GUINT64_FORMAT, disk->size);
  return true;
}

static void
take_backing (const Query *query, CsDisk *disk, json_object *image)
{
  const char *file = cs_json_string (image, "backing-filename");
  const char *format = cs_json_string (image, "backing-filename-format");
  if (file == NULL || file[0] == '\0' || cs_lazy_disks_is_ours (file))
    return;
  /* Old images do not record it; QEMU found it by looking. */
  const char *backing = cs_block_graph_child (query->graph, disk->node, "backing");
  if (format == NULL && backing != NULL)
    format = cs_json_string (
        cs_block_graph_info (query->graph, cs_block_graph_skip_filters (query->graph, backing)),
        "drv");
  disk->backing_file = g_strdup (file);
  disk->backing_format = g_strdup (format ? format : "raw");
}

/* A raw disk needs no format node: under libvirt there may be only the file's. */
static const char *
format_of (json_object *info)
{
  const char *driver = cs_json_string (info, "drv");
  if (driver == NULL)
    return "unknown";
  bool file = strcmp (driver, "file") == 0 || strcmp (driver, "host_device") == 0;
  return file ? "raw" : driver;
}

/* QEMU does not have it. */
static bool
take_closed_image (const Query *query, CsDisk *disk, GError **error)
{
  g_autofree char *path = cs_lazy_aside_image (disk->filename);
  g_autoptr (CsJson) image = cs_qemu_img_info (path, error);
  if (image == NULL)
    {
      g_prefix_error (error, "disk '%s': ", disk->name);
      return false;
    }
  disk->cluster_size = (guint64)cs_member_int (image, "cluster-size");
  take_backing (query, disk, image);
  return true;
}

/* Of the overlay that stands for a disk of a libvirt domain (lazy-aside-libvirt.c). */
static bool
take_image (const Query *query, CsDisk *disk, json_object *image, GError **error)
{
  const char *backing = cs_json_string (image, "backing-filename");
  bool ours = backing != NULL && cs_lazy_disks_is_ours (backing);
  const char *format = ours ? cs_source_overlay_strip (disk->filename) : NULL;
  if (format == NULL)
    return true;
  g_free (disk->format);
  disk->format = g_strdup (format);
  disk->cluster_size = 0;
  return strcmp (format, "raw") == 0 || take_closed_image (query, disk, error);
}

static CsDisk *
disk_new (const Query *query, const char *name, const char *top, GError **error)
{
  const char *node = cs_block_graph_skip_filters (query->graph, top);
  const char *form = cs_lazy_aside_form (query->graph, node);
  json_object *info = form != NULL ? cs_block_graph_info (query->graph, form) : NULL;
  json_object *image = cs_member (info, "image");
  json_object *cache = cs_member (info, "cache");
  if (image == NULL)
    {
      refuse (query, name, error, "QEMU does not describe its node '%s'", top);
      return NULL;
    }
  g_autoptr (CsDisk) disk = g_new0 (CsDisk, 1);
  disk->name = g_strdup (name);
  disk->node = g_strdup (node);
  disk->format = g_strdup (format_of (info));
  disk->size = (guint64)cs_member_int (image, "virtual-size");
  if (strcmp (disk->format, "qcow2") == 0)
    disk->cluster_size = (guint64)cs_member_int (image, "cluster-size");
  disk->writeback = !cs_member_true (cache, "direct") && !cs_member_true (cache, "no-flush");
  take_backing (query, disk, image);
  if (!check_format (query, disk, info, error) || !check_file (query, disk, form, error)
      || !check_jobs (query, name, top, error) || !take_image (query, disk, image, error))
    return NULL;
  return g_steal_pointer (&disk);
}

static bool
add_disk (Query *query, json_object *block, GError **error)
{
  json_object *inserted = cs_member (block, "inserted");
  const char *top = cs_json_string (inserted, "node-name");
  g_autofree char *name = name_of (block);
  if (top == NULL || name == NULL || cs_member_true (inserted, "ro")
      || is_flash (query->monitor, block))
    return true;
  for (guint i = 0; i < query->disks->len; i++)
    if (strcmp (((CsDisk *)query->disks->pdata[i])->name, name) == 0)
      return refuse (query, name, error, "another disk has the same name: give each device an id");
  CsDisk *disk = disk_new (query, name, top, error);
  if (disk != NULL)
    g_ptr_array_add (query->disks, disk);
  return disk != NULL;
}

GPtrArray *
cs_disks_query (CsMonitor *monitor, GError **error)
{
  g_autoptr (CsJson) blocks = NULL;
  if (!cs_monitor_execute (monitor, "query-block", NULL, &blocks, error))
    return NULL;
  g_autoptr (CsBlockGraph) graph = cs_block_graph_load (monitor, error);
  if (graph == NULL)
    return NULL;
  g_autoptr (GPtrArray) disks = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_disk_free);
  Query query = { monitor, graph, disks };
  for (gsize i = 0; i < cs_array_length (blocks); i++)
    if (!add_disk (&query, json_object_array_get_idx (blocks, i), error))
      return NULL;
  return g_steal_pointer (&disks);
}
