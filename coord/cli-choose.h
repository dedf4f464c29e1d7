/* Which VMs and which snapshot the user means; what several commands share. */
#ifndef CS_COORD_CLI_CHOOSE_H
#define CS_COORD_CLI_CHOOSE_H

#include "coord/cli.h"

/* Sets *@names to a new array of the VM names in all values of @option, each once, split at commas;
 * NULL when it was not given.  Errors: INVALID. */
bool cs_cli_choose_vms (CsCli *cli, CsOption option, json_object **names, GError **error);

/* The numbers in @cluster of the VMs that array @names lists, as GArray of guint in rising order;
 * NULL with NOT_FOUND. */
GArray *cs_cli_choose_numbers (const CsCluster *cluster, json_object *names, GError **error);

/* The snapshot of @cluster that was taken last and is of all its VMs.  Errors: NOT_FOUND. */
char *cs_cli_choose_latest (CsCli *cli, const char *store, const char *cluster, GError **error);

/* Tells the user when @snapshot is of some VMs only, whose effect is @effect.  What cannot be known
 * is not told: what comes next says why. */
void cs_cli_note_partial (CsCli *cli, const char *store, const char *cluster, const char *snapshot,
                          const char *effect);

#endif
