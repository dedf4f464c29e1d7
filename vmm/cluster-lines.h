/* The lines of history of a cluster's VMs on this host, and the flows that bind them.
 *
 * A snapshot calls, in this order: set_vms, look (for each VM that it can look at), reserve, cut,
 * settle, cs_cut_line.  Theory of operation: cluster-lines.c.  Any thread. */
#ifndef CS_VMM_CLUSTER_LINES_H
#define CS_VMM_CLUSTER_LINES_H

#include "images/store.h"
#include "vmm/line.h"
#include "vmm/vm-network.h"

typedef struct CsClusterLines CsClusterLines;
typedef struct CsCut CsCut;

/* Reads what an earlier daemon left in @state_directory, and takes up its counters.  @store: the
 * numbers that its snapshots have are not used again when nothing was left.  INVALID: @cluster. */
CsClusterLines *cs_cluster_lines_open (const char *state_directory, CsStore *store,
                                       const char *cluster, GError **error);
/* The counters go on. */
void cs_cluster_lines_free (CsClusterLines *lines);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsClusterLines, cs_cluster_lines_free)

/* The VMs of the cluster: @names (GPtrArray of names).  With @all those that are not among them
 * have left the cluster and are forgotten; else they stay. */
void cs_cluster_lines_set_vms (CsClusterLines *lines, const GPtrArray *names, bool all);

/* What @vm's network is now: begins to count where nothing is counted yet.  @fresh: it has not run
 * yet, so that nothing is missed.  Fails when it cannot be counted: the VM is taken for dependent
 * on all others then. */
bool cs_cluster_lines_look (CsClusterLines *lines, const char *vm, const CsVmNetwork *network,
                            bool fresh, GError **error);
/* @vm may run, and cannot be looked at now. */
void cs_cluster_lines_missed (CsClusterLines *lines, const char *vm);
/* Whether the QEMU that was looked at last is still there and has nothing new to be looked at. */
bool cs_cluster_lines_knows (CsClusterLines *lines, const char *vm);

/* Gives each of @names its next number, and writes that down: not in a pause. */
bool cs_cluster_lines_reserve (CsClusterLines *lines, const GPtrArray *names, GError **error);

/* While the VMs @names stand: reads the counters, no more.  They enter their next interval, all
 * else is done by cs_cluster_lines_settle.  Frames that cannot be read bind all.  Unref the result.
 */
CsCut *cs_cluster_lines_cut (CsClusterLines *lines, const GPtrArray *names);
/* The same for VMs that go back to a snapshot: @documents are theirs of its manifest. */
CsCut *cs_cluster_lines_go_back (CsClusterLines *lines, const GPtrArray *documents);
void cs_cut_unref (CsCut *cut);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsCut, cs_cut_unref)
/* us that the reading took. */
gint64 cs_cut_time (const CsCut *cut);

/* Works out what all cuts mean, in their order, and writes that down: not in a pause. */
bool cs_cluster_lines_settle (CsClusterLines *lines, GError **error);
/* After settle: adds what @vm's manifest has of its line ("sequence", "line", "dependencies"). */
void cs_cut_add_to (const CsCut *cut, const char *vm, json_object *document);

/* For the agent.  @vm depends on interval @interval of @other: before the cut that it belongs to.
 * INVALID: a VM or an interval that has never been. */
bool cs_cluster_lines_merge (CsClusterLines *lines, const char *vm, const char *other,
                             guint64 interval, GError **error);
/* The interval that @vm is in; 0 for one that is not known. */
guint64 cs_cluster_lines_interval (CsClusterLines *lines, const char *vm);
/* The one that was reserved for it: it enters it at the cut.  None higher has ever been. */
guint64 cs_cluster_lines_next_interval (CsClusterLines *lines, const char *vm);

/* {name, running, counted, problem?, sequence, line, dependencies: [{vm, interval, sources,
 * recent?, frames?}]} per VM, as they are now: docs/rpc.md. */
json_object *cs_cluster_lines_show (CsClusterLines *lines);

/* QEMUs that have ended: what they sent is accounted for, their counters go.  Called now and then,
 * not in a pause. */
void cs_cluster_lines_sweep (CsClusterLines *lines);
/* The cluster is no more: removes all counters and what is written down. */
bool cs_cluster_lines_forget (CsClusterLines *lines, GError **error);

#endif
