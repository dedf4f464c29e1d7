/* One VM of a snapshot brought back from nothing by a job: the restore (vmm/restore.h) and what the
 * daemon keeps of it - what the next snapshot starts from, the journal, the filling.
 *
 *   new        nothing happens
 *   load       the VM is loaded and paused                                  worker
 *   journal    before any VM of the job runs: should we be killed, the next clusnapd lets it run
 * and goes on filling resume     it runs worker hand_over  the daemon takes the filling; when the
 * claim is released, cs_daemon_watch_filling
 *
 * Freed (worker) before hand_over: QEMU is ended, and before resume the old disks are back. */
#ifndef CS_VMM_COLD_RESTORE_H
#define CS_VMM_COLD_RESTORE_H

#include "vmm/daemon.h"

typedef struct CsColdRestore CsColdRestore;

typedef struct
{
  CsDaemon *daemon;
  CsVm *vm; /* claimed */
  CsStore *store;
  json_object *document;       /* the VM's of the manifest; outlives the restore */
  const char *snapshot;        /* likewise */
  const char *clone_directory; /* of a clone, whose disks and record are the caller's; NULL: it is
                                  none.  Likewise */
  const char *job;             /* names it in the journal; likewise */
  bool lazy;
  int fill_rate; /* as in CsRestoreOptions */
} CsColdRestoreOptions;

CsColdRestore *cs_cold_restore_new (const CsColdRestoreOptions *options);
bool cs_cold_restore_load (CsColdRestore *cold, GCancellable *cancellable, GError **error);
bool cs_cold_restore_journal (CsColdRestore *cold, GError **error);
bool cs_cold_restore_resume (CsColdRestore *cold, GError **error);
/* After resume, when all VMs of the job run: nothing is undone any more. */
void cs_cold_restore_commit (CsColdRestore *cold);
void cs_cold_restore_hand_over (CsColdRestore *cold);
void cs_cold_restore_free (CsColdRestore *cold);

/* After load, until hand_over.  Borrowed. */
CsMonitor *cs_cold_restore_monitor (const CsColdRestore *cold);
/* After load. */
const CsRestoreTimes *cs_cold_restore_times (const CsColdRestore *cold);

#endif
