/* The clones of one `clusnap restore --clone`: a connection, and a cluster file, for each. */
#ifndef CS_COORD_CLI_CLONE_H
#define CS_COORD_CLI_CLONE_H

#include "coord/cli.h"
#include "coord/restore-job.h"

typedef struct CsCliClones CsCliClones;

extern const CsColumn cs_clone_columns[];

/* From the options --clone, --count and --directory; *@clones stays NULL without --clone. Connects.
 * @store, @cluster and @snapshot are what is cloned.  EXISTS: a cluster has the name already. */
bool cs_cli_clones_new (CsCli *cli, const char *store, const char *cluster, const char *snapshot,
                        CsCliClones **clones, GError **error);
void cs_cli_clones_free (CsCliClones *clones);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsCliClones, cs_cli_clones_free)

/* Each as a host of @job, with these VMs (borrowed; NULL: all). */
void cs_cli_clones_add (CsCliClones *clones, CsRestoreJob *job, json_object *vms);
/* Clone @i was begun with @answer: defines its cluster, before any of its VMs runs. */
bool cs_cli_clones_define (CsCliClones *clones, guint i, json_object *answer, GError **error);
/* None of them runs: forgets the clusters again. */
void cs_cli_clones_forget (CsCliClones *clones);
/* Adds "clones" to the job's report: what each takes right now. */
void cs_cli_clones_report (CsCliClones *clones, json_object *report);

#endif
