/* What cluster.c, cluster-check.c and cluster-yaml.c share of a cluster. */
#ifndef CS_COORD_CLUSTER_PRIVATE_H
#define CS_COORD_CLUSTER_PRIVATE_H

#include "coord/cluster.h"

/* As libcyaml fills it in; all memory is GLib's. */
struct CsCluster
{
  char *name;
  char *store;          /* or NULL */
  char *pause_deadline; /* as written, or NULL */
  char *agent;          /* or NULL */
  char *policy;         /* or NULL */
  guint *domino_limit;  /* or NULL */
  char *clone_of;       /* or NULL */
  CsClusterVm *vms;
  guint n_vms;
  guint64 pause_deadline_us; /* from pause_deadline; 0: none */
};

/* The rules that the schema cannot express; errors name the key.  The first one also
 * sets pause_deadline_us. */
bool cs_cluster_check (CsCluster *cluster, GError **error);
bool cs_cluster_check_vm (const CsCluster *cluster, guint i, GError **error);
bool cs_cluster_check_clone_of (const char *source, GError **error);
bool cs_cluster_check_policy (const char *policy, GError **error);
bool cs_cluster_check_path (const char *key, const char *path, GError **error);

#endif
