/* What a clusnapd that was killed must make good when it starts again.
 *
 * One small file per VM in the journal's directory, written before anything is done to the VM and
 * removed when it is undone.  It need not outlive the host, since the guests do not either: nothing
 * waits for a disk, also in a pause.
 *
 *   KEY.pause     {"vm": ref, "pid": n, "start-time": n}
 *                 we stop and resume this VM, or have things of ours in it
 *   KEY.fill      {…, "store": path, "restore": {...}}
 *                 its memory or disks are still arriving
 *   KEY.rollback  {…, "job": id, "store", "cluster", "snapshot", "vms": [name], "phase"}
 *                 it is being taken back (vmm/host-rollback-journal.c)
 *
 *   KEY.load    it is being restored: restore-journal.h
 *   JOB.release {}   all VMs of this restore are loaded and may run
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

/* @kind: "pause", "fill", "load" or "rollback".  @extra: NULL, or further members (taken). */
bool cs_journal_add (CsJournal *journal, const char *kind, const CsVmRef *ref, pid_t pid,
                     json_object *extra, GError **error);
void cs_journal_remove (CsJournal *journal, const char *kind, const CsVmRef *ref);
bool cs_journal_has (CsJournal *journal, const char *kind, const CsVmRef *ref);

/* The mark of a job; taking one away that is not there is no error. */
bool cs_journal_mark (CsJournal *journal, const char *job, GError **error);
void cs_journal_unmark (CsJournal *journal, const char *job);
bool cs_journal_is_marked (CsJournal *journal, const char *job);
/* Takes away what a process that died in cs_journal_add or cs_journal_mark left half-written.  Only
 * before anything else uses the journal. */
void cs_journal_sweep_unfinished (CsJournal *journal);
/* Takes the marks away that no "load" entry refers to. */
void cs_journal_sweep_marks (CsJournal *journal);

/* Replaces member @key of the entry by @value (taken).  False without @error: there is no entry. */
bool cs_journal_change (CsJournal *journal, const char *kind, const CsVmRef *ref, const char *key,
                        json_object *value, GError **error);

/* The entries found: GPtrArray of json_object (each with "kind" added), unreadable ones left out
 * with a warning. */
GPtrArray *cs_journal_read (CsJournal *journal);

/* Whether the process that @entry names still is the same one. */
bool cs_journal_is_current (json_object *entry);

#endif
