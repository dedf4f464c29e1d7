#include "config.h"

#include "vmm/block-nodes.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/disk-private.h"

#include <string.h>

/* For libvirt to dismiss a job. */
#define DISMISS_SECONDS 10
#define POLL_US 5000

typedef enum
{
  STREAM_NONE,
  STREAM_RUNS,
  STREAM_ENDED,
} Stream;

/* Ours are dismissed by QEMU in the moment in which they end. */
static bool
is_other_stream (json_object *job)
{
  return g_strcmp0 (cs_json_string (job, "type"), "stream") == 0
         && !g_str_has_prefix (cs_json_string (job, "id"), CS_DISK_PREFIX);
}

/* *@id (to be freed): of the job, unless there is none. */
static bool
find_stream (CsMonitor *monitor, Stream *stream, char **id, GError **error)
{
  g_autoptr (CsJson) jobs = NULL;
  *stream = STREAM_NONE;
  if (!cs_monitor_execute (monitor, "query-jobs", NULL, &jobs, error))
    return false;
  for (gsize i = 0; i < cs_array_length (jobs) && *stream != STREAM_ENDED; i++)
    {
      json_object *job = json_object_array_get_idx (jobs, i);
      const char *status = cs_json_string (job, "status");
      if (!is_other_stream (job))
        continue;
      bool runs = g_strcmp0 (status, "running") == 0 || g_strcmp0 (status, "paused") == 0;
      *stream = runs ? STREAM_RUNS : STREAM_ENDED;
      g_free (*id);
      *id = g_strdup (cs_json_string (job, "id"));
    }
  return true;
}

static bool
wait_for_streams (CsMonitor *monitor, GError **error)
{
  for (gint64 end = g_get_monotonic_time () + DISMISS_SECONDS * G_USEC_PER_SEC;;)
    {
      Stream stream;
      g_autofree char *id = NULL;
      if (!find_stream (monitor, &stream, &id, error))
        return false;
      if (stream == STREAM_NONE)
        return true;
      if (stream == STREAM_RUNS || g_get_monotonic_time () > end)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                       "%s: block job '%s' %s, and QEMU could crash if it were asked for its disks "
                       "meanwhile: %s",
                       cs_monitor_name (monitor), id,
                       stream == STREAM_RUNS ? "fills an image from its backing image"
                                             : "has ended and was not dismissed",
                       stream == STREAM_RUNS
                           ? "wait for it, or end it (virsh blockjob DOMAIN DISK --abort)"
                           : "dismiss it (QMP command job-dismiss)");
          return false;
        }
      g_usleep (POLL_US);
    }
}

json_object *
cs_block_nodes_query (CsMonitor *monitor, GError **error)
{
  json_object *nodes = NULL, *arguments;
  if (!wait_for_streams (monitor, error))
    return NULL;
  arguments = json_object_new_object ();
  json_object_object_add (arguments, "flat", json_object_new_boolean (true));
  cs_monitor_execute (monitor, "query-named-block-nodes", arguments, &nodes, error);
  return nodes;
}
