/* Theory of operation
 *
 * Everything that may take time, fail for lack of something or allocate happens before the pause:
 * the scratch nodes of the disks, the memfd of the device state, the buffer for the last pages, the
 * copying of all pages but those written in the last few milliseconds.  Write protection is armed
 * in micro-pauses only (rule 1): stop, scan, cont.
 *
 * The pause is one function (pause_and_capture): stop, device state, one transaction for all disks,
 * scan, copy of the remainder.  The VM's capture begins as soon as the VM itself stands; only
 * resuming waits for the barrier (rule 2).  Whatever happens in between, the function ends with
 * cont: at the deadline, when the connection to the coordinator ends, when a step fails (rule 5).
 *
 * What scans consumed is in CsPages until the snapshot is sealed.  Freed before that, it goes back
 * to the VM's base and comes first in the next snapshot (rule 3).
 */
#include "config.h"

#include "common/error.h"
#include "vmm/capture-private.h"
#include "vmm/precheck.h"

enum
{
  COMMAND_GRACE = 5000000, /* us: for what must be undone after a deadline has passed */
};

/* Sets a flag under the lock and wakes who waits for it. */
void
cs_capture_raise (CsCapture *capture, bool *flag)
{
  g_mutex_lock (&capture->lock);
  *flag = true;
  g_cond_broadcast (&capture->changed);
  g_mutex_unlock (&capture->lock);
}

bool
cs_capture_check_cancelled (CsCapture *capture, GError **error)
{
  g_mutex_lock (&capture->lock);
  bool cancelled = capture->cancelled;
  g_mutex_unlock (&capture->lock);
  if (cancelled)
    g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "the snapshot was cancelled");
  return !cancelled;
}

bool
cs_capture_cont (CsCapture *capture, GError **error)
{
  cs_monitor_set_deadline (capture->monitor, g_get_monotonic_time () + COMMAND_GRACE);
  bool running = cs_monitor_cont (capture->monitor, error);
  cs_monitor_set_deadline (capture->monitor, 0);
  return running;
}

/* ---- CHECK ---- */

static bool
check_vm (CsCapture *capture, GError **error)
{
  CsVm *vm = capture->vm;
  if (!cs_tracker_probe (error) || !cs_vm_open (vm, error))
    return false;
  capture->monitor = cs_vm_monitor (vm);
  CsRestore *filling = cs_vm_filling (vm);
  if (filling != NULL && !cs_restore_hold_disks (filling, error))
    return false;
  if (!cs_precheck (capture->monitor, error))
    return false;
  capture->summary = cs_precheck_summary (capture->monitor, error);
  if (capture->summary == NULL)
    return false;
  capture->source = cs_source_capture (capture->monitor, vm->ref, error);
  if (capture->source == NULL)
    return false;
  if (!cs_disks_cleanup (capture->monitor, vm->base ? vm->base->bitmap : NULL, error))
    return false;
  cs_monitor_learn_vcpus (capture->monitor);
  capture->disks = cs_disks_query (capture->monitor, error);
  if (capture->disks == NULL)
    return false;
  capture->blocks = cs_ram_blocks_query (capture->monitor, error);
  return capture->blocks != NULL;
}

/* While memory is arriving (rule 9), what is not there yet is in the image it comes from only: a
 * snapshot that is no delta to that would miss it. */
static bool
check_complete (const CsCapture *capture, GError **error)
{
  CsRestore *filling = cs_vm_filling (capture->vm);
  if (capture->incremental || filling == NULL || cs_restore_lazy (filling) == NULL)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
               "memory of VM '%s' is still arriving after its restore: try again when it is "
               "complete, or take the snapshot in the store that it comes from",
               capture->vm->ref->name);
  return false;
}

CsCapture *
cs_capture_new (CsVm *vm, const CsCaptureOptions *options, GError **error)
{
  CsCapture *capture = g_new0 (CsCapture, 1);
  capture->vm = vm;
  capture->store = options->store;
  capture->scratch_directory = g_strdup (options->scratch_directory);
  capture->pause_deadline = options->pause_deadline;
  capture->max_rounds = options->max_rounds;
  capture->quiesce_deadline = options->quiesce_deadline;
  capture->agent = cs_agent_new (vm->ref->name, options->agent);
  g_mutex_init (&capture->lock);
  g_cond_init (&capture->changed);
  if (!check_vm (capture, error))
    {
      cs_capture_free (capture);
      return NULL;
    }
  capture->tracker = cs_vm_tracker (vm);
  capture->incremental =
      capture->tracker != NULL && vm->base != NULL && vm->base->store == capture->store;
  if (!check_complete (capture, error))
    {
      cs_capture_free (capture);
      return NULL;
    }
  return capture;
}

/* ---- SEAL ---- */

static void
carry_over (CsCapture *capture)
{
  CsVmBase *base = capture->vm->base;
  /* Without a base the next snapshot is complete anyway.  One that was complete because it goes to
   * another store has consumed the same pages. */
  if (capture->pages != NULL && base != NULL)
    cs_pages_give_back (capture->pages, base->blocks);
}

void
cs_capture_commit (CsCapture *capture)
{
  g_autoptr (GError) error = NULL;
  capture->committed = true;
  bool tracked =
      capture->disk_capture == NULL || cs_disk_capture_commit (capture->disk_capture, &error);
  if (!tracked)
    g_warning ("VM '%s': the next snapshot reads its disks as a whole: %s", capture->vm->ref->name,
               error->message);
  cs_vm_set_base (capture->vm, cs_vm_base_new (capture->store, capture->image, capture->tracker,
                                               tracked ? capture->bitmap : NULL, capture->disks));
}

void
cs_capture_free (CsCapture *capture)
{
  if (capture == NULL)
    return;
  cs_agent_resume (capture->agent);
  if (!capture->committed)
    carry_over (capture);
  cs_disk_capture_free (capture->disk_capture);
  cs_device_state_free (capture->devices);
  cs_pages_free (capture->pages);
  cs_image_writer_free (capture->writer);
  g_clear_pointer (&capture->blocks, g_ptr_array_unref);
  g_clear_pointer (&capture->disks, g_ptr_array_unref);
  json_object_put (capture->source);
  json_object_put (capture->summary);
  cs_vm_close (capture->vm);
  cs_agent_free (capture->agent);
  g_mutex_clear (&capture->lock);
  g_cond_clear (&capture->changed);
  g_free (capture->scratch_directory);
  g_free (capture->bitmap);
  g_free (capture->image);
  g_free (capture);
}

/* ---- reports ---- */

CsVm *
cs_capture_vm (const CsCapture *capture)
{
  return capture->vm;
}

bool
cs_capture_is_incremental (const CsCapture *capture)
{
  return capture->incremental;
}

const CsCaptureStats *
cs_capture_stats (const CsCapture *capture)
{
  return &capture->stats;
}

const char *
cs_capture_image (const CsCapture *capture)
{
  return capture->image;
}

guint64
cs_capture_memory (const CsCapture *capture)
{
  guint64 bytes = 0;
  for (guint i = 0; i < capture->blocks->len; i++)
    bytes += ((const CsRamBlock *)g_ptr_array_index (capture->blocks, i))->used_length;
  return bytes;
}

guint
cs_capture_n_disks (const CsCapture *capture)
{
  return capture->disks->len;
}
