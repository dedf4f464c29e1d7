/* What happened between the VMs of a cluster, asked from clusnapd: coord/history.h. */
#ifndef CS_COORD_CLI_HISTORY_H
#define CS_COORD_CLI_HISTORY_H

#include "coord/cli.h"
#include "coord/history.h"

typedef struct CsCliHistory CsCliHistory;

/* Both borrowed. */
CsCliHistory *cs_cli_history_new (CsCli *cli, const CsCluster *cluster, const char *store);
void cs_cli_history_free (CsCliHistory *history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsCliHistory, cs_cli_history_free)

/* Reads the manifests that were not read yet.  Damaged ones are left out and told to the user. */
bool cs_cli_history_read (CsCliHistory *history, GError **error);

/* The history with the VMs as they are now.  A request: short, it may come while VMs stand. */
CsClusterHistory *cs_cli_history_now (CsCliHistory *history, GError **error);

#endif
