/* What jobs do with the lines of history of their VMs (cluster-lines.h).
 *
 * Nothing here fails a job but the reservation of numbers: what cannot be looked at or counted
 * binds its VM to all others. */
#ifndef CS_VMM_JOB_LINES_H
#define CS_VMM_JOB_LINES_H

#include "vmm/cluster-lines.h"
#include "vmm/daemon.h"
#include "vmm/fan-out.h"

typedef struct CsJobLines CsJobLines;

/* @members: GPtrArray of CsMember that the job has claimed; borrowed.  @others: the cluster's other
 * VMs on this host (GPtrArray of CsVmRef, which may have those of the job too), or NULL: not known.
 */
CsJobLines *cs_job_lines_new (CsDaemon *daemon, CsStore *store, const char *cluster,
                              GPtrArray *members, const GPtrArray *others, GError **error);
void cs_job_lines_free (CsJobLines *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsJobLines, cs_job_lines_free)

/* For the agent: cs_cluster_lines_merge, cs_cluster_lines_interval.  Borrowed. */
CsClusterLines *cs_job_lines_cluster (const CsJobLines *job);

/* CHECK of a snapshot, the monitors are open: looks at all VMs, reserves the job's next numbers. */
bool cs_job_lines_check (CsJobLines *job, GError **error);
/* All VMs of the job stand.  Returns the us that it took. */
gint64 cs_job_lines_cut (CsJobLines *job);
/* They go back to @documents (GPtrArray of VMs of a manifest), and stand or have not run yet. */
void cs_job_lines_go_back (CsJobLines *job, const GPtrArray *documents);
/* Not in a pause: what the cut means. */
void cs_job_lines_settle (CsJobLines *job);
/* After cut and settle: the manifest's members of @vm. */
void cs_job_lines_add_to (const CsJobLines *job, const char *vm, json_object *document);

/* A restored VM before it runs; its QEMU of before has been swept.  Its worker. */
void cs_job_lines_look_fresh (CsJobLines *job, const char *vm, CsMonitor *monitor);

#endif
