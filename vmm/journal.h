/* What a clusnapd that was killed must make good when it starts again.
 *
 * One small file per VM in the journal's directory (on a file system that need not outlive the
 * host: the guests do not either), written before anything is done to the VM and removed when it is
 * undone:
 *
 *   KEY.pause   {"vm": ref, "pid": n, "start-time": n}   we stop and resume this VM, or have things
 * of ours in it KEY.fill    {"vm": ref, "pid": n, "start-time": n, "store": path, "restore": {...}}
 * its memory is still arriving
 *
 * KEY is the SHA-256 of the VM's key.  Any thread.
 */
#ifndef CS_VMM_JOURNAL_H
#define CS_VMM_JOURNAL_H

#include "vmm/source.h"

typedef struct CsJournal CsJournal;

/* @directory is made when absent. */
CsJournal *cs_journal_open (const char *directory, GError **error);
void cs_journal_free (CsJournal *journal);

/* @kind: "pause" or "fill".  @extra: NULL, or further members (taken). */
bool cs_journal_add (CsJournal *journal, const char *kind, const CsVmRef *ref, pid_t pid,
                     json_object *extra, GError **error);
void cs_journal_remove (CsJournal *journal, const char *kind, const CsVmRef *ref);

/* The entries found: GPtrArray of json_object (each with "kind" added), unreadable ones left out
 * with a warning. */
GPtrArray *cs_journal_read (CsJournal *journal);

/* Whether the process that @entry names still is the same one. */
bool cs_journal_is_current (json_object *entry);

#endif
