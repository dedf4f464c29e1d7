/* What cannot be captured is refused before anything is paused (DESIGN.md, rule 8).
 *
 * Nothing here changes the VM. */
#ifndef CS_VMM_PRECHECK_H
#define CS_VMM_PRECHECK_H

#include "vmm/monitor.h"

/* True when the VM can be captured now.  The first obstacle otherwise, with the way out:
 * STATE (not running; paused by its user counts), BUSY (a migration is under way), REFUSED
 * (migration blockers, devices or processes that write guest RAM behind QEMU's back). */
bool cs_precheck (CsMonitor *monitor, GError **error);
/* The same of a VM that may stand, because a clusnapd before us has stopped it. */
bool cs_precheck_standing (CsMonitor *monitor, GError **error);

/* All obstacles, as an array of texts (empty: none), for vm.info. */
json_object *cs_precheck_problems (CsMonitor *monitor);

/* {"status", "pid", "qemu-version", "machine" (without "-machine"), "memory" (bytes)}. */
json_object *cs_precheck_summary (CsMonitor *monitor, GError **error);

/* The machine type without "-machine", e.g. "pc-q35-10.0": what a migration stream names. */
char *cs_machine_type (CsMonitor *monitor, GError **error);

#endif
