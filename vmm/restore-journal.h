/* The journal's entry of a VM that is being loaded (kind "load"), so that a clusnapd that is
 * started again can undo it:
 *
 *   {"job": of the restore, "source": manifest.md's, "disks": [disk-undo.h's records],
 *    "store" and "serving": of servers of the new disks, where there are such (lazy-disks.h),
 *    "since": start time of the clusnapd that loads, "pid" and "start-time": of QEMU, 0 before}
 *
 * Once all VMs of a job are loaded and restore.release has begun the journal has a mark with the
 * job's name: from there on a restarted clusnapd goes forward with all of them, before it back. */
#ifndef CS_VMM_RESTORE_JOURNAL_H
#define CS_VMM_RESTORE_JOURNAL_H

#include "vmm/journal.h"

typedef struct CsRestoreJournal CsRestoreJournal;

/* Writes the entry.  @disks: of CsDisk.  Freeing leaves it. */
CsRestoreJournal *cs_restore_journal_new (CsJournal *journal, const CsVmRef *ref, const char *job,
                                          json_object *source, GPtrArray *disks, GError **error);
void cs_restore_journal_free (CsRestoreJournal *self);

/* @serving (taken): lazy-disks.h's record, of disks in the store at @store; NULL @self: as below.
 */
bool cs_restore_journal_serving (CsRestoreJournal *self, const char *store, json_object *serving,
                                 GError **error);
/* The new images are complete, none was switched to.  NULL does nothing. */
bool cs_restore_journal_switching (CsRestoreJournal *self, GError **error);
/* QEMU was started. */
bool cs_restore_journal_launched (CsRestoreJournal *self, pid_t pid, GError **error);

/* Of an entry: ends that QEMU and puts the disks back. */
bool cs_restore_journal_back (json_object *entry, GError **error);
/* Makes the new disks the only ones. */
bool cs_restore_journal_forward (json_object *entry, GError **error);

#endif
