/* QEMU's network backends and devices, as HMP `info network` lists them: they are no QOM objects,
 * and QMP has no command for them.
 *
 *   net0: index=0,type=vhost-user,...
 *   vnet: index=0,type=nic,model=virtio-net-pci,macaddr=52:...
 *    \ net: index=0,type=tap,... */
#ifndef CS_VMM_NETWORK_LISTING_H
#define CS_VMM_NETWORK_LISTING_H

#include "vmm/monitor.h"

/* Worker.  The text; g_free. */
char *cs_network_listing_query (CsMonitor *monitor, GError **error);

/* What @line lists: true when it is a backend or device, then *@id is its name (g_free) and *@type
 * where in @line its type begins, with the options behind it. */
bool cs_network_listing_parse (const char *line, char **id, const char **type);

#endif
