/* The pause of a rollback. */
#include "config.h"

#include "common/error.h"
#include "common/fault.h"
#include "vmm/rollback-private.h"

#include <string.h>

enum
{
  COMMAND_GRACE = 5000000, /* us: for what must be undone after a deadline has passed */
  APPLY_LIMIT = 120000000, /* us: who stands longer half taken back is taken back anew */
};

/* ---- before the point of no return ---- */

bool
cs_rollback_undo_stop (CsRollback *rollback, GError **error)
{
  cs_rollback_network_open (rollback->network, false);
  cs_monitor_set_deadline (rollback->monitor, g_get_monotonic_time () + COMMAND_GRACE);
  bool running = cs_monitor_cont (rollback->monitor, error);
  cs_monitor_set_deadline (rollback->monitor, 0);
  rollback->stopped = !running;
  rollback->stats.pause = g_get_monotonic_time () - rollback->begun_at;
  return running;
}

/* A step has failed: the VM runs on, whatever else, unless it was half taken back before. */
static bool
give_up (CsRollback *rollback, GError **error)
{
  g_autoptr (GError) problem = NULL;
  if (!rollback->touched && !cs_rollback_undo_stop (rollback, &problem))
    g_prefix_error (error, "cannot resume VM '%s': %s; after: ", rollback->vm->ref->name,
                    problem->message);
  return false;
}

/* Memory that was plugged meanwhile would be lost with its device. */
static bool
check_blocks (CsRollback *rollback, GError **error)
{
  g_autoptr (GPtrArray) blocks = cs_ram_blocks_query (rollback->monitor, error);
  if (blocks == NULL)
    return false;
  bool same = blocks->len == rollback->blocks->len;
  for (guint i = 0; same && i < blocks->len; i++)
    {
      const CsRamBlock *a = g_ptr_array_index (blocks, i);
      const CsRamBlock *b = g_ptr_array_index (rollback->blocks, i);
      same =
          strcmp (a->name, b->name) == 0 && a->host == b->host && a->used_length == b->used_length;
    }
  if (!same)
    g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                 "memory or a device with memory was plugged into or out of VM '%s' during the "
                 "rollback: try again",
                 rollback->vm->ref->name);
  return same;
}

bool
cs_rollback_stop (CsRollback *rollback, GError **error)
{
  CsRollbackStats *stats = &rollback->stats;
  if (!cs_rollback_check_cancelled (rollback, error)
      || (rollback->disk_rollback != NULL
          && !cs_disk_rollback_preflush (rollback->disk_rollback, error)))
    return false;
  rollback->begun_at = g_get_monotonic_time ();
  cs_monitor_set_deadline (rollback->monitor, rollback->begun_at + rollback->pause_deadline);
  cs_rollback_network_block (rollback->network);
  /* A stop that timed out may still come into force. */
  rollback->stopped = true;
  if (!CS_ROLLBACK_TIMED (&stats->stop, cs_monitor_stop (rollback->monitor, error))
      || !cs_fault_point ("rollback-stop", error) || !check_blocks (rollback, error)
      || !CS_ROLLBACK_TIMED (&stats->scan, cs_rollback_pages_scan (rollback->pages, error)))
    return give_up (rollback, error);
  cs_rollback_pages_count (rollback->pages, &stats->pages, &stats->pages_late);
  stats->whole = cs_rollback_pages_is_whole (rollback->pages);
  rollback->applied_at = g_get_monotonic_time ();
  return true;
}

static bool
check_time (CsRollback *rollback, GError **error)
{
  gint64 stands = g_get_monotonic_time () - rollback->begun_at;
  if (stands < rollback->pause_deadline)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE,
               "VM '%s' has stood for %.0f ms without being taken back (the coordinator or another "
               "VM is stuck): it runs on, nothing was rolled back",
               rollback->vm->ref->name, (double)stands / 1000);
  return false;
}

/* ---- after it ---- */

static bool
after_first_write (GError **error)
{
  return cs_fault_point ("rollback-apply", error);
}

static bool
apply_disks (CsRollback *rollback, GError **error)
{
  return rollback->disk_rollback == NULL
         || cs_disk_rollback_apply (rollback->disk_rollback, &rollback->touched,
                                    &rollback->stats.disk_bytes, error);
}

static bool
load_devices (CsRollback *rollback, GError **error)
{
  rollback->touched = true;
  return cs_fault_point ("rollback-devices", error)
         && cs_device_load_run (rollback->devices, error);
}

static bool
apply_all (CsRollback *rollback, GError **error)
{
  CsRollbackStats *stats = &rollback->stats;
  /* From here on nothing may be cut short. */
  cs_monitor_set_deadline (rollback->monitor, 0);
  cs_monitor_extend_stop (rollback->monitor, g_get_monotonic_time () + APPLY_LIMIT);
  return CS_ROLLBACK_TIMED (&stats->memory,
                            cs_rollback_pages_write (rollback->pages, &rollback->touched,
                                                     after_first_write, error))
         && CS_ROLLBACK_TIMED (&stats->disks, apply_disks (rollback, error))
         && CS_ROLLBACK_TIMED (&stats->devices, load_devices (rollback, error))
         && CS_ROLLBACK_TIMED (&stats->fix_up, cs_rollback_pages_fix_up (
                                                   rollback->pages, &stats->fix_up_pages, error));
}

bool
cs_rollback_apply (CsRollback *rollback, GError **error)
{
  g_return_val_if_fail (rollback->stopped && !rollback->applied, false);
  rollback->stats.wait = g_get_monotonic_time () - rollback->applied_at;
  if (!cs_rollback_check_cancelled (rollback, error) || !check_time (rollback, error))
    return give_up (rollback, error);
  rollback->applied = apply_all (rollback, error);
  rollback->applied_at = g_get_monotonic_time ();
  if (rollback->applied)
    return true;
  if (!rollback->touched)
    return give_up (rollback, error);
  /* Nobody knows any more what its memory holds. */
  cs_vm_forget_base (rollback->vm);
  g_prefix_error (error, "VM '%s' is half taken back: ", rollback->vm->ref->name);
  return false;
}

/* ---- resume ---- */

static void
set_base (CsRollback *rollback)
{
  CsVm *vm = rollback->vm;
  if (rollback->fresh != NULL)
    {
      g_clear_pointer (&vm->tracker, cs_tracker_free);
      vm->tracker = g_steal_pointer (&rollback->fresh);
      vm->pid = cs_monitor_pid (rollback->monitor);
      vm->start_time = cs_process_start_time (vm->pid);
    }
  CsVmBase *base = cs_vm_base_new (rollback->store, rollback->document->image, rollback->tracker,
                                   rollback->bitmap, rollback->disks);
  base->snapshot = g_strdup (rollback->snapshot);
  cs_vm_set_base (vm, base);
}

bool
cs_rollback_resume (CsRollback *rollback, GError **error)
{
  g_return_val_if_fail (rollback->applied && !rollback->resumed, false);
  CsRollbackStats *stats = &rollback->stats;
  stats->wait += g_get_monotonic_time () - rollback->applied_at;
  stats->frames_dropped = cs_rollback_network_open (rollback->network, true);
  gint64 cont = g_get_monotonic_time ();
  if (!cs_fault_point ("rollback-resume", error) || !cs_monitor_cont (rollback->monitor, error))
    {
      cs_vm_forget_base (rollback->vm);
      return false;
    }
  stats->resumed_at = cs_monitor_resumed_at (rollback->monitor);
  stats->cont = stats->resumed_at - cont;
  stats->pause = stats->resumed_at - rollback->begun_at;
  rollback->resumed = true;
  rollback->stopped = false;
  set_base (rollback);
  return true;
}
