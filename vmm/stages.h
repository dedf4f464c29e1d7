/* The snapshot job: its stages, in order.  Enum, names, the CLI's progress lines, the daemon's
 * journal and the tests all come from this table; nothing else lists the stages.
 *
 * X (symbol, name, sentence for the user, participants, undo)
 *
 * What has happened when a stage ends, who takes part, and what a crash in it means:
 *
 * CHECK    Every VM was found running and capturable; nothing in any guest or QEMU has changed.
 *          Each host's daemon, for its own VMs.  A crash leaves nothing to undo.
 * QUIESCE  What runs inside the guests was told that a snapshot comes, and stands still or is not
 *          asked (no agent; vmm/agent.h).  Daemons and agents.  A crash: the agents go on when
 *          their connection is gone.
 * PRECOPY  Memory is write-protected (in micro-pauses) and most of it copied; the guests run;
 *          scratch nodes for the disks are in place.  Daemons and trackers.  A crash: the kernel
 *          drops the protection with the descriptor; the next daemon removes the scratch nodes.
 * PAUSE    The barrier: every VM of every host stands.  The coordinator and all daemons.  A crash
 *          of the coordinator: the deadline resumes the guests.  Of a daemon: its journal
 *          names what stands; the next daemon's first act is to resume it.
 * CAPTURE  Every VM's dirty rest, device state and disk cut were taken while all stood.  Daemons.
 *          A crash: as in PAUSE.
 * RESUME   Every VM runs again, each as soon as its own capture was done.  Daemons.  A crash: the
 *          guests run; the capture is lost and the next snapshot is a full one.
 * STORE    All data of all hosts is on stable storage.  Daemons and the store.  A crash: the data
 *          is garbage that gc removes; no snapshot is listed.
 * SEAL     The manifest is written: the snapshot exists.  The coordinator and the store.  A crash:
 *          either the whole manifest is there or none.
 */
#ifndef CS_VMM_STAGES_H
#define CS_VMM_STAGES_H

#include <glib.h>
#include <stdbool.h>

// clang-format off
#define CS_STAGE_TABLE(X)                                                                          \
  X (CHECK, "check", "checking that every VM can be captured",                                     \
     "daemons", "nothing was changed")                                                             \
  X (QUIESCE, "quiesce", "telling the guests that a snapshot comes",                               \
     "daemons, agents", "the guests are told to go on")                                            \
  X (PRECOPY, "precopy", "copying memory while the guests run",                                    \
     "daemons, trackers", "the copy is dropped, its dirty pages are carried over")                 \
  X (PAUSE, "pause", "pausing all VMs",                                                            \
     "coordinator, daemons", "the VMs that stand are resumed")                                     \
  X (CAPTURE, "capture", "capturing while all VMs stand",                                          \
     "daemons", "the capture is dropped and the VMs are resumed")                                  \
  X (RESUME, "resume", "all VMs run again",                                                        \
     "daemons", "the capture is dropped, its dirty pages are carried over")                        \
  X (STORE, "store", "storing what was captured",                                                  \
     "daemons, store", "what was stored is garbage that gc removes")                               \
  X (SEAL, "seal", "sealing the snapshot",                                                         \
     "coordinator, store", "the manifest is not written: no snapshot is listed")
// clang-format on

/* No number of this enum goes on the wire or on disk: names do. */
typedef enum
{
#define X(symbol, name, sentence, participants, undo) CS_STAGE_##symbol,
  CS_STAGE_TABLE (X)
#undef X
      CS_N_STAGES
} CsStage;

/* Static strings; @stage must be one of the table. */
const char *cs_stage_name (CsStage stage);
const char *cs_stage_sentence (CsStage stage);
const char *cs_stage_participants (CsStage stage);
const char *cs_stage_undo (CsStage stage);

/* Finds the stage called @name; false when there is none. */
bool cs_stage_from_name (const char *name, CsStage *stage);

#endif
