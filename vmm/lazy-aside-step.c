/* An image set aside (lazy-aside.h) becomes the guest's disk while that runs. */
#include "config.h"

#include "vmm/lazy-aside-private.h"

#include "common/error.h"
#include "common/fault.h"
#include "vmm/disk-private.h"
#include "vmm/transaction.h"

#include <unistd.h>

/* Whether a device has @node, NULL: none has. */
static bool
has_device (const CsLazyAsideLook *look, const char *node)
{
  for (gsize i = 0; node != NULL && i < cs_array_length (look->blocks); i++)
    if (g_strcmp0 (cs_lazy_aside_top_of (json_object_array_get_idx (look->blocks, i)), node) == 0)
      return true;
  return false;
}

static const char *
image_node (const CsLazyAsideLook *look)
{
  return cs_block_graph_child (look->graph, look->aside->hold, "file");
}

/* In the background: where such a job fails or is ended early while the guest's own writes copy
 * (below), these end in memory that QEMU (10.0, mirror_run) has freed. */
static bool
mirror (const CsLazyAsideLook *look, const char *image, GError **error)
{
  return cs_monitor_execute (look->monitor, "blockdev-mirror",
                             cs_json_strings ("job-id", look->aside->job, "device",
                                              look->aside->node, "target", image, "sync", "top",
                                              NULL),
                             NULL, error);
}

/* The job is ready: the guest's writes go to both from now on, so that it comes to its end however
 * much the guest writes.  A transaction, of nothing, waits for those that began before. */
static bool
write_both (CsLazyAside *aside, CsMonitor *monitor, GError **error)
{
  aside->both =
      cs_monitor_execute (
          monitor, "block-job-change",
          cs_json_strings ("id", aside->job, "type", "mirror", "copy-mode", "write-blocking", NULL),
          NULL, error)
      && cs_monitor_execute (monitor, "transaction",
                             cs_transaction_arguments (json_object_new_array ()), NULL, error);
  return aside->both;
}

static bool
start_job (const CsLazyAsideLook *look, GError **error)
{
  CsLazyAside *aside = look->aside;
  const char *image = image_node (look);
  if (image == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_STATE, "disk '%s' has lost its node '%s'",
                   aside->disk.form->name, aside->hold);
      return false;
    }
  if (!cs_fault_point ("disk-mirror", error))
    return false;
  aside->both = false;
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
remove_node (const CsLazyAsideLook *look, const char *node, GError **error)
{
  return cs_block_graph_info (look->graph, node) == NULL
         || cs_monitor_execute (look->monitor, "blockdev-del",
                                cs_json_strings ("node-name", node, NULL), NULL, error);
}

/* The device has its node again. */
static bool
finish (const CsLazyAsideLook *look, bool *complete, GError **error)
{
  CsLazyAside *aside = look->aside;
  if (!cs_fault_point ("disk-finish", error) || !remove_node (look, aside->node, error)
      || !remove_node (look, aside->hold, error) || !cs_lazy_aside_take_name (aside, error))
    return false;
  unlink (aside->overlay);
  *complete = true;
  return true;
}

/* Both images are the same, and every write goes to both. */
static bool
change_over (const CsLazyAsideLook *look, bool *complete, GError **error)
{
  CsLazyAside *aside = look->aside;
  g_auto (CsLazyAsideLook) after = { .aside = aside, .monitor = look->monitor };
  if (!cs_fault_point ("disk-name", error) || !cs_lazy_aside_take_name (aside, error)
      || !cs_fault_point ("disk-pivot", error)
      || !cs_lazy_aside_copy_bitmaps (look, aside->node, image_node (look), error)
      || !cs_monitor_execute (look->monitor, "job-complete",
                              cs_json_strings ("id", aside->job, NULL), NULL, error)
      || !cs_disk_wait_absent (look->monitor, "query-block-jobs", "device", aside->job, error)
      || !cs_lazy_aside_look (&after, error))
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

static bool
step_fill (const CsLazyAsideLook *look, bool may_export, bool *filled, GError **error)
{
  CsLazyAside *aside = look->aside;
  const char *image = image_node (look);
  CsNbd *nbd = NULL;
  CsLazyAsideState state = cs_lazy_aside_end_fill (aside, error);
  *filled = state == ASIDE_FILLED;
  if (state != ASIDE_FILLING)
    cs_lazy_aside_end_export (aside, look->monitor);
  if (state != ASIDE_EMPTY)
    return state != ASIDE_FAILED;
  if (cs_lazy_aside_needs_export (aside))
    {
      if (!may_export || image == NULL)
        return true;
      if ((nbd = cs_lazy_aside_export (aside, look->monitor, image, error)) == NULL)
        return false;
    }
  cs_lazy_aside_start_fill (aside, nbd);
  return true;
}

bool
cs_lazy_aside_tell_failure (const CsLazyAside *aside, GError **error)
{
  g_set_error (error, CS_ERROR, CS_ERROR_IO,
               "disk '%s' ('%s') could not be filled to its end: its job has failed",
               aside->disk.form->name, aside->path);
  return false;
}

/* The guest still works on the overlay. */
static bool
step_overlay (const CsLazyAsideLook *look, bool may_export, bool *complete, GError **error)
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
  if (job != NULL && !aside->both)
    return !cs_member_true (job, "ready") || write_both (aside, look->monitor, error);
  if (job != NULL)
    return !cs_member_true (job, "actively-synced") || change_over (look, complete, error);
  if (aside->begun)
    {
      aside->begun = false;
      return cs_lazy_aside_tell_failure (aside, error);
    }
  return step_fill (look, may_export, &filled, error) && (!filled || start_job (look, error));
}

bool
cs_lazy_aside_step (CsLazyAside *aside, CsMonitor *monitor, bool may_export, bool *complete,
                    GError **error)
{
  g_auto (CsLazyAsideLook) look = { .aside = aside, .monitor = monitor };
  *complete = false;
  if (!cs_lazy_aside_look (&look, error))
    return false;
  if (has_device (&look, aside->node))
    return step_overlay (&look, may_export, complete, error);
  /* Without both nodes only the files are left of it.  Otherwise it was taken out: the image gets
   * the rest when QEMU has ended. */
  bool nothing_there =
      cs_block_graph_info (look.graph, aside->node) == NULL && cs_lazy_aside_is_named (aside);
  return (!nothing_there && !has_device (&look, image_node (&look)))
         || finish (&look, complete, error);
}

/* One that is ready may have the guest's writes copy already: it must end in sync. */
static void
end_job (CsLazyAside *aside, CsMonitor *monitor)
{
  g_autoptr (CsJson) jobs = NULL;
  json_object *job = NULL;
  if (cs_monitor_execute (monitor, "query-block-jobs", NULL, &jobs, NULL))
    job = find_job (jobs, aside->job);
  if (job == NULL)
    return;
  bool in_sync = cs_member_true (job, "ready") && write_both (aside, monitor, NULL);
  json_object *arguments = cs_json_strings ("device", aside->job, NULL);
  json_object_object_add (arguments, "force", json_object_new_boolean (!in_sync));
  cs_monitor_execute (monitor, "block-job-cancel", arguments, NULL, NULL);
}

void
cs_lazy_aside_hold (CsLazyAside *aside, CsMonitor *monitor)
{
  aside->begun = false;
  end_job (aside, monitor);
  if (aside->server == NULL)
    return;
  cs_lazy_aside_stop_fill (aside);
  cs_lazy_aside_end_export (aside, monitor);
}
