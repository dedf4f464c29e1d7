/* A QMP client on a connected unix socket.
 *
 *   S: {"QMP": {"version": {...}, "capabilities": [...]}}
 *   C: {"execute": "qmp_capabilities", "id": 1}
 *   S: {"return": {}, "id": 1}
 *   C: {"execute": "stop", "id": 2}            commands may be in flight together
 *   S: {"timestamp": {...}, "event": "STOP"}   events come in between
 *   S: {"return": {}, "id": 2}                 or {"error": {"class": C, "desc": D}, "id": 2}
 *
 * Every wait is one ppoll that ends at the caller's deadline, and at once when QEMU closes the
 * socket (GONE).  A command whose wait ended with DEADLINE is still in flight: its late reply is
 * recognised by its id and dropped.  A violation of the protocol breaks the client: all later
 * calls fail with the same error.
 *
 * Threads: one owner. */
#ifndef CS_VMM_QMP_H
#define CS_VMM_QMP_H

#include "vmm/event-queue.h"

typedef struct CsQmp CsQmp;

/* Takes @fd (made non-blocking).  Events go to @events (referenced).  @name begins every
 * error message: "QEMU at '/run/vm1.qmp'". */
CsQmp *cs_qmp_new (int fd, const char *name, CsEventQueue *events);
void cs_qmp_free (CsQmp *qmp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsQmp, cs_qmp_free)

typedef struct
{
  int major, minor, micro;
} CsQemuVersion;

/* Greeting and qmp_capabilities.  Sets *@version.  BUSY when no greeting comes until @deadline:
 * QEMU serves one client at a time. */
bool cs_qmp_handshake (CsQmp *qmp, gint64 deadline, CsQemuVersion *version, GError **error);

/* Puts a command into flight and returns its id.  Takes @arguments (NULL: none).
 * @fd (or -1) goes along by SCM_RIGHTS; the caller keeps it and may close it at once. */
guint64 cs_qmp_send (CsQmp *qmp, const char *command, json_object *arguments, int fd);

/* Waits for the reply of @id, once.  *@result (unless NULL) gets its "return". */
bool cs_qmp_wait (CsQmp *qmp, guint64 id, gint64 deadline, json_object **result, GError **error);

/* Waits for an event (see cs_event_queue_take); its data, or NULL with @error. */
json_object *cs_qmp_wait_event (CsQmp *qmp, const char *event, const char *key, const char *value,
                                gint64 deadline, GError **error);

/* Handles all that has arrived, without waiting. */
void cs_qmp_drain (CsQmp *qmp);

/* Whether the socket still stands.  Any thread, while the client is not being freed. */
bool cs_qmp_is_open (const CsQmp *qmp);

/* The error of an error reply {"class": C, "desc": D}: "@name: @command: C: D". */
void cs_qmp_set_error (GError **error, const char *name, const char *command, json_object *reply);

/* {"major":…,"minor":…,"micro":…} of a greeting's or query-version's "qemu". */
bool cs_qemu_version_parse (json_object *object, CsQemuVersion *version);

#endif
