/* What a snapshot cost: collected from the daemons' answers, stage by stage.
 *
 * The report is one JSON object, times in us and sizes in bytes as in docs/rpc.md:
 *
 *   cluster, snapshot
 *   pause               the longest of the VMs
 *   cluster-pause       from the first VM told to stop to the last one resumed (the longest of
 *                       the hosts': clocks of two hosts cannot be compared)
 *   skew                between the first and the last VM that stood, likewise
 *   total               from the beginning until the snapshot was durable
 *   pages-captured, bytes-captured, pages-zero, pages-shared, pages-stored, bytes-stored,
 *   disk-bytes          sums over the VMs
 *   dedup-ratio         non-zero pages handed to the store per page stored; absent if none was
 *   compression-ratio   bytes of the pages stored per byte stored; absent if none was
 *   vms                 [{name, incremental, members of release and store, check, precopy}]
 */
#ifndef CS_COORD_SNAPSHOT_REPORT_H
#define CS_COORD_SNAPSHOT_REPORT_H

#include "coord/hosts.h"
#include "vmm/stages.h"

typedef struct CsSnapshotReport CsSnapshotReport;

CsSnapshotReport *cs_snapshot_report_new (const char *cluster, const char *snapshot);
void cs_snapshot_report_free (CsSnapshotReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsSnapshotReport, cs_snapshot_report_free)

/* Adds what the hosts have just answered to @stage's request. */
void cs_snapshot_report_add (CsSnapshotReport *report, CsStage stage, const CsHosts *hosts);

/* The finished report (a new reference); @total in us. */
json_object *cs_snapshot_report_finish (CsSnapshotReport *report, guint64 total);

#endif
