/* The recovery line: who must go back, and how far, when some VMs have failed.
 *
 * Pure functions over numbers: VMs are 0 ... n - 1; interval S of a VM is what it does from its
 * snapshot with sequence number S until the next one.  Interval 0 lies before its first snapshot.
 *
 *           snapshot 1       snapshot 2
 *     VM 0  ----|----------------|-------->
 *       interval 0   interval 1     interval 2
 *
 * A dependency (FROM, x) -> (TO, y) says that TO saw in its interval y something that FROM did in
 * its interval x: undoing the one without the other would leave an effect without its cause (an
 * orphan).  What binds both ends, as a TCP connection does, is two dependencies.
 *
 * Theory of operation and sources: recovery-line.c.  Not thread-safe while it is being filled. */
#ifndef CS_COORD_RECOVERY_LINE_H
#define CS_COORD_RECOVERY_LINE_H

#include <glib.h>
#include <stdbool.h>

typedef struct CsHistory CsHistory;

typedef struct
{
  guint from, to;
  guint64 from_interval, to_interval;
} CsDependency;

/* A history of @n VMs without snapshots and dependencies. */
CsHistory *cs_history_new (guint n);
void cs_history_free (CsHistory *history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsHistory, cs_history_free)

/* A snapshot of VM @vm that can be restored; @sequence > 0, each once, in rising order per VM.
 * Numbers may be missing: snapshots are deleted. */
void cs_history_add_snapshot (CsHistory *history, guint vm, guint64 sequence);

/* Adding one twice is harmless.  One of a VM on itself is ignored. */
void cs_history_add_dependency (CsHistory *history, const CsDependency *dependency);
const CsDependency *cs_history_dependency (const CsHistory *history, guint i);

/* Where a VM is on the line: the sequence number of the snapshot that it goes back to, or: */
#define CS_RECOVERY_STAYS G_MAXUINT64 /* not touched */
#define CS_RECOVERY_LOST 0            /* no snapshot of it is old enough: start it anew */

#define CS_RECOVERY_NO_DEPENDENCY G_MAXUINT

typedef enum
{
  CS_RECOVERY_UNTOUCHED,
  CS_RECOVERY_FAILED,    /* it is one of those that failed */
  CS_RECOVERY_DEPENDENT, /* it saw what is undone: see `dependency` */
} CsRecoveryReason;

typedef struct
{
  guint64 position;
  CsRecoveryReason reason;
  guint
      dependency; /* number of the one that sent it back this far; CS_RECOVERY_NO_DEPENDENCY for an
                     untouched VM, and for a failed one that only goes to its latest snapshot */
} CsRecoveryMember;

typedef struct
{
  guint n;
  CsRecoveryMember *members;
} CsRecoveryLine;

/* The latest consistent line on which no VM of @failed (@n_failed numbers) is later than its latest
 * snapshot.  Time: O(d log d + s) for d dependencies and s snapshots. */
CsRecoveryLine *cs_recovery_line (const CsHistory *history, const guint *failed, guint n_failed);
void cs_recovery_line_free (CsRecoveryLine *line);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRecoveryLine, cs_recovery_line_free)

/* Whether no dependency crosses the line @positions (one per VM) from what is undone to what is
 * kept. */
bool cs_history_is_consistent (const CsHistory *history, const guint64 *positions);

/* What would be undone were @vm to fail now: the number of other VMs that go back, and the most
 * snapshots that any of them loses.  A measure of the domino effect. */
void cs_history_domino (const CsHistory *history, guint vm, guint *others, guint *depth);

#endif
