/* The stage machine of a rollback: vmm/rollback-stages.h, driven over every host's daemon.
 *
 *   coordinator            host A                 host B
 *     rollback.begin  ------->  ------------------->     which VMs run, whether they can go back
 *     rollback.prepare ------>  ------------------->     the guests run
 *     rollback.pause  ------->  ------------------->
 *                     <------- paused
 *                     <---------------------------- paused
 *                          all VMs of all hosts stand, none is changed
 *     rollback.apply  ------->  ------------------->     never before; nothing is undone after it
 *                     <------- back, standing
 *                     <---------------------------- back, standing
 *     rollback.release ------>  ------------------->     all run
 */
#ifndef CS_COORD_ROLLBACK_JOB_H
#define CS_COORD_ROLLBACK_JOB_H

#include "coord/rpc-client.h"
#include "vmm/rollback-stages.h"

typedef struct
{
  void (*stage) (CsRollbackStage stage, void *data);
  CsRpcEventFunc progress;
  bool (*answered) (CsRollbackStage stage, void *data, GError **error);
  /* The interrupt came too late: the job goes on to its end. */
  void (*finishing) (void *data);
  void *data;
} CsRollbackObserver; /* as CsSnapshotObserver */

typedef struct CsRollbackJob CsRollbackJob;

/* @snapshot: NULL when each VM goes back to one of its own.  @pause_deadline in us, 0 for the
 * daemons' own default. */
CsRollbackJob *cs_rollback_job_new (const char *store, const char *cluster, const char *snapshot,
                                    guint64 pause_deadline, int interrupt_fd,
                                    const CsRollbackObserver *observer);
void cs_rollback_job_free (CsRollbackJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRollbackJob, cs_rollback_job_free)

/* Adds a host: its connection (borrowed) and the VMs to take back there: an array (taken)
 * of names or of {name, snapshot}; NULL: all of the snapshot. */
void cs_rollback_job_add_host (CsRollbackJob *job, CsRpc *rpc, json_object *vms);

/* Before run: once the VMs run, their guest agents set their clocks. */
void cs_rollback_job_set_time (CsRollbackJob *job);

/* Runs the job to its end, once.  Returns
 *   {"cluster", "snapshot"?, "pause": us of the longest VM, "skew", "cold": number of VMs that had
 *    to be started anew though they ran, "vms": [members of rollback.begin ... release]}
 * or NULL: then the error says in which stage it failed and what became of the guests. */
json_object *cs_rollback_job_run (CsRollbackJob *job, GError **error);

#endif
