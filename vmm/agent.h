/* The guest's clusnap-agent: told before a snapshot and after it, and after a restore or rollback.
 *
 * Protocol: guest-agent/agent/protocol.h.  Theory of operation: agent.c.  A CsAgent is one VM's for
 * one snapshot.  Its functions are the VM's worker's, but for those that say otherwise. */
#ifndef CS_VMM_AGENT_H
#define CS_VMM_AGENT_H

#include "vmm/monitor.h"

typedef struct CsAgent CsAgent;

/* us that an agent may take for putting its guest right; and for its first word, where the guest's
 * memory is all there: who is silent for so long will be.  A guest that is just faulting its memory
 * in may be as late with that. */
#define CS_AGENT_AFTER_RESTORE_LIMIT (30 * G_USEC_PER_SEC)
#define CS_AGENT_HELLO_LIMIT (5 * G_USEC_PER_SEC)

/* X (symbol, name on the wire and in cluster files) */
#define CS_AGENT_POLICY_TABLE(X)                                                                   \
  X (AUTO, "auto")         /* asked where there is one; if it fails the snapshot goes on */        \
  X (REQUIRED, "required") /* each VM must have one, and it must quiesce */                        \
  X (OFF, "off")           /* not asked */

typedef enum
{
#define X(symbol, name) CS_AGENT_##symbol,
  CS_AGENT_POLICY_TABLE (X)
#undef X
} CsAgentPolicy;

/* False for an unknown @name. */
bool cs_agent_policy_from_name (const char *name, CsAgentPolicy *policy);

/* @vm: the VM's name, which its participants are told. */
CsAgent *cs_agent_new (const char *vm, CsAgentPolicy policy);
/* Ends the conversation: what is quiesced resumes. */
void cs_agent_free (CsAgent *agent);

/* What the participants are told: the interval they are in, and the one that the snapshot begins
 * (docs/dependencies.md).  Until this is called both are 0.  Not while a function of the worker's
 * runs. */
void cs_agent_set_intervals (CsAgent *agent, guint64 present, guint64 next);

/* Any thread: ends waiting in cs_agent_quiesce. */
void cs_agent_cancel (CsAgent *agent);

/* QUIESCE: asks the agent to quiesce the guest and what it depends on, in @limit us at most; @hold:
 * for how many us more it may have to stand still.  True also when there is none, or it failed and
 * the policy is auto.  Errors: REFUSED (a veto, or no agent where one is required), CANCELLED;
 * where one is required also what went wrong. */
bool cs_agent_quiesce (CsAgent *agent, CsMonitor *monitor, gint64 limit, gint64 hold,
                       GError **error);

/* RESUME, or the end of whatever failed: tells it to go on.  Waits for nothing. */
void cs_agent_resume (CsAgent *agent);

/* Reads the answer to cs_agent_resume, waiting for it at most until quiesce's @limit after that,
 * and closes the connection.  False, where an agent is required, when the guest did not stand still
 * all the time: REFUSED. */
bool cs_agent_end (CsAgent *agent, GError **error);

/* For reports: "quiesced", "none", "off", or what went wrong. */
const char *cs_agent_state (const CsAgent *agent);
gint64 cs_agent_took (const CsAgent *agent); /* us until it was quiesced; -1: it was not */
/* On which VMs' intervals this one depends, as its guest says: [{"vm": name, "interval": n}, ...],
 * validated (agent-reply.h), taken after everything in the guest stood still.  NULL when the guest
 * was not quiesced.  Borrowed. */
json_object *cs_agent_dependencies (const CsAgent *agent);

/* ---- after a restore or a rollback ---- */

/* Worker, VM running: has the agent set the clock, reseed the random numbers, announce its
 * addresses and run its hooks, and tells its participants that they are @vm in @interval.  Returns
 * for reports
 * {"agent": "restored" | "none" | TEXT why not, "clock"?: TEXT, "random"?: TEXT, "announced"?: N};
 * new.  @resident: its memory is all there.  Ends within CS_AGENT_AFTER_RESTORE_LIMIT. */
json_object *cs_agent_after_restore (CsMonitor *monitor, const char *vm, guint64 interval,
                                     bool resident);

/* The same on a connected socket, and the conversation of cs_agent_quiesce: for tests.  @patience:
 * us that the agent may take for its first word, @limit: for all. */
json_object *cs_agent_converse_restore (int fd, const char *name, const char *vm, guint64 interval,
                                        gint64 patience, gint64 limit);
/* @fd is taken. */
bool cs_agent_quiesce_on (CsAgent *agent, int fd, const char *name, gint64 limit, gint64 hold,
                          GError **error);

#endif
