/* QEMU's guest agent (qemu-ga), where one runs in the guest.
 *
 * The guest is hostile: what it sends is bounded, checked, and waited for until a deadline only. */
#ifndef CS_VMM_GUEST_AGENT_H
#define CS_VMM_GUEST_AGENT_H

#include "vmm/monitor.h"

/* us that an agent may take for it: its guest may just be faulting its memory in. */
#define CS_GUEST_AGENT_TIME_LIMIT (30 * G_USEC_PER_SEC)

/* Worker, VM running: sets the guest's clocks to this host's real time.  Ends at @deadline
 * (g_get_monotonic_time).  A bare QEMU's agent is spoken to on its chardev, which must be a
 * listening unix socket without a client; a libvirt domain's through libvirt, which holds that
 * socket.  Errors: NOT_FOUND (no such port, or nothing in the guest has it open), BUSY (the port
 * has a client already), UNSUPPORTED (no unix socket), DEADLINE, INVALID (no answer of an agent),
 * FAILED (the guest could not: says why).  Afterwards the VM is as it was but for the time. */
bool cs_guest_agent_set_time (CsMonitor *monitor, gint64 deadline, GError **error);

/* The same on a connected socket (non-blocking; the caller keeps it): what a bare QEMU's agent
 * gets.  guest-sync-delimited first, since the port may hold the rest of an older conversation.
 *
 *   us:    0xff {"execute":"guest-sync-delimited","arguments":{"id":N}}
 *   agent: (anything) 0xff {"return": N}
 *   us:    {"execute":"guest-set-time","arguments":{"time":ns since 1970}}
 *   agent: {"return": {}}      or      {"error": {"class": C, "desc": D}} */
bool cs_guest_agent_converse (int fd, const char *name, gint64 deadline, GError **error);

/* The line that sets the time to now, without newline. */
char *cs_guest_agent_time_command (void);

/* Whether @text (of any length and content) is the agent's good answer; else why not. */
bool cs_guest_agent_check_reply (const char *name, const char *text, gsize length, GError **error);

#endif
