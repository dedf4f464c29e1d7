/* What 'clusnap rollback' and 'clusnap recover' share. */
#ifndef CS_COORD_CLI_ROLLBACK_H
#define CS_COORD_CLI_ROLLBACK_H

#include "coord/cli.h"

typedef struct
{
  const char *store;
  const char *cluster;
  const char *snapshot;                       /* NULL: each VM has its own */
  guint64 pause_deadline;                     /* us; 0: the daemon's */
  bool (*stand) (void *data, GError **error); /* when all stand: false gives up.  May be NULL */
  void *data;
} CsCliRollback;

/* Runs the job (coord/rollback-job.h) and shows its progress; @vms (taken): as in rollback.begin.
 */
json_object *cs_cli_rollback_run (CsCli *cli, const CsCliRollback *rollback, json_object *vms,
                                  GError **error);

/* The rollback is done, and yet a user or a script must be told that a VM was started anew for it:
 * RESTARTED. */
bool cs_cli_rollback_check_cold (json_object *report, GError **error);

#endif
