/* Other processes that can write a guest's RAM. */
#ifndef CS_VMM_SHARED_RAM_H
#define CS_VMM_SHARED_RAM_H

#include "vmm/monitor.h"

/* REFUSED when a process other than QEMU and us has a shared, writable mapping of a file that
 * holds a RAM block (others, as a sound server's buffers, do not matter).  Looks through
 * /proc only when a block is shared memory at all. */
bool cs_shared_ram_check (CsMonitor *monitor, GError **error);

#endif
