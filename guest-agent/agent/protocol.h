/* UTF-8 text, one JSON object per line, each ended by \n; numbers are JSON integers of 0 or more.
 *
 * Between clusnapd (the host) and clusnap-agent (the guest), over the virtio-serial port
 * CS_AGENT_PORT.  The host asks, the agent answers; one request at a time, but "resume", which
 * cancels a "quiesce" that is under way (that one is answered first, with "cancelled").
 *
 *   request (host -> agent)    {"execute": NAME, "id": I, argument, ...}
 *   answer (agent -> host)     {"id": I, "return": {...}}
 *                              {"id": I, "error": {"class": CLASS, "desc": TEXT}}
 *
 *   host                                     agent
 *     \n                           ------>     (ends what may be left of a line)
 *     hello version, IDENTITY      ------>
 *                                  <------   version, agent: TEXT, participants: N, quiesced: BOOL
 *     quiesce deadline, hold       ------>     participants prepare, then the hooks
 *                                  <------   participants: N, hooks: N
 *     dependencies deadline        ------>
 *                                  <------   dependencies: [{"vm": NAME, "interval": N}, ...]
 *          the guest stands, the snapshot is taken, the guest runs
 *     resume IDENTITY              ------>     hooks, then participants go on
 *                                  <------   held: BOOL
 *
 *   after a restore or a rollback, on a new connection, hello as above and
 *     after-restore deadline, time, entropy, IDENTITY
 *                                  ------>     clock, random numbers, announcements, hooks,
 *                                              then participants go on
 *                                  <------   clock: TEXT, random: TEXT, announced: N, hooks: N
 *
 *   at any time
 *     ping                         ------>
 *                                  <------   (nothing)
 *     info                         ------>
 *                                  <------   agent, version, kernel: TEXT, quiesced, vm, interval,
 *                                            participants: [{"name": NAME, "state": TEXT}, ...]
 *
 * IDENTITY is vm: NAME, interval: N (docs/dependencies.md), or left out: unknown.  deadline and
 * hold: ms from now; hold is for how long the agent stays quiesced at most after the deadline: then
 * it resumes by itself, and "held" will be false.  time: ns since 1970.  entropy: TEXT of
 * lower-case hexadecimal digits, CS_AGENT_ENTROPY bytes.  clock and random: "set", or why not.
 *
 * Sessions.  The port may hold the rest of an older conversation on both ends (the guest may even
 * have been taken back to the middle of one).  So the host draws I at random, ignores all until an
 * answer with its hello's id comes, and ignores answers with other ids thereafter; the agent takes
 * a hello at any time.  A hello does not change whether the guest is quiesced.
 *
 * When the host's end of the port closes: a quiesce under way is given up and everybody resumes at
 * once; a quiesced guest resumes after CS_AGENT_GRACE ms, unless a host has said hello by then: if
 * the guest was just restored, after-restore is the better end of its pause.
 *
 * CLASS: "veto" (a participant, a hook or the deadline says no: TEXT why), "cancelled", "invalid"
 * (not understood), "failed".  Members that are not known are ignored; new ones may be added
 * without a new version. */
#ifndef CS_AGENT_PROTOCOL_H
#define CS_AGENT_PROTOCOL_H

#define CS_AGENT_PORT "org.clusnap.agent.0"
#define CS_AGENT_VERSION 1

#define CS_AGENT_REQUEST_MAX 4096        /* bytes of a line to the agent, its \n included */
#define CS_AGENT_ANSWER_MAX (128 * 1024) /* bytes of a line from the agent, its \n included */
#define CS_AGENT_DEPTH 8                 /* how deep objects and arrays may nest */
#define CS_AGENT_ENTROPY 32              /* bytes */
#define CS_AGENT_GRACE 1000              /* ms */
#define CS_AGENT_HOLD_MAX 3600000        /* ms: a longer "hold" or "deadline" counts as this */

#endif
