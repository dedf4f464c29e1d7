/* What a rollback does while the VM runs. */
#include "config.h"

#include "common/error.h"
#include "vmm/rollback-private.h"

#include <string.h>

enum
{
  MAX_ROUNDS = 6,
  FEW_PAGES = 256, /* content that is read from the store in a few ms */
};

static bool
prepare_tracker (CsRollback *rollback, GError **error)
{
  if (rollback->tracker != NULL)
    return true;
  rollback->fresh = cs_tracker_new (rollback->monitor, error);
  rollback->tracker = rollback->fresh;
  return rollback->tracker != NULL;
}

/* The image that the dirty set counts from. */
static bool
open_base (CsRollback *rollback, GError **error)
{
  const CsVmBase *base = rollback->vm->base;
  if (rollback->fresh != NULL || base == NULL || base->store != rollback->store)
    return true;
  if (strcmp (base->image, rollback->document->image) == 0)
    rollback->base = rollback->target;
  else
    rollback->base = cs_image_open (rollback->store, base->image, error);
  return rollback->base != NULL;
}

/* Reads ahead until what is late is little, or no longer shrinks. */
static bool
read_ahead (CsRollback *rollback, GError **error)
{
  guint64 last = G_MAXUINT64, count, room = cs_held_pages_room (rollback->held);
  for (guint round = 0; round < MAX_ROUNDS; round++)
    {
      if (!cs_rollback_check_cancelled (rollback, error)
          || !cs_rollback_pages_read_ahead (rollback->pages, &count, error))
        return false;
      if (count <= FEW_PAGES || (round > 1 && count > last - last / 4))
        break;
      last = count;
    }
  rollback->stats.pages_ahead = room - cs_held_pages_room (rollback->held);
  return true;
}

/* Of an image that is gone nobody knows what of it would still do. */
static bool
retarget (CsRollback *rollback, CsHeldPages *held, const char *image)
{
  if (strcmp (image, cs_image_id (rollback->target)) == 0)
    return true;
  g_autoptr (CsImage) opened = NULL;
  const CsImage *from = rollback->base;
  if (from == NULL || strcmp (image, cs_image_id (from)) != 0)
    from = opened = cs_image_open (rollback->store, image, NULL);
  if (from != NULL)
    cs_held_pages_retarget (held, from, rollback->target);
  return from != NULL;
}

/* What an earlier rollback has read, as far as it will do. */
static bool
prepare_held (CsRollback *rollback, GError **error)
{
  g_autofree char *image = NULL;
  g_autoptr (CsHeldPages) held =
      rollback->kept != NULL
          ? cs_kept_pages_take (rollback->kept, rollback->vm->key, rollback->store, &image)
          : NULL;
  if (held != NULL && retarget (rollback, held, image))
    rollback->held = g_steal_pointer (&held);
  else
    rollback->held = cs_held_pages_new (rollback->read_ahead, error);
  return rollback->held != NULL;
}

static bool
prepare_pages (CsRollback *rollback, GError **error)
{
  if (!prepare_held (rollback, error))
    return false;
  CsVm *vm = rollback->vm;
  CsRestore *filling = cs_vm_filling (vm);
  CsRollbackPagesOptions options = { .pid = cs_monitor_pid (rollback->monitor),
                                     .tracker = rollback->tracker,
                                     .blocks = rollback->blocks,
                                     .target = rollback->target,
                                     .base = rollback->base,
                                     .carried = vm->base != NULL ? vm->base->blocks : NULL,
                                     .lazy = filling != NULL ? cs_restore_lazy (filling) : NULL,
                                     .held = rollback->held };
  rollback->pages = cs_rollback_pages_new (&options, error);
  return rollback->pages != NULL;
}

static bool
prepare_disks (CsRollback *rollback, GError **error)
{
  if (rollback->disks->len == 0)
    return true;
  const CsVmBase *base = rollback->vm->base;
  bool known = base != NULL && cs_vm_base_has_disks (base, rollback->disks);
  rollback->bitmap = g_strdup_printf ("clusnap-%08x%08x", g_random_int (), g_random_int ());
  CsDiskRollbackOptions options = { .monitor = rollback->monitor,
                                    .disks = rollback->disks,
                                    .target = rollback->target,
                                    .base = known ? rollback->base : NULL,
                                    .bitmap = known ? base->bitmap : NULL,
                                    .next = rollback->bitmap,
                                    .scratch_directory = rollback->scratch_directory,
                                    .read_ahead = rollback->read_ahead };
  rollback->disk_rollback = cs_disk_rollback_new (&options, error);
  return rollback->disk_rollback != NULL;
}

static bool
prepare_devices (CsRollback *rollback, GError **error)
{
  g_autoptr (GBytes) devices =
      cs_image_read_bytes (rollback->target, rollback->document->device_volume, error);
  if (devices == NULL)
    return false;
  CsDeviceLoadOptions options = { .machine = rollback->document->machine,
                                  .blocks = rollback->blocks,
                                  .devices = devices };
  rollback->devices = cs_device_load_new (rollback->monitor, &options, error);
  return rollback->devices != NULL;
}

/* The disks find no node of ours in QEMU yet; last comes what is overtaken by what the guest does.
 */
bool
cs_rollback_prepare (CsRollback *rollback, GError **error)
{
  if (!cs_rollback_check_cancelled (rollback, error) || !cs_rollback_check_devices (rollback, error)
      || !prepare_tracker (rollback, error) || !open_base (rollback, error)
      || !prepare_pages (rollback, error) || !prepare_disks (rollback, error)
      || !prepare_devices (rollback, error) || !cs_rollback_check_cancelled (rollback, error))
    return false;
  rollback->network = cs_rollback_network_new (cs_monitor_pid (rollback->monitor), error);
  return rollback->network != NULL && read_ahead (rollback, error);
}
