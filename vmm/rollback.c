/* Theory of operation
 *
 * A VM is what its memory, its disks and its devices hold.  All three are taken back while QEMU
 * stands, without starting it anew:
 *
 *   memory   only pages that may differ from the snapshot are written: rollback-pages.c
 *   disks    the changed extents: disk-rollback.h
 *   devices  `snapshot-load` of a small qcow2 image whose one internal snapshot holds the saved
 *            device sections and no RAM (vmstate-image.c).  The load begins with a system reset,
 *            which rewrites memory that ROMs are loaded into: hence a second pass over what was
 *            written since the first
 *
 * and the network's queues are emptied (rollback-network.c): what other VMs sent before they were
 * taken back must not arrive afterwards.
 *
 * What takes time is done while the VM runs: the differences between the images, reading the old
 * content, the image of the device state, the disks' export.  The pause is stop, scan, write, load,
 * write, cont.
 *
 * The point of no return is the first write (`touched`).  Before it, the VM goes on as though
 * nothing had been: its dirty set was looked at and not consumed (rule 3), a tracker that was made
 * for the rollback goes away.  After it, a failure leaves the VM standing and its base
 * forgotten: nobody knows what its memory holds, and only a restore, or another rollback, which
 * then writes all of it, makes it whole.  Until then it must not run, not for a moment: its rings
 * in memory are of another time than its devices, so QEMU takes what lies between the two indices
 * for requests and executes those of the past again, writes too; what the guest itself then does
 * and finds is wrong.  While it stands QEMU looks into no ring, whatever is done to its disks.
 *
 * What a clusnapd that was killed has left standing (@standing) may be half taken back: from the
 * beginning it is past the point of no return.
 *
 * Afterwards the VM's base is the target image, with next to nothing dirty: the next snapshot is a
 * delta to the one that was rolled back to.
 */
#include "config.h"

#include "common/error.h"
#include "vmm/precheck.h"
#include "vmm/rollback-private.h"

#include <string.h>

bool
cs_rollback_check_cancelled (CsRollback *rollback, GError **error)
{
  g_mutex_lock (&rollback->lock);
  bool cancelled = rollback->cancelled;
  g_mutex_unlock (&rollback->lock);
  if (cancelled)
    g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "the rollback was cancelled");
  return !cancelled;
}

void
cs_rollback_cancel (CsRollback *rollback)
{
  g_mutex_lock (&rollback->lock);
  rollback->cancelled = true;
  g_mutex_unlock (&rollback->lock);
}

/* ---- new ---- */

static bool
open_images (CsRollback *rollback, GError **error)
{
  rollback->target = cs_image_open (rollback->store, rollback->document->image, error);
  return rollback->target != NULL
         && cs_restore_document_bind (rollback->document, rollback->target, error);
}

static bool
check_vm (CsRollback *rollback, GError **error)
{
  CsVm *vm = rollback->vm;
  if (!cs_tracker_probe (error) || !cs_vm_open (vm, error))
    return false;
  rollback->monitor = cs_vm_monitor (vm);
  rollback->tracker = cs_vm_tracker (vm);
  CsRestore *filling = cs_vm_filling (vm);
  if (filling != NULL && !cs_restore_hold_disks (filling, error))
    return false;
  if (!(rollback->touched ? cs_precheck_standing : cs_precheck) (rollback->monitor, error)
      || !cs_restore_document_check_qemu (rollback->document, rollback->monitor, error)
      || !cs_disks_cleanup (rollback->monitor, vm->base ? vm->base->bitmap : NULL, error))
    return false;
  cs_monitor_learn_vcpus (rollback->monitor);
  rollback->disks = cs_disks_query (rollback->monitor, error);
  if (rollback->disks == NULL || !cs_rollback_check_disks (rollback, rollback->disks, error))
    return false;
  rollback->blocks = cs_ram_blocks_query (rollback->monitor, error);
  return rollback->blocks != NULL && cs_rollback_check_blocks (rollback, rollback->blocks, error);
}

CsRollback *
cs_rollback_new (CsVm *vm, json_object *document, const CsRollbackOptions *options, GError **error)
{
  CsRestoreDocument *parsed = cs_restore_document_parse (document, error);
  if (parsed == NULL)
    return NULL;
  CsRollback *rollback = g_new0 (CsRollback, 1);
  rollback->vm = vm;
  rollback->store = options->store;
  rollback->snapshot = g_strdup (options->snapshot);
  rollback->scratch_directory = g_strdup (options->scratch_directory);
  rollback->read_ahead = options->read_ahead;
  rollback->kept = options->kept;
  rollback->pause_deadline = options->pause_deadline;
  rollback->touched = options->standing;
  rollback->document = parsed;
  g_mutex_init (&rollback->lock);
  if (open_images (rollback, error) && check_vm (rollback, error))
    return rollback;
  cs_rollback_free (rollback);
  return NULL;
}

/* ---- the end ---- */

static void
undo_pages (CsRollback *rollback)
{
  CsVmBase *base = rollback->vm->base;
  if (rollback->pages != NULL && base != NULL && rollback->fresh == NULL)
    cs_rollback_pages_undo (rollback->pages, base->blocks);
}

void
cs_rollback_free (CsRollback *rollback)
{
  if (rollback == NULL)
    return;
  g_autoptr (GError) error = NULL;
  if (rollback->stopped && !rollback->touched && !cs_rollback_undo_stop (rollback, &error))
    g_warning ("cannot resume VM '%s': %s", rollback->vm->ref->name, error->message);
  if (!rollback->touched)
    undo_pages (rollback);
  cs_device_load_free (rollback->devices);
  cs_disk_rollback_free (rollback->disk_rollback);
  cs_rollback_network_free (rollback->network);
  cs_rollback_pages_free (rollback->pages);
  if (rollback->held != NULL && rollback->kept != NULL)
    cs_kept_pages_put (rollback->kept, rollback->vm->key, rollback->store,
                       rollback->document->image, rollback->held);
  else
    cs_held_pages_free (rollback->held);
  cs_tracker_free (rollback->fresh);
  if (rollback->base != rollback->target)
    cs_image_free (rollback->base);
  cs_image_free (rollback->target);
  g_clear_pointer (&rollback->blocks, g_ptr_array_unref);
  g_clear_pointer (&rollback->disks, g_ptr_array_unref);
  cs_restore_document_free (rollback->document);
  cs_vm_close (rollback->vm);
  g_mutex_clear (&rollback->lock);
  g_free (rollback->snapshot);
  g_free (rollback->scratch_directory);
  g_free (rollback->bitmap);
  g_free (rollback);
}

bool
cs_rollback_is_past_return (const CsRollback *rollback)
{
  return rollback->touched;
}

const CsRollbackStats *
cs_rollback_stats (const CsRollback *rollback)
{
  return &rollback->stats;
}
