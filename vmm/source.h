/* Where a VM comes from: what is needed to find it, and to start it again with the same devices.
 *
 * As JSON in the snapshot's manifest:
 *   {"transport":"libvirt","uri":U,"domain":N,"uuid":I,"xml":X}
 *   {"transport":"qmp","socket":PATH,"argv":[...],"directory":CWD,"taps":{IFNAME:BRIDGE}}
 * The XML is the domain's live, migratable one without what a restore of ours added to it. */
#ifndef CS_VMM_SOURCE_H
#define CS_VMM_SOURCE_H

#include "vmm/monitor.h"

/* What a request names: {"name":…,"uri":…,"domain":…} or {"name":…,"qmp":PATH}. */
typedef struct
{
  char *name;   /* in the cluster */
  char *uri;    /* libvirt's, or NULL */
  char *domain; /* with uri */
  char *qmp;    /* path of a bare QEMU's socket, or NULL */
} CsVmRef;

CsVmRef *cs_vm_ref_from_json (json_object *object, GError **error); /* validates: INVALID */
CsVmRef *cs_vm_ref_copy (const CsVmRef *ref);
void cs_vm_ref_free (CsVmRef *ref);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsVmRef, cs_vm_ref_free)
/* One string per VM on this host: "libvirt:URI:DOMAIN" or "qmp:PATH" (absolute). */
char *cs_vm_ref_key (const CsVmRef *ref);

CsMonitor *cs_vm_ref_connect (const CsVmRef *ref, GError **error);

/* Records the running VM's source.  For a bare QEMU its arguments come from /proc/PID/cmdline;
 * REFUSED when they name descriptors it was handed at its start (nobody could start it again). */
json_object *cs_source_capture (CsMonitor *monitor, const CsVmRef *ref, GError **error);

/* The VM must not be there: STATE ("domain 'x' is running: shut it off first ..."). */
bool cs_source_check_absent (json_object *source, GError **error);

/* Starts QEMU paused and waiting (-incoming defer -S).  A libvirt domain: virDomainCreateXML with
 * START_PAUSED, the arguments added to the live XML only; the persistent definition stays
 * clean.  A bare QEMU: the program file, arguments and directory of before, our environment and
 * namespaces, its own session and process group, so that it outlives us; its output
 * goes to @log_path. */
CsMonitor *cs_source_launch (json_object *source, const char *log_path, GError **error);

/* Undoes a launch: ends that QEMU (by pid; destroy for a domain) and waits until it is gone.
 * @monitor (NULL: does nothing) stays the caller's. */
void cs_source_kill (json_object *source, CsMonitor *monitor);

#endif
