/* What clone.c, clone-record.c, clone-remove.c share. */
#ifndef CS_VMM_CLONE_PRIVATE_H
#define CS_VMM_CLONE_PRIVATE_H

#include "common/json.h"
#include "vmm/clone.h"

/* In a clone's directory: the id of the clone that made it. */
#define CS_CLONE_MARKER ".clusnap-clone"

char *cs_clone_record_path (const char *clones, const char *name);
bool cs_clone_record_write (const char *clones, json_object *record, bool replace, GError **error);
/* "clone-ID" */
char *cs_clone_root_name (json_object *record);
/* The elements of @record's array @name. */
guint cs_clone_record_n (json_object *record, const char *name);
json_object *cs_clone_record_at (json_object *record, const char *name, guint i);

/* Who QEMU runs as under libvirt at @uri: from its capabilities; ours where they do not say. */
void cs_clone_libvirt_owner (const char *uri, uid_t *uid, gid_t *gid);
/* The same for a VM of a record. */
void cs_clone_vm_owner (json_object *vm, uid_t *uid, gid_t *gid);

/* The QEMU of a record's VM; 0: none. */
pid_t cs_clone_vm_pid (json_object *vm);

#endif
