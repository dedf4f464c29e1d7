/* Which devices and network backends of a VM write guest RAM, or hold disks, behind QEMU's back.
 * The reasons are in precheck.c. */
#ifndef CS_VMM_QOM_SCAN_H
#define CS_VMM_QOM_SCAN_H

#include "vmm/monitor.h"

/* REFUSED names the device and says what to use instead. */
bool cs_qom_scan_devices (CsMonitor *monitor, GError **error);
bool cs_qom_scan_netdevs (CsMonitor *monitor, GError **error);

/* The parts that judge, apart for tests: a device's QOM type (why it is refused, or
 * NULL), and the text of HMP `info network` (id of a refused backend, g_free, or NULL). */
const char *cs_qom_refused_type (const char *type);
char *cs_qom_refused_netdev (const char *text);

#endif
