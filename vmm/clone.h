/* A clone: a second cluster from a snapshot, beside the running one.
 *
 * Its record (clone-plan.h) lies at CLONES/NAME.json, written before anything is made, so that
 * whatever happens to clusnapd cs_clone_remove finds all of it.
 *
 *   new      plans: the VMs' sources are rewritten, nothing is touched
 *   begin    record, directory, a root in the store, bridges, taps
 *   make_vm  one VM's files, overlays and the server of its disks
 *   (the VMs are restored from cs_clone_document, restore.h)
 *   release  the record says that it runs; from here on nothing is undone
 *
 * The overlays stay over the store for the clone's life: a server per VM (disk-serve.h) goes on
 * when clusnapd ends; a clusnapd that starts looks after them (cs_clone_revive). */
#ifndef CS_VMM_CLONE_H
#define CS_VMM_CLONE_H

#include "images/store.h"
#include "vmm/source.h"

typedef struct CsClone CsClone;

typedef struct
{
  const char *clones; /* directory of the records */
  const char *name;
  const char *directory; /* where its own directory NAME is to be made; NULL: CLONES */
  const char *cluster, *snapshot;
} CsCloneRequest;

/* @documents: array of the VMs' documents in the manifest.  REFUSED, INVALID. */
CsClone *cs_clone_new (CsStore *store, const CsCloneRequest *request, json_object *documents,
                       GError **error);
/* Leaves alone what was made. */
void cs_clone_free (CsClone *clone);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsClone, cs_clone_free)

const char *cs_clone_name (const CsClone *clone);
const char *cs_clone_directory (const CsClone *clone);
/* Documents for cs_restore_new, in the order of @documents: an array, borrowed. */
json_object *cs_clone_documents (const CsClone *clone);
json_object *cs_clone_record (const CsClone *clone); /* borrowed */

/* EXISTS: a clone of that name, or something at its directory. */
bool cs_clone_begin (CsClone *clone, GError **error);
/* Any thread, each @i once. */
bool cs_clone_make_vm (CsClone *clone, guint i, GError **error);
bool cs_clone_release (CsClone *clone, GError **error);

/* ---- of any clone, by its record ---- */

/* NOT_FOUND: there is no such clone. */
json_object *cs_clone_record_read (const char *clones, const char *name, GError **error);
/* The names: NULL-terminated (g_strfreev). */
char **cs_clone_record_list (const char *clones);

/* Removes everything of it, the record last: QEMUs, servers, taps, bridges, files, the root in
 * @store (NULL: the store is gone, and the root with it).  What is gone already is fine.  Goes on
 * after an error, and keeps the record then. */
bool cs_clone_remove (const char *clones, json_object *record, CsStore *store, GError **error);

/* Starts the servers of its disks that have ended. */
void cs_clone_revive (const char *clones, json_object *record, CsStore *store);

/* VM references (source.h), as JSON: {"name", "uri", "domain"} or {"name", "qmp"}.  New. */
json_object *cs_clone_refs (json_object *record);
/* {"name", "state", "directory", "cluster", "snapshot", "vms": [{"name", "running", "memory": PSS
 * of QEMU and its disks' server, "disk": bytes of its files}], "memory", "disk"}.  New. */
json_object *cs_clone_show (json_object *record);

#endif
