/* A VM's control channel: QMP, over one of two transports.
 *
 *   bare QEMU        the unix socket of -qmp; we are its only client
 *   libvirt domain   virDomainQemuMonitorCommand[WithFiles]; suspending and resuming
 *                    go through the API, so that libvirt's own view is always true
 *
 * Threads: a CsMonitor has one owner at a time (the VM's worker); nothing here takes a
 * lock of ours across a wait.  Only cs_monitor_is_alive and cs_monitor_pid may be called
 * from other threads.
 */
#ifndef CS_VMM_MONITOR_H
#define CS_VMM_MONITOR_H

#include <glib.h>
#include <json.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct CsMonitor CsMonitor;

/* Connects to the QMP socket at @path.  Errors: NOT_FOUND, BUSY (the socket is there
 * but nobody answers: another client holds it), INVALID (does not speak QMP),
 * UNSUPPORTED (QEMU older than 8.0). */
CsMonitor *cs_monitor_open_qmp (const char *path, GError **error);

/* Finds running domain @domain at @uri.  Errors: NOT_FOUND (no such domain), STATE (not
 * running), IO (no connection to libvirt).  cs_libvirt_init must have been called. */
CsMonitor *cs_monitor_open_libvirt (const char *uri, const char *domain, GError **error);

void cs_monitor_close (CsMonitor *monitor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsMonitor, cs_monitor_close)

/* "domain 'vm1'" or "QEMU at '/run/vm1.qmp'": for error messages. */
const char *cs_monitor_name (const CsMonitor *monitor);

/* QEMU's process, in our pid namespace. */
pid_t cs_monitor_pid (const CsMonitor *monitor);

/* QEMU's version. */
void cs_monitor_qemu_version (const CsMonitor *monitor, int *major, int *minor, int *micro);

/* False once QEMU is known to be gone (socket closed, domain stopped, pid ended). */
bool cs_monitor_is_alive (const CsMonitor *monitor);

/* Every wait below ends at the latest at @when (g_get_monotonic_time, in us) with
 * DEADLINE; 0 restores the default of 30 s per command.  libvirt's API knows no time
 * limit: there it is only looked at between calls.  After DEADLINE the command may still be
 * executed; before a cont that must not fail, set a new deadline. */
void cs_monitor_set_deadline (CsMonitor *monitor, gint64 when);

/* Executes @command and waits for its reply.  @arguments: NULL, or a reference that this
 * call takes (json_object_put, also on error).  @result: NULL, or gets a new reference to
 * the reply's "return".  An error reply becomes FAILED (CommandNotFound: UNSUPPORTED) with
 * "NAME: COMMAND: CLASS: text"; a lost connection GONE. */
bool cs_monitor_execute (CsMonitor *monitor, const char *command, json_object *arguments,
                         json_object **result, GError **error);

/* The same, passing descriptor @fd along (getfd, add-fd); the caller keeps @fd. */
bool cs_monitor_execute_with_fd (CsMonitor *monitor, const char *command, json_object *arguments,
                                 int fd, json_object **result, GError **error);

/* add-fd: puts @fd into a new fd set and returns its number (name it /dev/fdset/N), or -1.  @opaque
 * ("clusnap-...") marks it as ours, for cs_disks_cleanup after a crash. */
gint64 cs_monitor_add_fd (CsMonitor *monitor, int fd, const char *opaque, GError **error);
bool cs_monitor_remove_fdset (CsMonitor *monitor, gint64 fdset, GError **error);

/* Asks which of QEMU's threads are vCPUs: from then on all others go before everything else on the
 * host while the VM stands (pause-priority.h).  Where QEMU does not say, its threads stay as they
 * are. */
void cs_monitor_learn_vcpus (CsMonitor *monitor);

/* stop / cont.  When stop returns, block I/O is drained and the vCPUs stand.  In between the
 * calling thread has a raised priority. */
bool cs_monitor_stop (CsMonitor *monitor, GError **error);
bool cs_monitor_cont (CsMonitor *monitor, GError **error);
/* When the last cont that succeeded was answered, by CLOCK_MONOTONIC in us.  The end of a pause:
 * what the calling thread does afterwards it does without the raised priority. */
gint64 cs_monitor_resumed_at (const CsMonitor *monitor);
/* The VM stands and may do so until @when: its supervisor (watchdog.h) waits so long. */
void cs_monitor_extend_stop (CsMonitor *monitor, gint64 when);
/* At the end of whatever stopped the VM: true when no stop of ours is in force any more (or QEMU is
 * gone), else tries cont once more, with a deadline of its own. */
bool cs_monitor_make_run (CsMonitor *monitor, GError **error);

/* query-status: sets *@running, and *@status (g_free) unless it is NULL. */
bool cs_monitor_status (CsMonitor *monitor, bool *running, char **status, GError **error);

/* Waits until event @event has arrived whose data member @key is the string @value
 * (@key NULL: any) since the last cs_monitor_forget_events; takes that event out and
 * returns its data ({} for an event without any; passes to the caller).  NULL: DEADLINE, GONE.
 * For libvirt domains this uses virConnectDomainQemuMonitorEventRegister. */
json_object *cs_monitor_wait_event (CsMonitor *monitor, const char *event, const char *key,
                                    const char *value, GError **error);
/* Also takes in what QEMU has sent meanwhile, without waiting: call it before each use of a monitor
 * that has lain idle, since QEMU keeps in its memory what nobody reads. */
void cs_monitor_forget_events (CsMonitor *monitor);

/* Starts libvirt's default event loop in a thread; once per process, before any
 * cs_monitor_open_libvirt. */
bool cs_libvirt_init (GError **error);

/* For the libvirt transport: the domain's XML as a restore needs it (live, migratable,
 * secure).  NULL with UNSUPPORTED for a bare QEMU. */
char *cs_monitor_libvirt_xml (CsMonitor *monitor, GError **error);
bool cs_monitor_is_libvirt (const CsMonitor *monitor);

#endif
