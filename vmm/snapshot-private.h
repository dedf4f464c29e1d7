/* The snapshot job's own: what its files share.
 *
 *   snapshot.c        snapshot.begin, and the end of the job whatever came
 *   snapshot-cut.c    snapshot.check ... snapshot.release: the guests
 *   snapshot-store.c  snapshot.store, snapshot.seal */
#ifndef CS_VMM_SNAPSHOT_PRIVATE_H
#define CS_VMM_SNAPSHOT_PRIVATE_H

#include "vmm/capture.h"
#include "vmm/daemon.h"
#include "vmm/fan-out.h"
#include "vmm/job-lines.h"

/* Methods that were answered, in order. */
typedef enum
{
  CS_SNAPSHOT_BEGUN,
  CS_SNAPSHOT_CHECKED,
  CS_SNAPSHOT_QUIESCED,
  CS_SNAPSHOT_PRECOPIED,
  CS_SNAPSHOT_PAUSED,
  CS_SNAPSHOT_RELEASED,
  CS_SNAPSHOT_STORED,
  CS_SNAPSHOT_SEALED,
} CsSnapshotProgress;

typedef struct
{
  CsMember member; /* first */
  struct CsSnapshot *snapshot;
  CsCapture *capture;
  bool settled;
} CsSnapshotVm;

typedef struct CsSnapshot
{
  /* immutable */
  CsDaemon *daemon;
  CsRpcPeer *peer;
  CsStore *store;
  char *cluster;
  char *name;
  CsCaptureOptions options;
  bool partial; /* of some of the cluster's VMs only */
  gint64 begun_at;

  /* executing thread */
  GPtrArray *participants; /* of CsSnapshotVm; fixed after begin */
  bool claimed;
  CsJobLines *lines;
  gint64 flows; /* us for reading them while all stood */
  CsSnapshotProgress progress;
  json_object *manifest_vms;
  json_object *images;

  /* under lock */
  GMutex lock;
  bool cancelled;
  bool cut_failed; /* a VM ran again before its capture was complete */
} CsSnapshot;

CsSnapshotVm *cs_snapshot_vm (const CsSnapshot *snapshot, guint i);
extern const CsRpcJobClass cs_snapshot_class;

/* The connection's job, when it has come exactly as far as @expected. */
CsSnapshot *cs_snapshot_at (CsRpcPeer *peer, CsSnapshotProgress expected, GError **error);
/* A step failed: nothing of the job is left.  Returns NULL for its caller. */
json_object *cs_snapshot_give_up (CsRpcPeer *peer);
/* Any thread: ends waiting and long work. */
void cs_snapshot_cancel (gpointer job);

/* {"vms": [...]}: one object per VM, filled by @fill. */
json_object *cs_snapshot_per_vm (CsSnapshot *snapshot,
                                 void (*fill) (json_object *vm, const CsCapture *capture));

/* After the pause: us between the first and the last VM that stood. */
guint64 cs_snapshot_skew (const CsSnapshot *snapshot);
/* What snapshot.release says of a VM. */
void cs_snapshot_fill_released (json_object *vm, const CsCapture *capture);

#endif
