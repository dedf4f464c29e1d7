#include "config.h"

#include "vmm/disk-cleanup.h"

#include "common/error.h"
#include "vmm/block-nodes.h"
#include "vmm/disk-divert.h"
#include "vmm/disk-private.h"

#include <string.h>

/* How long exports and jobs may take to end. */
#define END_SECONDS 30

/* Keeps the first error only. */
static void
note (GError **first, GError *error)
{
  if (*first == NULL)
    *first = error;
  else
    g_clear_error (&error);
}

/* Executes @command and notes its error. */
static void
execute_noting (CsMonitor *monitor, const char *command, json_object *arguments, GError **first)
{
  GError *error = NULL;
  if (!cs_monitor_execute (monitor, command, arguments, NULL, &error))
    note (first, error);
}

static bool
is_ours (json_object *entry, const char *key, const char *prefix)
{
  const char *name = cs_json_string (entry, key);
  return name != NULL && g_str_has_prefix (name, prefix);
}

/* The entries of ours in the array that @command answers; NULL after an error. */
static GPtrArray *
list_ours (CsMonitor *monitor, const char *command, const char *key, const char *prefix,
           guint *others, GError **error)
{
  g_autoptr (CsJson) array = NULL;
  if (!cs_monitor_execute (monitor, command, NULL, &array, error))
    return NULL;
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  for (gsize i = 0; i < cs_array_length (array); i++)
    {
      json_object *entry = json_object_array_get_idx (array, i);
      if (is_ours (entry, key, prefix))
        g_ptr_array_add (names, g_strdup (cs_json_string (entry, key)));
      else if (others != NULL)
        (*others)++;
    }
  return names;
}

bool
cs_disk_wait_absent (CsMonitor *monitor, const char *command, const char *key, const char *prefix,
                     GError **error)
{
  gint64 end = g_get_monotonic_time () + END_SECONDS * G_USEC_PER_SEC;
  for (gulong pause = 1000;; pause = MIN (pause * 2, 20000))
    {
      g_autoptr (GPtrArray) left = list_ours (monitor, command, key, prefix, NULL, error);
      if (left == NULL)
        return false;
      if (left->len == 0)
        return true;
      if (g_get_monotonic_time () > end)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE, "%s: '%s' has not ended after %d s",
                       cs_monitor_name (monitor), (char *)left->pdata[0], END_SECONDS);
          return false;
        }
      g_usleep (pause);
    }
}

static void
remove_exports (CsMonitor *monitor, GError **first)
{
  GError *error = NULL;
  g_autoptr (GPtrArray) exports =
      list_ours (monitor, "query-block-exports", "id", CS_DISK_PREFIX, NULL, &error);
  for (guint i = 0; exports != NULL && i < exports->len; i++)
    execute_noting (monitor, "block-export-del",
                    cs_json_strings ("id", exports->pdata[i], "mode", "hard", NULL), first);
  if (exports == NULL
      || (exports->len > 0
          && !cs_disk_wait_absent (monitor, "query-block-exports", "id", CS_DISK_PREFIX, &error)))
    note (first, error);
}

/* A job that is ending already refuses to be cancelled: what counts is that it goes. */
static void
cancel_jobs (CsMonitor *monitor, GError **first)
{
  GError *error = NULL;
  g_autoptr (GPtrArray) jobs =
      list_ours (monitor, "query-block-jobs", "device", CS_DISK_PREFIX, NULL, &error);
  for (guint i = 0; jobs != NULL && i < jobs->len; i++)
    cs_monitor_execute (monitor, "block-job-cancel",
                        cs_json_strings ("device", jobs->pdata[i], NULL), NULL, NULL);
  if (jobs == NULL
      || (jobs->len > 0
          && !cs_disk_wait_absent (monitor, "query-block-jobs", "device", CS_DISK_PREFIX, &error)))
    note (first, error);
}

/* A job that is no block job stays when it has ended, until somebody has looked at it. */
static void
dismiss_jobs (CsMonitor *monitor, GError **first)
{
  GError *error = NULL;
  g_autoptr (GPtrArray) jobs =
      list_ours (monitor, "query-jobs", "id", CS_DISK_PREFIX, NULL, &error);
  if (jobs == NULL)
    note (first, error);
  for (guint i = 0; jobs != NULL && i < jobs->len; i++)
    cs_monitor_execute (monitor, "job-dismiss", cs_json_strings ("id", jobs->pdata[i], NULL), NULL,
                        NULL);
}

/* The newest comes first in QEMU's list, so parents before children. */
static void
remove_nodes (CsMonitor *monitor, GError **first)
{
  GError *error = NULL;
  g_autoptr (CsJson) nodes = cs_block_nodes_query (monitor, &error);
  if (error != NULL)
    note (first, error);
  for (gsize i = 0; i < cs_array_length (nodes); i++)
    {
      json_object *node = json_object_array_get_idx (nodes, i);
      if (is_ours (node, "node-name", CS_DISK_PREFIX))
        execute_noting (monitor, "blockdev-del",
                        cs_json_strings ("node-name", cs_json_string (node, "node-name"), NULL),
                        first);
    }
}

static void
remove_fdsets (CsMonitor *monitor, const char *opaque, GError **first)
{
  GError *error = NULL;
  g_autoptr (CsJson) sets = NULL;
  if (!cs_monitor_execute (monitor, "query-fdsets", NULL, &sets, &error))
    note (first, error);
  for (gsize i = 0; i < cs_array_length (sets); i++)
    {
      json_object *set = json_object_array_get_idx (sets, i);
      json_object *fds = cs_member (set, "fds");
      if (cs_array_length (fds) == 0
          || !is_ours (json_object_array_get_idx (fds, 0), "opaque", opaque))
        continue;
      json_object *arguments = json_object_new_object ();
      json_object_object_add (arguments, "fdset-id",
                              json_object_new_int64 (cs_member_int (set, "fdset-id")));
      execute_noting (monitor, "remove-fd", arguments, first);
    }
}

bool
cs_disk_remove_ours (CsMonitor *monitor, bool stop_server, GError **error)
{
  GError *first = NULL;
  remove_exports (monitor, &first);
  /* There may be none any more: that is what we want. */
  if (stop_server)
    cs_monitor_execute (monitor, "nbd-server-stop", NULL, NULL, NULL);
  cancel_jobs (monitor, &first);
  dismiss_jobs (monitor, &first);
  GError *error_of_devices = NULL;
  if (!cs_disk_divert_undo (monitor, &error_of_devices))
    note (&first, error_of_devices);
  remove_nodes (monitor, &first);
  remove_fdsets (monitor, CS_DISK_FDSET, &first);
  if (first == NULL)
    return true;
  g_propagate_error (error, first);
  return false;
}

json_object *
cs_disk_find_bitmap (json_object *info, const char *name)
{
  json_object *bitmaps = cs_member (info, "dirty-bitmaps");
  for (gsize i = 0; i < cs_array_length (bitmaps); i++)
    {
      json_object *bitmap = json_object_array_get_idx (bitmaps, i);
      if (g_strcmp0 (cs_json_string (bitmap, "name"), name) == 0)
        return bitmap;
    }
  return NULL;
}

static void
remove_bitmaps_of (CsMonitor *monitor, json_object *node, const char *keep, GError **first)
{
  json_object *bitmaps = cs_member (node, "dirty-bitmaps");
  for (gsize i = 0; i < cs_array_length (bitmaps); i++)
    {
      json_object *bitmap = json_object_array_get_idx (bitmaps, i);
      const char *name = cs_json_string (bitmap, "name");
      if (!is_ours (bitmap, "name", CS_DISK_PREFIX)
          || (g_strcmp0 (name, keep) == 0 && cs_member_true (bitmap, "recording")))
        continue;
      execute_noting (
          monitor, "block-dirty-bitmap-remove",
          cs_json_strings ("node", cs_json_string (node, "node-name"), "name", name, NULL), first);
    }
}

/* The server is ours when a capture of ours stood in the middle (it starts after the first node was
 * added and ends before the last goes) and nobody else exports anything. */
static bool
server_is_ours (CsMonitor *monitor, GError **error)
{
  guint others = 0;
  g_autoptr (GPtrArray) exports =
      list_ours (monitor, "query-block-exports", "id", CS_DISK_PREFIX, &others, error);
  if (exports == NULL || others > 0)
    return false;
  g_autoptr (CsJson) nodes = cs_block_nodes_query (monitor, error);
  bool ours = exports->len > 0;
  for (gsize i = 0; i < cs_array_length (nodes); i++)
    ours = ours || is_ours (json_object_array_get_idx (nodes, i), "node-name", CS_DISK_PREFIX);
  return ours;
}

bool
cs_disks_cleanup (CsMonitor *monitor, const char *keep_bitmap, GError **error)
{
  GError *first = NULL;
  bool server = server_is_ours (monitor, &first);
  GError *local = NULL;
  if (!cs_disk_remove_ours (monitor, server, &local))
    note (&first, local);
  remove_fdsets (monitor, CS_DISK_PREFIX, &first);
  local = NULL;
  g_autoptr (CsJson) nodes = cs_block_nodes_query (monitor, &local);
  if (local != NULL)
    note (&first, local);
  for (gsize i = 0; i < cs_array_length (nodes); i++)
    remove_bitmaps_of (monitor, json_object_array_get_idx (nodes, i), keep_bitmap, &first);
  if (first == NULL)
    return true;
  g_propagate_error (error, first);
  return false;
}
