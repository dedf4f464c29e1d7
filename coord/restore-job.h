/* The stage machine of a restore: restore.begin, load, release, wait (docs/rpc.md), over every
 * host's daemon.  No VM runs before every VM of every host is loaded.
 *
 * X (symbol, name, method, sentence for the user) */
#ifndef CS_COORD_RESTORE_JOB_H
#define CS_COORD_RESTORE_JOB_H

#include "coord/rpc-client.h"

// clang-format off
#define CS_RESTORE_STAGE_TABLE(X)                                                                  \
  X (LOAD, "restore-load", "restore.load", "starting the VMs paused and loading their state")      \
  X (RELEASE, "restore-release", "restore.release", "letting all VMs run")                         \
  X (WAIT, "restore-wait", "restore.wait", "filling memory behind the running VMs")
// clang-format on

typedef enum
{
#define X(symbol, name, method, sentence) CS_RESTORE_STAGE_##symbol,
  CS_RESTORE_STAGE_TABLE (X)
#undef X
      CS_N_RESTORE_STAGES
} CsRestoreStage;

const char *cs_restore_stage_name (CsRestoreStage stage);
const char *cs_restore_stage_sentence (CsRestoreStage stage);

typedef struct
{
  void (*stage) (CsRestoreStage stage, void *data);
  CsRpcEventFunc progress;
  bool (*answered) (CsRestoreStage stage, void *data, GError **error);
  void *data;
  /* Or NULL.  Host @i has begun, with this answer. */
  bool (*begun) (guint i, json_object *answer, void *data, GError **error);
} CsRestoreObserver; /* as CsSnapshotObserver */

typedef struct CsRestoreJob CsRestoreJob;

/* With @wait the job ends when all memory is resident, without it when all VMs run: the
 * daemons then go on filling by themselves. */
CsRestoreJob *cs_restore_job_new (const char *store, const char *cluster, const char *snapshot,
                                  bool eager, bool wait, int interrupt_fd,
                                  const CsRestoreObserver *observer);
/* Has the guest agents set the guests' clocks to the host's time once the VMs run; the report's VMs
 * then have "time": "set", or why not. */
void cs_restore_job_set_time (CsRestoreJob *job);
void cs_restore_job_free (CsRestoreJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRestoreJob, cs_restore_job_free)

/* Before add_host: how fast the memory of each VM is filled at most, in MiB/s (0: no bound).  Else
 * clusnapd decides. */
void cs_restore_job_set_fill_rate (CsRestoreJob *job, guint rate);
/* Adds a host: its connection (borrowed) and the names of the VMs to restore there (an array,
 * taken; NULL: all). */
void cs_restore_job_add_host (CsRestoreJob *job, CsRpc *rpc, json_object *vms);

/* The same, as a clone: with a connection for each, for a connection has one job. */
void cs_restore_job_add_clone (CsRestoreJob *job, CsRpc *rpc, json_object *vms, const char *clone,
                               const char *directory);

/* Whether the VMs run, also when cs_restore_job_run has failed after that. */
bool cs_restore_job_is_running (const CsRestoreJob *job);

/* Runs the job to its end, once.  Returns
 *   {"cluster", "snapshot", "mode", "running": us until the last VM ran, "resident": us until
 *    all memory was there (with wait), "vms": [{"name", "disks", "launch", "load", "running",
 *    "resident", "faults"}]}
 * or NULL.  A failure before the VMs ran ends those that were started; after it they
 * run on. */
json_object *cs_restore_job_run (CsRestoreJob *job, GError **error);

#endif
