/* Puts a saved device state into a QEMU that lives: `snapshot-load` of a qcow2 image in memory that
 * holds the device sections and no RAM (vmstate-image.h).  The image is put into QEMU before the
 * pause, loaded in it and taken out after it.
 *
 * The load begins with a system reset, which rewrites memory that ROMs are loaded into. */
#ifndef CS_VMM_DEVICE_LOAD_H
#define CS_VMM_DEVICE_LOAD_H

#include "vmm/monitor.h"

typedef struct CsDeviceLoad CsDeviceLoad;

typedef struct
{
  const char *machine; /* without "-machine", as cs_machine_type says */
  GPtrArray *blocks;   /* of CsRamBlock: QEMU's, all of them */
  GBytes *devices;     /* as cs_device_state_bytes gives them */
} CsDeviceLoadOptions;

/* VM running or not: puts the image into @monitor's QEMU.  Only @monitor (borrowed) is kept.  One
 * per QEMU at a time. */
CsDeviceLoad *cs_device_load_new (CsMonitor *monitor, const CsDeviceLoadOptions *options,
                                  GError **error);
/* Takes the image out again (a dead QEMU is no error). */
void cs_device_load_free (CsDeviceLoad *load);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDeviceLoad, cs_device_load_free)

/* VM stopped, once: loads it.  On failure nobody knows what state the devices are in. */
bool cs_device_load_run (CsDeviceLoad *load, GError **error);

#endif
