/* What a clone consists of, before any of it is made.
 *
 * The rewriting of the VMs' sources (clone-argv.h, clone-xml.h) asks here for the names that take
 * the place of the original's; nothing is touched on the host.  The plan is the clone's record as
 * well: written before anything is made, so that all of it can be removed again (clone.h):
 *
 *   {"format": "clusnap-clone", "version": 1, "name", "id": "k3x9q0", "state": "making"|"running",
 *    "store": PATH, "cluster", "snapshot", "directory": PATH,
 *    "bridges": [{"network": "bridge:br0", "name": "csc-k3x9q0-0"}],
 *    "taps": [{"name": "csc-k3x9q0t0", "bridge": "csc-k3x9q0-0", "multi-queue": bool}],
 *    "vms": [{"name", "image", "directory", "uuid", "socket": of the disks' server, "source": {…},
 *             "overlays": [{"disk", "original": PATH, "path", "size": bytes}],
 *             "paths": [{"original", "path"}], "copies": [{"original", "path"}],
 *             "beside": [{"original", "path"}]}]}
 */
#ifndef CS_VMM_CLONE_PLAN_H
#define CS_VMM_CLONE_PLAN_H

#include "common/json.h"

/* Seconds for which QEMU waits for a disk's server that has ended, before the guest gets an
 * error. */
#define CS_CLONE_RECONNECT 3600

typedef struct CsClonePlan CsClonePlan;
typedef struct CsClonePlanVm CsClonePlanVm;

/* @directory (absolute): the clone's own.  INVALID: a name or a directory that cannot be part of
 * QEMU's arguments and socket paths. */
CsClonePlan *cs_clone_plan_new (const char *name, const char *directory, GError **error);
void cs_clone_plan_free (CsClonePlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsClonePlan, cs_clone_plan_free)

json_object *cs_clone_plan_record (CsClonePlan *plan); /* borrowed */
const char *cs_clone_plan_name (const CsClonePlan *plan);

/* The bridge in the place of @network ("bridge:br0", "network:default"), one for each. */
const char *cs_clone_plan_bridge (CsClonePlan *plan, const char *network);
/* A new tap on it. */
const char *cs_clone_plan_tap (CsClonePlan *plan, const char *network, bool multi_queue);

/* @document: the VM's in the manifest, with its disks.  The plan's. */
CsClonePlanVm *cs_clone_plan_add_vm (CsClonePlan *plan, json_object *document, GError **error);
const char *cs_clone_plan_vm_uuid (const CsClonePlanVm *vm);
CsClonePlan *cs_clone_plan_vm_plan (const CsClonePlanVm *vm);
const char *cs_clone_plan_vm_member (const CsClonePlanVm *vm, const char *member);

/* The path, in the VM's directory, that takes @original's place: the same one each time. */
const char *cs_clone_plan_vm_path (CsClonePlanVm *vm, const char *original);
/* The same, and @original is copied to it. */
const char *cs_clone_plan_vm_copy (CsClonePlanVm *vm, const char *original);
/* The same, in @original's directory (memory that lies on a file system chosen for it). */
const char *cs_clone_plan_vm_beside (CsClonePlanVm *vm, const char *original);
/* What was answered before for @original; NULL: nothing. */
const char *cs_clone_plan_vm_known (const CsClonePlanVm *vm, const char *original);

/* The overlay in the place of the snapshot's disk @filename; NULL: it has no such disk.  Counts as
 * use of it. */
const char *cs_clone_plan_vm_overlay (CsClonePlanVm *vm, const char *filename);
/* The name of that disk, NULL: none. */
const char *cs_clone_plan_vm_disk_name (const CsClonePlanVm *vm, const char *filename);
bool cs_clone_plan_vm_has_disk (const CsClonePlanVm *vm, const char *filename);
/* REFUSED unless every disk was used just once. */
bool cs_clone_plan_vm_check (const CsClonePlanVm *vm, GError **error);

/* Sets the rewritten source. */
void cs_clone_plan_vm_set_source (CsClonePlanVm *vm, json_object *source);
/* The VM's document for a restore as this clone: source and disks are the clone's.  New. */
json_object *cs_clone_plan_vm_document (const CsClonePlanVm *vm, json_object *document);

#endif
