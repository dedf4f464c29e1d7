/* The device state of a rollback: put into QEMU as an image, loaded in the pause, taken out. */
#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/disk-private.h"
#include "vmm/rollback-private.h"
#include "vmm/stream.h"
#include "vmm/vmstate-image.h"

#define NODE CS_DISK_PREFIX "vmstate"
#define JOB CS_DISK_PREFIX "load"
#define FDSET CS_DISK_PREFIX "vmstate"

/* ---- the image ---- */

/* All blocks are listed, no page is there. */
static bool
write_stream (int fd, void *user_data, GError **error)
{
  const CsRollback *rollback = user_data;
  g_autoptr (CsStream) stream = cs_stream_new (fd, rollback->document->machine);
  g_autoptr (GBytes) devices =
      cs_image_read_bytes (rollback->target, rollback->document->device_volume, error);
  if (devices == NULL)
    return false;
  for (guint i = 0; i < rollback->blocks->len; i++)
    {
      const CsRamBlock *block = g_ptr_array_index (rollback->blocks, i);
      cs_stream_add_block (stream, block->name, block->used_length);
    }
  return cs_stream_begin (stream, error)
         && cs_stream_end (stream, g_bytes_get_data (devices, NULL), g_bytes_get_size (devices),
                           error);
}

static bool
add_node (CsRollback *rollback, GError **error)
{
  g_autofree char *filename =
      g_strdup_printf ("/dev/fdset/%" G_GINT64_FORMAT, rollback->devices.fdset);
  json_object *arguments = cs_json_strings ("driver", "qcow2", "node-name", NODE, NULL);
  json_object *cache = json_object_new_object ();
  json_object_object_add (arguments, "file",
                          cs_json_strings ("driver", "file", "filename", filename, NULL));
  /* `stop` flushes every node: what is thrown away anyhow must not make a pause longer. */
  json_object_object_add (cache, "no-flush", json_object_new_boolean (true));
  json_object_object_add (arguments, "cache", cache);
  rollback->devices.node =
      cs_monitor_execute (rollback->monitor, "blockdev-add", arguments, NULL, error);
  return rollback->devices.node;
}

bool
cs_rollback_devices_prepare (CsRollback *rollback, GError **error)
{
  cs_autofd int fd = cs_vmstate_image_make (write_stream, rollback, error);
  if (fd < 0)
    return false;
  rollback->devices.fdset = cs_monitor_add_fd (rollback->monitor, fd, FDSET, error);
  return rollback->devices.fdset >= 0 && add_node (rollback, error);
}

/* ---- loading ---- */

/* Sets *@done where nothing went wrong: a job that fails goes from running to aborting. */
static bool
wait_concluded (CsMonitor *monitor, bool *done, GError **error)
{
  for (*done = false;;)
    {
      g_autoptr (CsJson) event =
          cs_monitor_wait_event (monitor, "JOB_STATUS_CHANGE", "id", JOB, error);
      if (event == NULL)
        return false;
      const char *status = cs_json_string (event, "status");
      if (g_strcmp0 (status, "concluded") == 0)
        return true;
      *done = g_strcmp0 (status, "pending") == 0;
    }
}

/* A job that failed has an error. */
static bool
check_job (CsMonitor *monitor, GError **error)
{
  g_autoptr (CsJson) jobs = NULL;
  if (!cs_monitor_execute (monitor, "query-jobs", NULL, &jobs, error))
    return false;
  for (gsize i = 0; i < cs_array_length (jobs); i++)
    {
      json_object *job = json_object_array_get_idx (jobs, i);
      const char *problem = cs_json_string (job, "error");
      if (g_strcmp0 (cs_json_string (job, "id"), JOB) != 0)
        continue;
      if (problem == NULL)
        return true;
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s: cannot load its device state: %s",
                   cs_monitor_name (monitor), problem);
      return false;
    }
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
               "%s: its device state was being loaded by a job "
               "that is gone",
               cs_monitor_name (monitor));
  return false;
}

bool
cs_rollback_devices_load (CsRollback *rollback, GError **error)
{
  CsMonitor *monitor = rollback->monitor;
  json_object *arguments =
      cs_json_strings ("job-id", JOB, "tag", CS_VMSTATE_TAG, "vmstate", NODE, NULL);
  json_object *devices = json_object_new_array ();
  json_object_array_add (devices, json_object_new_string (NODE));
  json_object_object_add (arguments, "devices", devices);
  bool done;
  cs_monitor_forget_events (monitor);
  rollback->devices.job = true;
  return cs_monitor_execute (monitor, "snapshot-load", arguments, NULL, error)
         && wait_concluded (monitor, &done, error) && (done || check_job (monitor, error));
}

/* ---- the end ---- */

/* Errors: QEMU is gone, and all with it; or what is left is taken out by cs_disks_cleanup. */
void
cs_rollback_devices_remove (CsRollback *rollback)
{
  CsMonitor *monitor = rollback->monitor;
  CsRollbackDevices *devices = &rollback->devices;
  if (devices->job)
    cs_monitor_execute (monitor, "job-dismiss", cs_json_strings ("id", JOB, NULL), NULL, NULL);
  if (devices->node)
    cs_monitor_execute (monitor, "blockdev-del", cs_json_strings ("node-name", NODE, NULL), NULL,
                        NULL);
  if (devices->fdset >= 0)
    cs_monitor_remove_fdset (monitor, devices->fdset, NULL);
  *devices = (CsRollbackDevices){ .fdset = -1 };
}
