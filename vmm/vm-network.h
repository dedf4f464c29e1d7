/* How a VM is on the network: whose frames can be counted (vmm/flows.h). */
#ifndef CS_VMM_VM_NETWORK_H
#define CS_VMM_VM_NETWORK_H

#include "vmm/monitor.h"
#include "vmm/tap.h"

typedef struct
{
  pid_t pid;          /* of its QEMU */
  guint64 start_time; /* of that process */
  GPtrArray *taps;    /* of CsTap */
  GArray *macs;       /* of guint64: its network devices' addresses now */
  bool countable;     /* all that it sends to other VMs passes one of @taps */
  char *problem;      /* why not, or that it has no network at all; NULL: none */
} CsVmNetwork;

/* Looks at the running VM.  Worker. */
CsVmNetwork *cs_vm_network_look (CsMonitor *monitor, GError **error);
void cs_vm_network_free (CsVmNetwork *network);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsVmNetwork, cs_vm_network_free)

/* The text of HMP `info network`, apart for tests: appends to @macs; the id of a backend through
 * which frames reach other VMs uncounted (g_free), or NULL.  *@has_tap: there are tap backends. */
char *cs_vm_network_parse (const char *text, GArray *macs, bool *has_tap);

#endif
