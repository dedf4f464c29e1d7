/* The VMs of a stored snapshot that a request chooses, and where each of them is to run. */
#ifndef CS_VMM_MANIFEST_VMS_H
#define CS_VMM_MANIFEST_VMS_H

#include "vmm/source.h"

/* @document: the VM's of the manifest, borrowed from it; @ref: borrowed. */
typedef void (*CsManifestVmFunc) (json_object *document, const CsVmRef *ref, gpointer data);

/* Calls @func for every VM of @manifest that array @names lists (NULL: for all).  @snapshot: its
 * name, for errors.  NOT_FOUND: a name that is none of a VM; CORRUPT, INVALID: the manifest. */
bool cs_manifest_vms_choose (json_object *manifest, const char *snapshot, json_object *names,
                             CsManifestVmFunc func, gpointer data, GError **error);

#endif
