#include "config.h"

#include "vmm/device-load.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/disk-private.h"
#include "vmm/ramblock.h"
#include "vmm/stream.h"
#include "vmm/vmstate-image.h"

#define NODE CS_DISK_PREFIX "vmstate"
#define JOB CS_DISK_PREFIX "load"
#define FDSET CS_DISK_PREFIX "vmstate"

struct CsDeviceLoad
{
  CsMonitor *monitor;
  gint64 fdset; /* in QEMU; -1: none */
  bool node;    /* QEMU has the node */
  bool job;     /* it may have the job */
};

/* ---- the image ---- */

/* All blocks are listed, no page is there. */
static bool
write_stream (int fd, void *user_data, GError **error)
{
  const CsDeviceLoadOptions *options = user_data;
  g_autoptr (CsStream) stream = cs_stream_new (fd, options->machine);
  for (guint i = 0; i < options->blocks->len; i++)
    {
      const CsRamBlock *block = g_ptr_array_index (options->blocks, i);
      cs_stream_add_block (stream, block->name, block->used_length);
    }
  gsize length;
  const void *devices = g_bytes_get_data (options->devices, &length);
  return cs_stream_begin (stream, error) && cs_stream_end (stream, devices, length, error);
}

static bool
add_node (CsDeviceLoad *load, GError **error)
{
  g_autofree char *filename = g_strdup_printf ("/dev/fdset/%" G_GINT64_FORMAT, load->fdset);
  json_object *arguments = cs_json_strings ("driver", "qcow2", "node-name", NODE, NULL);
  json_object *cache = json_object_new_object ();
  json_object_object_add (arguments, "file",
                          cs_json_strings ("driver", "file", "filename", filename, NULL));
  /* `stop` flushes every node: what is thrown away anyhow must not make a pause longer. */
  json_object_object_add (cache, "no-flush", json_object_new_boolean (true));
  json_object_object_add (arguments, "cache", cache);
  load->node = cs_monitor_execute (load->monitor, "blockdev-add", arguments, NULL, error);
  return load->node;
}

CsDeviceLoad *
cs_device_load_new (CsMonitor *monitor, const CsDeviceLoadOptions *options, GError **error)
{
  CsDeviceLoadOptions copy = *options;
  cs_autofd int fd = cs_vmstate_image_make (write_stream, &copy, error);
  if (fd < 0)
    return NULL;
  g_autoptr (CsDeviceLoad) load = g_new0 (CsDeviceLoad, 1);
  load->monitor = monitor;
  load->fdset = cs_monitor_add_fd (monitor, fd, FDSET, error);
  return load->fdset >= 0 && add_node (load, error) ? g_steal_pointer (&load) : NULL;
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
cs_device_load_run (CsDeviceLoad *load, GError **error)
{
  CsMonitor *monitor = load->monitor;
  json_object *arguments =
      cs_json_strings ("job-id", JOB, "tag", CS_VMSTATE_TAG, "vmstate", NODE, NULL);
  json_object *devices = json_object_new_array ();
  json_object_array_add (devices, json_object_new_string (NODE));
  json_object_object_add (arguments, "devices", devices);
  bool done;
  cs_monitor_forget_events (monitor);
  load->job = true;
  return cs_monitor_execute (monitor, "snapshot-load", arguments, NULL, error)
         && wait_concluded (monitor, &done, error) && (done || check_job (monitor, error));
}

/* ---- the end ---- */

/* Errors: QEMU is gone, and all with it; or what is left is taken out by cs_disks_cleanup. */
void
cs_device_load_free (CsDeviceLoad *load)
{
  if (load == NULL)
    return;
  CsMonitor *monitor = load->monitor;
  if (load->job)
    cs_monitor_execute (monitor, "job-dismiss", cs_json_strings ("id", JOB, NULL), NULL, NULL);
  if (load->node)
    cs_monitor_execute (monitor, "blockdev-del", cs_json_strings ("node-name", NODE, NULL), NULL,
                        NULL);
  if (load->fdset >= 0)
    cs_monitor_remove_fdset (monitor, load->fdset, NULL);
  g_free (load);
}
