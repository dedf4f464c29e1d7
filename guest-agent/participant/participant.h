/* libclusnap-participant: what a program inside a guest needs to take part in snapshots.
 *
 * A participant registers with the guest's clusnap-agent and then answers it:
 *
 *   agent                            participant
 *     prepare {deadline}   ------>     finish what is under way, start nothing new
 *                          <------     ready, or veto with a reason
 *     resume {identity}    ------>     go on: the snapshot was taken, or given up, or the guest was
 *                                      just restored from it
 *     dependencies         ------>
 *                          <------     on which other VMs' intervals this one depends
 *
 * Nothing happens behind the caller's back: no thread, no signal.  The caller polls
 * cs_participant_fd and calls cs_participant_dispatch, from one thread at a time.
 *
 * Wire protocol: guest-agent/participant/protocol.h.  libc only. */
#ifndef CS_PARTICIPANT_H
#define CS_PARTICIPANT_H

#include <stddef.h>
#include <stdint.h>

#define CS_PARTICIPANT_SOCKET "/run/clusnap/participants.sock"
#define CS_PARTICIPANT_NAME 64    /* bytes of a name, its end included */
#define CS_PARTICIPANT_REASON 256 /* bytes of a veto's reason, its end included */
#define CS_PARTICIPANT_VMS 1024   /* VMs of a cluster at most */

typedef struct CsParticipant CsParticipant;

/* Who this guest is in its cluster, as the host said last. */
typedef struct
{
  char vm[CS_PARTICIPANT_NAME]; /* "" until the host has said it */
  uint64_t interval;            /* the sequence number of its latest snapshot; 0 before the first */
} CsParticipantIdentity;

/* This guest saw something that @vm did in its interval @interval. */
typedef struct
{
  char vm[CS_PARTICIPANT_NAME];
  uint64_t interval;
} CsParticipantDependency;

typedef struct
{
  /* A snapshot comes.  True: ready, now or already; false: veto, @reason (CS_PARTICIPANT_REASON
   * bytes) says why, or, with @reason left empty: not ready yet, cs_participant_ready follows.
   * @deadline: milliseconds from now; who is not ready then has vetoed. */
  int (*prepare) (void *data, unsigned deadline, char *reason);
  /* Go on.  @identity is the guest's from now on; @restored: the guest was taken back (restore or
   * rollback) since it prepared. */
  void (*resume) (void *data, const CsParticipantIdentity *identity, int restored);
  /* Fills @dependencies with at most @n entries, one per VM (the latest interval), cumulative since
   * the program started; returns how many.  NULL: it has none. */
  size_t (*dependencies) (void *data, CsParticipantDependency *dependencies, size_t n);
} CsParticipantHandlers;

/* Connects to the agent's socket @path (NULL: CS_PARTICIPANT_SOCKET) and registers as @name.  NULL
 * with errno when there is no agent; then nothing is lost: a guest without agent is snapshotted
 * without being asked.  @handlers and @data are borrowed. */
CsParticipant *cs_participant_open (const char *path, const char *name,
                                    const CsParticipantHandlers *handlers, void *data);
void cs_participant_close (CsParticipant *participant);

/* The descriptor to poll for POLLIN. */
int cs_participant_fd (const CsParticipant *participant);

/* Reads and answers what has come; calls the handlers.  0, or -1 with errno when the agent is gone
 * (open again later). */
int cs_participant_dispatch (CsParticipant *participant);

/* The late answer to prepare: ready when @reason is NULL, else a veto. */
int cs_participant_ready (CsParticipant *participant, const char *reason);

/* As the host said last. */
const CsParticipantIdentity *cs_participant_identity (const CsParticipant *participant);

#endif
