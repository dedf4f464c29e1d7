/* The stage machine of a snapshot: vmm/stages.h, driven over every host's daemon.
 *
 *   coordinator            host A                 host B
 *     snapshot.begin  ------->  ------------------->
 *     snapshot.check, .quiesce, .precopy: each to all, each answered by all
 *     snapshot.pause  ------->  ------------------->
 *                     <------- paused
 *                     <---------------------------- paused
 *                          the barrier: all VMs of all hosts stand
 *     snapshot.release ------>  ------------------->     never before
 *                     <-------  <------------------- captured, all run again
 *     snapshot.store, then, when all data of all hosts is durable, snapshot.seal
 *
 * On any error or signal: job.abort to every host. */
#ifndef CS_COORD_SNAPSHOT_JOB_H
#define CS_COORD_SNAPSHOT_JOB_H

#include "coord/rpc-client.h"
#include "vmm/stages.h"

typedef struct
{
  /* The stage is entered. */
  void (*stage) (CsStage stage, void *data);
  /* A progress event of a daemon (docs/rpc.md). */
  CsRpcEventFunc progress;
  /* The stage's request was answered by all hosts; false with @error set makes the job
   * fail here. */
  bool (*answered) (CsStage stage, void *data, GError **error);
  void *data;
} CsSnapshotObserver; /* each function may be NULL */

typedef struct CsSnapshotJob CsSnapshotJob;

/* @store is a directory as the daemons see it; @pause_deadline in us, 0 for the daemons' own
 * default; @interrupt_fd becomes readable to cancel the job, -1 for none. */
CsSnapshotJob *cs_snapshot_job_new (const char *store, const char *cluster, const char *snapshot,
                                    guint64 pause_deadline, int interrupt_fd,
                                    const CsSnapshotObserver *observer);
void cs_snapshot_job_free (CsSnapshotJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsSnapshotJob, cs_snapshot_job_free)

/* All VMs of the cluster (an array of references, taken), of which the job may have some only: for
 * cs_snapshot_job_add_host. */
void cs_snapshot_job_set_cluster_vms (CsSnapshotJob *job, json_object *vms);

/* Adds a host: its connection (borrowed) and the references of its VMs (an array, taken). */
void cs_snapshot_job_add_host (CsSnapshotJob *job, CsRpc *rpc, json_object *vms);

/* What the manifest keeps under "coordinator" (taken). */
void cs_snapshot_job_set_manifest (CsSnapshotJob *job, json_object *coordinator);

/* Runs the job to its end, once.  Returns the report (coord/snapshot-report.h), or NULL: then the
 * snapshot does not exist, the error says in which stage and what became of the guests, and
 * its code is the cause's. */
json_object *cs_snapshot_job_run (CsSnapshotJob *job, GError **error);

#endif
