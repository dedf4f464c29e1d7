/* One VM's line of history: its sequence number, its branches, and whom it depends on
 * (docs/dependencies.md).
 *
 * Pure data: no VM, no file.  Not thread-safe. */
#ifndef CS_VMM_LINE_H
#define CS_VMM_LINE_H

#include "common/json.h"

/* Where a dependency was seen.  X (symbol, name in documents) */
#define CS_DEPENDENCY_SOURCE_TABLE(X)                                                              \
  X (FLOWS, "flows")         /* frames between taps */                                             \
  X (AGENT, "agent")         /* the guest says so */                                               \
  X (UNCOUNTED, "uncounted") /* nobody looked: it may be */

typedef enum
{
#define X(symbol, name) CS_DEPENDENCY_##symbol,
  CS_DEPENDENCY_SOURCE_TABLE (X)
#undef X
      CS_N_DEPENDENCY_SOURCES
} CsDependencySource;

const char *cs_dependency_source_name (CsDependencySource source);

typedef struct CsLine CsLine;

/* A new branch, in interval 0, without dependencies. */
CsLine *cs_line_new (void);
CsLine *cs_line_copy (const CsLine *line);
void cs_line_free (CsLine *line);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsLine, cs_line_free)

/* The interval that the VM is in. */
guint64 cs_line_sequence (const CsLine *line);
/* The highest number that the VM ever had, or that was reserved for it. */
guint64 cs_line_highest (const CsLine *line);
/* No number up to @sequence will be used. */
void cs_line_raise_highest (CsLine *line, guint64 sequence);
/* Reserves the next number and returns it: cs_line_advance will use it, or nobody. */
guint64 cs_line_reserve (CsLine *line);
/* The VM enters the interval that was reserved last. */
void cs_line_advance (CsLine *line);

/* The VM depends on interval @interval of VM @vm: cumulative, the latest counts.  True when that
 * is new in this interval of its own. */
bool cs_line_merge (CsLine *line, const char *vm, guint64 interval, CsDependencySource source);
/* Sets *@interval (may be NULL) to the latest one of @vm that the VM depends on; false: none. */
bool cs_line_depends_on (const CsLine *line, const char *vm, guint64 *interval);
/* The same for what it came to depend on in its present interval; *@sources: set of 1 << source. */
bool cs_line_depends_since (const CsLine *line, const char *vm, guint64 *interval, guint *sources);

/* The VM went back to @snapshot (as cs_line_from_manifest gave it): its dependencies are those of
 * the snapshot, a new branch begins, its interval gets a number that it never had. */
void cs_line_go_back (CsLine *line, const CsLine *snapshot);

/* Whether @snapshot lies on the line of history whose present is @present. */
bool cs_line_has (const CsLine *present, const CsLine *snapshot);

/* Members "sequence", "line" and "dependencies" of @vm, as in a manifest. */
void cs_line_add_to (const CsLine *line, json_object *vm);
/* From a manifest's VM.  NULL without @error: it is one of an older clusnap, whose VMs depend on
 * all others.  CORRUPT. */
CsLine *cs_line_from_manifest (json_object *vm, GError **error);

/* With what only the daemon keeps (highest number). */
json_object *cs_line_to_json (const CsLine *line);
CsLine *cs_line_from_json (json_object *object, GError **error);

#endif
