/* The rollback of a cluster: its stages, in order.  Enum, names, methods, the CLI's progress lines
 * and the tests come from this table; nothing else lists the stages.
 *
 * X (symbol, name, method of the RPC, sentence for the user, undo)
 *
 * What has happened when a stage ends, and what a crash in it means:
 *
 * PREPARE  What differs from the snapshot is known, most of its old content is in memory, and the
 *          state to load is in each QEMU; the guests run.  A crash: the next daemon takes it out.
 * PAUSE    The barrier: every VM of every host stands, and none is changed.  A crash of the
 *          coordinator: the deadline resumes the guests untouched.  Of a daemon: the next one does.
 * APPLY    The point of no return.  Every VM is back as in the snapshot and still stands; a VM
 *          that could not be taken back in place was started again from the snapshot.  A crash of
 *          the coordinator: the daemons finish.  Of a daemon: the next one does all of it again.
 * RELEASE  All VMs run.  A crash: as in APPLY.
 */
#ifndef CS_VMM_ROLLBACK_STAGES_H
#define CS_VMM_ROLLBACK_STAGES_H

// clang-format off
#define CS_ROLLBACK_STAGE_TABLE(X)                                                                 \
  X (PREPARE, "rollback-prepare", "rollback.prepare",                                              \
     "finding what has changed while the guests run", "nothing was changed")                       \
  X (PAUSE, "rollback-pause", "rollback.pause",                                                    \
     "pausing all VMs", "nothing was changed")                                                     \
  X (APPLY, "rollback-apply", "rollback.apply",                                                    \
     "taking all VMs back", "what was taken back stays so")                                        \
  X (RELEASE, "rollback-release", "rollback.release",                                              \
     "letting all VMs run", "what was taken back stays so")
// clang-format on

/* No number of this enum goes on the wire or on disk: names do. */
typedef enum
{
#define X(symbol, name, method, sentence, undo) CS_ROLLBACK_STAGE_##symbol,
  CS_ROLLBACK_STAGE_TABLE (X)
#undef X
      CS_N_ROLLBACK_STAGES
} CsRollbackStage;

/* Static strings; @stage must be one of the table. */
const char *cs_rollback_stage_name (CsRollbackStage stage);
const char *cs_rollback_stage_method (CsRollbackStage stage);
const char *cs_rollback_stage_sentence (CsRollbackStage stage);
const char *cs_rollback_stage_undo (CsRollbackStage stage);

#endif
