/* clusnap snapshot create: what its files share.  cli-snapshot-create.c: the command and its
 * options; cli-snapshot-policy.c: what the policy says; cli-snapshot-sets.c: a job per set. */
#ifndef CS_COORD_CLI_SNAPSHOT_CREATE_H
#define CS_COORD_CLI_SNAPSHOT_CREATE_H

#include "coord/cli-history.h"
#include "coord/cli.h"
#include "coord/policy.h"

typedef struct
{
  CsCli *cli;
  CsCluster *cluster;
  const CsPolicy *policy;
  char *store;
  char *name; /* of the snapshot, or what those of several sets begin with */
  guint64 deadline, stagger;
  guint64 quiesce_deadline; /* us; 0: the daemons' own */
  CsCliHistory *history;    /* or NULL: the policy does not need it, or the daemon cannot tell */
  CsPolicyPlan *plan;
} CsCreation;

/* Sets @creation's plan from the cluster's policy, and its history when that needs one. */
bool cs_creation_plan (CsCreation *creation, GError **error);
/* Rows {name, others, depth}: what a failure of each VM would cost as of now; new, or NULL (it was
 * told why). */
json_object *cs_creation_domino (const CsCreation *creation);

/* The snapshot @snapshot of the VMs @set: its report (coord/snapshot-report.h, and "only" when it
 * is a partial one). */
json_object *cs_creation_take (const CsCreation *creation, const GArray *set, const char *snapshot,
                               GError **error);
/* All sets of the plan, one after the other.  Fills @report with the members of a report, added up,
 * and "snapshots", a row per set.  False when one failed: the row has the message. */
bool cs_creation_take_all (const CsCreation *creation, json_object *report, GError **error);

#endif
