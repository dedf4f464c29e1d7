/* The floor: what a pause costs in which nothing is done about memory. */
#include "config.h"

#include "bench/pause-tool.h"

#include "vmm/devstate.h"
#include "vmm/disk.h"

typedef struct
{
  GPtrArray *disks;
  CsDeviceState *devices;
  CsDiskCapture *capture;
} Floor;

static bool
prepare (CsPauseVm *vm, GError **error)
{
  Floor *floor = g_new0 (Floor, 1);
  vm->state = floor;
  cs_monitor_learn_vcpus (vm->monitor);
  floor->disks = cs_disks_query (vm->monitor, error);
  if (floor->disks == NULL)
    return false;
  floor->devices = cs_device_state_new (vm->monitor, error);
  if (floor->devices == NULL)
    return false;
  floor->capture =
      cs_disk_capture_new (vm->monitor, floor->disks, vm->directory, NULL, "clusnap-floor", error);
  return floor->capture != NULL && cs_disk_capture_preflush (floor->capture, error);
}

static bool
save (CsPauseVm *vm, GError **error)
{
  Floor *floor = vm->state;
  return cs_monitor_stop (vm->monitor, error) && cs_device_state_save (floor->devices, error)
         && cs_disk_capture_cut (floor->capture, error);
}

static bool
cont (CsPauseVm *vm, GError **error)
{
  return cs_monitor_cont (vm->monitor, error);
}

static bool
save_and_cont (CsPauseVm *vm, GError **error)
{
  return save (vm, error) && cont (vm, error);
}

/* Leaves nothing in QEMU: the next round, and clusnap, begin as the first did. */
static bool
finish (CsPauseVm *vm, GError **error)
{
  Floor *floor = g_steal_pointer (&vm->state);
  cs_disk_capture_free (floor->capture);
  cs_device_state_free (floor->devices);
  g_ptr_array_unref (floor->disks);
  g_free (floor);
  cs_monitor_forget_events (vm->monitor);
  return true;
}

const CsPauseMethod cs_pause_floor = { "floor", prepare, save_and_cont, NULL, finish };
const CsPauseMethod cs_pause_floor_together = { "together", prepare, save, cont, finish };
