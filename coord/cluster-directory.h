/* Where the clusters are kept: one file NAME.yaml per cluster in STATE_DIRECTORY/clusters. */
#ifndef CS_COORD_CLUSTER_DIRECTORY_H
#define CS_COORD_CLUSTER_DIRECTORY_H

#include "coord/cluster.h"

/* Each takes the state directory, e.g. "/var/lib/clusnap". */

/* Durable; makes the directory (0700).  Errors: EXISTS. */
bool cs_cluster_directory_add (const char *state_directory, const CsCluster *cluster,
                               GError **error);

/* Durable: the cluster of that name is this one from now on. */
bool cs_cluster_directory_replace (const char *state_directory, const CsCluster *cluster,
                                   GError **error);

/* Errors: NOT_FOUND (names the ones that exist), INVALID (also when the file is another cluster's).
 */
CsCluster *cs_cluster_directory_get (const char *state_directory, const char *name, GError **error);

/* Sorted names, NULL-terminated (g_strfreev); none when the directory is absent. */
char **cs_cluster_directory_list (const char *state_directory, GError **error);

/* Durable.  Errors: NOT_FOUND. */
bool cs_cluster_directory_remove (const char *state_directory, const char *name, GError **error);

#endif
