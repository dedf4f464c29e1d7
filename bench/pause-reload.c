/* The floor of a way back in place: the devices of VMs that stand are loaded, and they run. */
#include "config.h"

#include "bench/pause-tool.h"

#include "vmm/device-load.h"
#include "vmm/devstate.h"
#include "vmm/precheck.h"
#include "vmm/ramblock.h"

static GBytes *
save (CsMonitor *monitor, GError **error)
{
  g_autoptr (CsDeviceState) state = cs_device_state_new (monitor, error);
  if (state == NULL || !cs_device_state_save (state, error))
    return NULL;
  return cs_device_state_bytes (state, error);
}

/* The VM stands from here on: its memory stays the one that its devices belong to. */
static bool
prepare (CsPauseVm *vm, GError **error)
{
  cs_monitor_learn_vcpus (vm->monitor);
  g_autofree char *machine = cs_machine_type (vm->monitor, error);
  g_autoptr (GPtrArray) blocks = machine != NULL ? cs_ram_blocks_query (vm->monitor, error) : NULL;
  if (blocks == NULL || !cs_monitor_stop (vm->monitor, error))
    return false;
  g_autoptr (GBytes) devices = save (vm->monitor, error);
  CsDeviceLoadOptions options = { .machine = machine, .blocks = blocks, .devices = devices };
  vm->state = devices != NULL ? cs_device_load_new (vm->monitor, &options, error) : NULL;
  return vm->state != NULL;
}

static bool
load (CsPauseVm *vm, GError **error)
{
  return cs_device_load_run (vm->state, error);
}

static bool
cont (CsPauseVm *vm, GError **error)
{
  return cs_monitor_cont (vm->monitor, error);
}

static bool
finish (CsPauseVm *vm, GError **error)
{
  cs_device_load_free (g_steal_pointer (&vm->state));
  cs_monitor_forget_events (vm->monitor);
  return true;
}

const CsPauseMethod cs_pause_reload = { "reload", prepare, load, cont, finish };
