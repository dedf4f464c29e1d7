/* A cluster: a name and the VMs that are snapshotted together.
 *
 * As YAML, kept as DIRECTORY/NAME.yaml (clusnap-cluster(5)):
 *
 *   name: demo
 *   store: /srv/snapshots        optional, absolute
 *   pause-deadline: 2s           optional: a number with us, ms or s
 *   agent: auto                  optional: or required, off: clusnap-agent in the guests
 *   policy: coordinated          optional: coord/policy.h
 *   domino-limit: 3              optional: of the policy independent
 *   clone-of: lab/s1             optional: of which cluster's snapshot
 *   vms:
 *     - name: vm1
 *       uri: qemu:///system
 *       domain: demo-vm1
 *     - name: vm2
 *       qmp: /run/vm2.qmp        absolute
 *
 * Strict: a key that is not known, comes twice, or lacks its partner is refused. */
#ifndef CS_COORD_CLUSTER_H
#define CS_COORD_CLUSTER_H

#include "common/json.h"

#define CS_CLUSTER_MAX_VMS 1024
#define CS_CLUSTER_MAX_DOMINO_LIMIT 1000

typedef struct
{
  char *name;
  char *uri;    /* with domain, or NULL */
  char *domain; /* with uri, or NULL */
  char *qmp;    /* absolute path, or NULL */
} CsClusterVm;

typedef struct CsCluster CsCluster;

/* A cluster without VMs yet.  @store may be NULL; it must be absolute. */
CsCluster *cs_cluster_new (const char *name, const char *store, GError **error);
void cs_cluster_free (CsCluster *cluster);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsCluster, cs_cluster_free)

/* Adds a VM: either @uri and @domain, or @qmp.  Errors: INVALID (also: it is in it already). */
bool cs_cluster_add_vm (CsCluster *cluster, const char *name, const char *uri, const char *domain,
                        const char *qmp, GError **error);

/* Parses the @length bytes of YAML; @file is what errors call it.  Errors: INVALID, naming file and
 * key. */
CsCluster *cs_cluster_parse (const char *yaml, gsize length, const char *file, GError **error);

/* Reads the file @path from the user.  Errors: NOT_FOUND, INVALID. */
CsCluster *cs_cluster_read (const char *path, GError **error);

/* The cluster as YAML that cs_cluster_parse takes. */
char *cs_cluster_to_yaml (const CsCluster *cluster, gsize *length, GError **error);

/* Sets the store; @store is absolute. */
bool cs_cluster_set_store (CsCluster *cluster, const char *store, GError **error);

/* @source: "CLUSTER/SNAPSHOT". */
bool cs_cluster_set_clone_of (CsCluster *cluster, const char *source, GError **error);

const char *cs_cluster_name (const CsCluster *cluster);
const char *cs_cluster_store (const CsCluster *cluster);      /* NULL: the default one */
const char *cs_cluster_clone_of (const CsCluster *cluster);   /* NULL: it is no clone */
guint64 cs_cluster_pause_deadline (const CsCluster *cluster); /* us; 0: the default one */
const char *cs_cluster_agent (const CsCluster *cluster);      /* "auto", ...; NULL: the default */
guint cs_cluster_n_vms (const CsCluster *cluster);
const CsClusterVm *cs_cluster_vm (const CsCluster *cluster, guint i);

const char *cs_cluster_policy (const CsCluster *cluster); /* never NULL */
guint cs_cluster_domino_limit (const CsCluster *cluster);

/* Errors: INVALID, with the policies that there are. */
bool cs_cluster_set_policy (CsCluster *cluster, const char *policy, GError **error);

/* Sets @key of a cluster that is defined to @value, as in the file; "": to its default.  Only what
 * makes it no other cluster: policy, domino-limit, agent, pause-deadline.  After an error the
 * cluster is not to be used.  Errors: INVALID, REFUSED (another key). */
bool cs_cluster_change (CsCluster *cluster, const char *key, const char *value, GError **error);

/* @text as in the file.  Errors: INVALID. */
bool cs_cluster_set_pause_deadline (CsCluster *cluster, const char *text, GError **error);

/* VM @i as docs/rpc.md's vm reference; new. */
json_object *cs_cluster_vm_ref (const CsCluster *cluster, guint i);

/* All of them, as an array; new. */
json_object *cs_cluster_vm_refs (const CsCluster *cluster);

/* What a snapshot's manifest keeps of it: {name, policy, domino-limit?, clone-of?, vms: [ref]};
 * new. */
json_object *cs_cluster_to_json (const CsCluster *cluster);

#endif
