#include "config.h"

#include "vmm/monitor-private.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/pause-priority.h"
#include "vmm/process.h"
#include "vmm/watchdog.h"

#include <unistd.h>

#define COMMAND_TIMEOUT (30 * G_USEC_PER_SEC)
#define CONT_GRACE (5 * G_USEC_PER_SEC)
#define PAUSE_LIMIT (2 * G_USEC_PER_SEC) /* of a stop without a deadline */
#define VERSION_MIN 8                    /* x-query-ramblock prints host addresses since 8.0 */

void
cs_monitor_init (CsMonitor *monitor, const CsMonitorClass *class)
{
  monitor->class = class;
  monitor->pidfd = -1;
  monitor->watch = -1;
  monitor->events = cs_event_queue_new ();
}

bool
cs_monitor_check_version (CsMonitor *monitor, GError **error)
{
  if (monitor->version.major >= VERSION_MIN)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
               "%s runs QEMU %d.%d.%d, but clusnap needs QEMU %d.0 or newer: update QEMU and start "
               "the guest again",
               monitor->name, monitor->version.major, monitor->version.minor,
               monitor->version.micro, VERSION_MIN);
  return false;
}

bool
cs_monitor_set_pid (CsMonitor *monitor, pid_t pid, GError **error)
{
  if (pid > 0 && (monitor->pidfd = cs_process_open (pid, error)) >= 0)
    {
      monitor->pid = pid;
      return true;
    }
  g_prefix_error (error, "%s: ", monitor->name);
  return false;
}

static void
forget_stop (CsMonitor *monitor)
{
  monitor->stopped = false;
  cs_pause_priority_drop (monitor->pid);
  cs_watchdog_end (monitor->watch);
  monitor->watch = -1;
}

void
cs_monitor_close (CsMonitor *monitor)
{
  if (monitor == NULL)
    return;
  /* Who closes a VM that stands leaves it to the supervisor. */
  if (cs_process_has_ended (monitor->pidfd))
    forget_stop (monitor);
  monitor->class->close (monitor);
  if (monitor->pidfd >= 0)
    close (monitor->pidfd);
  if (monitor->stopped)
    cs_pause_priority_drop (monitor->pid);
  cs_event_queue_unref (monitor->events);
  g_clear_pointer (&monitor->vcpus, g_array_unref);
  g_free (monitor->name);
  g_free (monitor);
}

const char *
cs_monitor_name (const CsMonitor *monitor)
{
  return monitor->name;
}

pid_t
cs_monitor_pid (const CsMonitor *monitor)
{
  return monitor->pid;
}

void
cs_monitor_qemu_version (const CsMonitor *monitor, int *major, int *minor, int *micro)
{
  *major = monitor->version.major;
  *minor = monitor->version.minor;
  *micro = monitor->version.micro;
}

bool
cs_monitor_is_alive (const CsMonitor *monitor)
{
  return !cs_process_has_ended (monitor->pidfd) && monitor->class->is_open (monitor);
}

void
cs_monitor_set_deadline (CsMonitor *monitor, gint64 when)
{
  monitor->deadline = when;
}

static gint64
deadline_of (const CsMonitor *monitor)
{
  return monitor->deadline != 0 ? monitor->deadline : g_get_monotonic_time () + COMMAND_TIMEOUT;
}

bool
cs_monitor_execute_with_fd (CsMonitor *monitor, const char *command, json_object *arguments, int fd,
                            json_object **result, GError **error)
{
  return monitor->class->execute (monitor, command, arguments, fd, deadline_of (monitor), result,
                                  error);
}

bool
cs_monitor_execute (CsMonitor *monitor, const char *command, json_object *arguments,
                    json_object **result, GError **error)
{
  return cs_monitor_execute_with_fd (monitor, command, arguments, -1, result, error);
}

gint64
cs_monitor_add_fd (CsMonitor *monitor, int fd, const char *opaque, GError **error)
{
  json_object *result = NULL, *number = NULL, *arguments = json_object_new_object ();
  json_object_object_add (arguments, "opaque", json_object_new_string (opaque));
  if (!cs_monitor_execute_with_fd (monitor, "add-fd", arguments, fd, &result, error))
    return -1;
  gint64 fdset = -1;
  if (json_object_object_get_ex (result, "fdset-id", &number))
    fdset = json_object_get_int64 (number);
  else
    g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s: add-fd: the reply names no fd set",
                 monitor->name);
  json_object_put (result);
  return fdset;
}

bool
cs_monitor_remove_fdset (CsMonitor *monitor, gint64 fdset, GError **error)
{
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "fdset-id", json_object_new_int64 (fdset));
  return cs_monitor_execute (monitor, "remove-fd", arguments, NULL, error);
}

void
cs_monitor_learn_vcpus (CsMonitor *monitor)
{
  g_autoptr (CsJson) cpus = NULL;
  if (!cs_monitor_execute (monitor, "query-cpus-fast", NULL, &cpus, NULL))
    return;
  g_clear_pointer (&monitor->vcpus, g_array_unref);
  monitor->vcpus = g_array_new (FALSE, FALSE, sizeof (pid_t));
  for (gsize i = 0; i < cs_array_length (cpus); i++)
    {
      pid_t thread = (pid_t)cs_json_uint (json_object_array_get_idx (cpus, i), "thread-id", 0);
      g_array_append_val (monitor->vcpus, thread);
    }
}

/* A stop that failed may still come into force: a cont is owed in any case. */
bool
cs_monitor_stop (CsMonitor *monitor, GError **error)
{
  monitor->stopped = true;
  cs_pause_priority_raise (monitor->pid, monitor->vcpus);
  if (monitor->watch < 0)
    monitor->watch = cs_watchdog_begin (
        monitor->name, MAX (monitor->deadline, g_get_monotonic_time () + PAUSE_LIMIT));
  if (monitor->class->stop != NULL)
    return monitor->class->stop (monitor, deadline_of (monitor), error);
  return cs_monitor_execute (monitor, "stop", NULL, NULL, error);
}

bool
cs_monitor_cont (CsMonitor *monitor, GError **error)
{
  /* One that was started to stand. */
  if (!monitor->stopped)
    cs_pause_priority_raise (monitor->pid, monitor->vcpus);
  bool running = monitor->class->cont != NULL
                     ? monitor->class->cont (monitor, deadline_of (monitor), error)
                     : cs_monitor_execute (monitor, "cont", NULL, NULL, error);
  if (running)
    monitor->resumed_at = g_get_monotonic_time ();
  if (running)
    forget_stop (monitor);
  else if (!monitor->stopped)
    cs_pause_priority_drop (monitor->pid);
  return running;
}

gint64
cs_monitor_resumed_at (const CsMonitor *monitor)
{
  return monitor->resumed_at;
}

void
cs_monitor_extend_stop (CsMonitor *monitor, gint64 when)
{
  cs_watchdog_move (monitor->watch, when);
}

bool
cs_monitor_make_run (CsMonitor *monitor, GError **error)
{
  if (!monitor->stopped || cs_process_has_ended (monitor->pidfd))
    return true;
  cs_monitor_set_deadline (monitor, g_get_monotonic_time () + CONT_GRACE);
  bool running = cs_monitor_cont (monitor, error);
  cs_monitor_set_deadline (monitor, 0);
  /* A QEMU that was killed closes its socket some time before its process has ended. */
  if (!running && !monitor->class->is_open (monitor)
      && cs_process_wait_end (monitor->pidfd, CONT_GRACE))
    {
      g_clear_error (error);
      running = true;
    }
  return running;
}

bool
cs_monitor_status (CsMonitor *monitor, bool *running, char **status, GError **error)
{
  json_object *result = NULL, *flag = NULL, *text = NULL;
  if (!cs_monitor_execute (monitor, "query-status", NULL, &result, error))
    return false;
  bool good = json_object_object_get_ex (result, "running", &flag)
              && json_object_object_get_ex (result, "status", &text);
  if (good)
    {
      *running = json_object_get_boolean (flag);
      if (status != NULL)
        *status = g_strdup (json_object_get_string (text));
    }
  else
    g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s: query-status: the reply names no status",
                 monitor->name);
  json_object_put (result);
  return good;
}

json_object *
cs_monitor_wait_event (CsMonitor *monitor, const char *event, const char *key, const char *value,
                       GError **error)
{
  return monitor->class->wait_event (monitor, event, key, value, deadline_of (monitor), error);
}

void
cs_monitor_forget_events (CsMonitor *monitor)
{
  monitor->class->drain (monitor);
  cs_event_queue_clear (monitor->events);
}

char *
cs_monitor_libvirt_xml (CsMonitor *monitor, GError **error)
{
  if (monitor->class->xml != NULL)
    return monitor->class->xml (monitor, error);
  g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED, "%s is no libvirt domain", monitor->name);
  return NULL;
}

bool
cs_monitor_is_libvirt (const CsMonitor *monitor)
{
  return monitor->class->xml != NULL;
}
