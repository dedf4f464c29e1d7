/* A libvirt domain: libvirtd holds QEMU's QMP socket, we speak through its API.
 *
 * Threads: events come in libvirt's event loop thread, which touches nothing but the event
 * queue (referenced by each registration, so that closing cannot race with a delivery). */
#include "config.h"

#include "vmm/monitor-private.h"

#include "common/error.h"
#include "vmm/libvirt.h"
#include "vmm/process.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <stdlib.h>

typedef struct
{
  CsMonitor parent;
  virConnectPtr connection;
  virDomainPtr domain;
  int monitor_events;   /* callback ids, or -1 */
  int lifecycle_events; /* as well */
  bool close_watched;
} LibvirtMonitor;

static const char domain_stopped[] = "the domain was shut off or destroyed";
static const char connection_lost[] = "the connection to libvirt is lost";

static LibvirtMonitor *
libvirt_monitor (CsMonitor *monitor)
{
  return (LibvirtMonitor *)monitor;
}

static void
on_monitor_event (virConnectPtr connection, virDomainPtr domain, const char *event,
                  long long seconds, unsigned int micros, const char *details, void *data)
{
  json_object *object = details != NULL ? json_tokener_parse (details) : NULL;
  if (!json_object_is_type (object, json_type_object))
    {
      json_object_put (object);
      object = NULL;
    }
  cs_event_queue_push (data, event, object);
}

static int
on_lifecycle_event (virConnectPtr connection, virDomainPtr domain, int event, int detail,
                    void *data)
{
  if (event == VIR_DOMAIN_EVENT_STOPPED || event == VIR_DOMAIN_EVENT_CRASHED)
    cs_event_queue_close (data, domain_stopped);
  return 0;
}

static void
on_close (virConnectPtr connection, int reason, void *data)
{
  cs_event_queue_close (data, connection_lost);
}

static void
unref_queue (void *data)
{
  cs_event_queue_unref (data);
}

static void
libvirt_close (CsMonitor *monitor)
{
  LibvirtMonitor *self = libvirt_monitor (monitor);
  if (self->monitor_events >= 0)
    virConnectDomainQemuMonitorEventDeregister (self->connection, self->monitor_events);
  if (self->lifecycle_events >= 0)
    virConnectDomainEventDeregisterAny (self->connection, self->lifecycle_events);
  if (self->close_watched)
    virConnectUnregisterCloseCallback (self->connection, on_close);
  if (self->domain != NULL)
    virDomainFree (self->domain);
  if (self->connection != NULL)
    virConnectClose (self->connection);
}

static bool
libvirt_is_open (const CsMonitor *monitor)
{
  return cs_event_queue_closed (monitor->events) == NULL;
}

static bool
set_gone (CsMonitor *monitor, GError **error)
{
  const char *why = cs_event_queue_closed (monitor->events);
  g_set_error (error, CS_ERROR, CS_ERROR_GONE, "%s is gone: %s", monitor->name,
               why != NULL ? why : "its QEMU has ended");
  return false;
}

static bool
check_before_call (CsMonitor *monitor, const char *what, gint64 deadline, GError **error)
{
  if (!cs_monitor_is_alive (monitor))
    return set_gone (monitor, error);
  if (g_get_monotonic_time () < deadline)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE, "%s: %s: no time is left", monitor->name, what);
  return false;
}

/* After a failed call: a domain that has ended meanwhile makes any error GONE.  To ask for that
 * makes libvirt forget its last error. */
static bool
set_call_error (CsMonitor *monitor, const char *what, GError **error)
{
  int code = virGetLastErrorCode ();
  g_autoptr (GError) own = NULL;
  cs_libvirt_set_error (&own, "%s: %s", monitor->name, what);
  if (!cs_monitor_is_alive (monitor) || code == VIR_ERR_NO_DOMAIN
      || virDomainIsActive (libvirt_monitor (monitor)->domain) == 0)
    {
      cs_event_queue_close (monitor->events, domain_stopped);
      return set_gone (monitor, error);
    }
  g_propagate_error (error, g_steal_pointer (&own));
  return false;
}

static char *
format_command (const char *command, json_object *arguments)
{
  json_object *message = json_object_new_object ();
  json_object_object_add (message, "execute", json_object_new_string (command));
  if (arguments != NULL)
    json_object_object_add (message, "arguments", arguments);
  char *text = g_strdup (json_object_to_json_string_ext (message, JSON_C_TO_STRING_PLAIN));
  json_object_put (message);
  return text;
}

/* @text: {"return": …} or {"error": …}. */
static bool
parse_reply (CsMonitor *monitor, const char *command, const char *text, json_object **result,
             GError **error)
{
  json_object *reply = json_tokener_parse (text), *value = NULL;
  bool good = json_object_object_get_ex (reply, "return", &value);
  if (good && result != NULL)
    *result = json_object_get (value);
  if (!good)
    {
      json_object_object_get_ex (reply, "error", &value);
      cs_qmp_set_error (error, monitor->name, command, value);
    }
  json_object_put (reply);
  return good;
}

static bool
libvirt_execute (CsMonitor *monitor, const char *command, json_object *arguments, int fd,
                 gint64 deadline, json_object **result, GError **error)
{
  g_autofree char *text = format_command (command, arguments);
  if (!check_before_call (monitor, command, deadline, error))
    return false;
  virDomainPtr domain = libvirt_monitor (monitor)->domain;
  char *reply = NULL;
  virResetLastError ();
  int status =
      fd < 0 ? virDomainQemuMonitorCommand (domain, text, &reply, 0)
             : virDomainQemuMonitorCommandWithFiles (domain, text, 1, &fd, NULL, NULL, &reply, 0);
  if (status < 0)
    return set_call_error (monitor, command, error);
  bool good = parse_reply (monitor, command, reply, result, error);
  free (reply);
  return good;
}

static json_object *
libvirt_wait_event (CsMonitor *monitor, const char *event, const char *key, const char *value,
                    gint64 deadline, GError **error)
{
  json_object *data = cs_event_queue_wait (monitor->events, event, key, value, deadline);
  if (data != NULL)
    return data;
  if (!cs_monitor_is_alive (monitor))
    set_gone (monitor, error);
  else
    g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE, "%s: %s: no such event in time", monitor->name,
                 event);
  return NULL;
}

/* Events arrive by themselves. */
static void
libvirt_drain (CsMonitor *monitor)
{
}

/* The API and not `stop` and `cont` through the monitor.  Measured on libvirt 11.3, interleaved,
 * medians of 900: suspend 2.6 ms, stop 2.6 ms, resume 2.6 ms, cont 2.6 ms; in all 3,600 cases
 * virDomainGetState told the truth right after.  (A query-status takes 1.6 ms: it is libvirt's
 * calls that cost, mostly its saving of the domain's status, not QEMU's 0.3 ms.)  Between equals
 * the API is the one that also releases and takes again what a lock manager holds for the disks. */
static bool
libvirt_stop (CsMonitor *monitor, gint64 deadline, GError **error)
{
  if (!check_before_call (monitor, "suspend", deadline, error))
    return false;
  virResetLastError ();
  return virDomainSuspend (libvirt_monitor (monitor)->domain) == 0
         || set_call_error (monitor, "suspend", error);
}

static bool
is_running (virDomainPtr domain)
{
  int state;
  return virDomainGetState (domain, &state, NULL, 0) == 0 && state == VIR_DOMAIN_RUNNING;
}

/* To libvirt a domain that runs already is an error, to QEMU it is none: a clusnapd that was killed
 * may have let it run and not have said so. */
static bool
libvirt_cont (CsMonitor *monitor, gint64 deadline, GError **error)
{
  virDomainPtr domain = libvirt_monitor (monitor)->domain;
  if (!check_before_call (monitor, "resume", deadline, error))
    return false;
  virResetLastError ();
  if (virDomainResume (domain) == 0)
    return true;
  bool refused = virGetLastErrorCode () == VIR_ERR_OPERATION_INVALID;
  set_call_error (monitor, "resume", error);
  if (!refused || !is_running (domain))
    return false;
  g_clear_error (error);
  return true;
}

static char *
libvirt_xml (CsMonitor *monitor, GError **error)
{
  virResetLastError ();
  char *xml = virDomainGetXMLDesc (libvirt_monitor (monitor)->domain,
                                   VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE);
  if (xml == NULL)
    set_call_error (monitor, "dumpxml", error);
  char *copy = g_strdup (xml);
  free (xml);
  return copy;
}

/* Whole seconds are what libvirt can wait for.  Its answer to a guest's error is an error. */
static bool
libvirt_agent (CsMonitor *monitor, const char *text, gint64 deadline, char **reply, GError **error)
{
  if (!check_before_call (monitor, "guest agent", deadline, error))
    return false;
  gint64 left = deadline - g_get_monotonic_time ();
  int seconds = (int)CLAMP (left / G_USEC_PER_SEC, 1, 60);
  virResetLastError ();
  char *answer = virDomainQemuAgentCommand (libvirt_monitor (monitor)->domain, text, seconds, 0);
  if (answer == NULL && virGetLastErrorCode () == VIR_ERR_AGENT_UNRESPONSIVE)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_BUSY, "%s: %s", monitor->name,
                   virGetLastErrorMessage ());
      return false;
    }
  if (answer == NULL)
    return set_call_error (monitor, "guest agent", error);
  *reply = g_strdup (answer);
  free (answer);
  return true;
}

static const CsMonitorClass libvirt_class = {
  .close = libvirt_close,
  .is_open = libvirt_is_open,
  .execute = libvirt_execute,
  .wait_event = libvirt_wait_event,
  .drain = libvirt_drain,
  .stop = libvirt_stop,
  .cont = libvirt_cont,
  .xml = libvirt_xml,
  .agent = libvirt_agent,
};

static bool
watch (LibvirtMonitor *self, GError **error)
{
  CsEventQueue *events = self->parent.events;
  self->lifecycle_events = virConnectDomainEventRegisterAny (
      self->connection, self->domain, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
      VIR_DOMAIN_EVENT_CALLBACK (on_lifecycle_event), cs_event_queue_ref (events), unref_queue);
  if (self->lifecycle_events < 0)
    {
      cs_event_queue_unref (events);
      return cs_libvirt_set_error (error, "%s: cannot watch it", self->parent.name);
    }
  self->monitor_events = virConnectDomainQemuMonitorEventRegister (
      self->connection, self->domain, NULL, on_monitor_event, cs_event_queue_ref (events),
      unref_queue, 0);
  if (self->monitor_events < 0)
    {
      cs_event_queue_unref (events);
      return cs_libvirt_set_error (error, "%s: cannot watch QEMU's events", self->parent.name);
    }
  self->close_watched = virConnectRegisterCloseCallback (self->connection, on_close,
                                                         cs_event_queue_ref (events), unref_queue)
                        == 0;
  if (!self->close_watched)
    cs_event_queue_unref (events);
  return true;
}

static bool
find_pid (LibvirtMonitor *self, const char *domain, GError **error)
{
  char uuid[VIR_UUID_STRING_BUFLEN];
  if (virDomainGetUUIDString (self->domain, uuid) < 0)
    return cs_libvirt_set_error (error, "%s: cannot read its UUID", self->parent.name);
  return cs_monitor_set_pid (&self->parent, cs_process_of_domain (domain, uuid, error), error);
}

static bool
query_version (CsMonitor *monitor, GError **error)
{
  json_object *result = NULL, *numbers = NULL;
  if (!cs_monitor_execute (monitor, "query-version", NULL, &result, error))
    return false;
  bool good = json_object_object_get_ex (result, "qemu", &numbers)
              && cs_qemu_version_parse (numbers, &monitor->version);
  json_object_put (result);
  if (!good)
    g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s: query-version: no version in the reply",
                 monitor->name);
  return good && cs_monitor_check_version (monitor, error);
}

CsMonitor *
cs_monitor_open_libvirt (const char *uri, const char *domain, GError **error)
{
  LibvirtMonitor *self = g_new0 (LibvirtMonitor, 1);
  g_autoptr (CsMonitor) monitor = &self->parent;
  cs_monitor_init (monitor, &libvirt_class);
  monitor->name = g_strdup_printf ("domain '%s'", domain);
  self->monitor_events = self->lifecycle_events = -1;
  self->connection = cs_libvirt_connect (uri, error);
  if (self->connection == NULL)
    return NULL;
  self->domain = virDomainLookupByName (self->connection, domain);
  if (self->domain == NULL)
    {
      cs_libvirt_set_error (error, "%s at '%s'", monitor->name, uri);
      return NULL;
    }
  /* Watched first: an end between here and the look at the state is then seen twice, not never. */
  if (!watch (self, error))
    return NULL;
  if (virDomainIsActive (self->domain) != 1)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_STATE, "%s is not running: start it first",
                   monitor->name);
      return NULL;
    }
  if (!find_pid (self, domain, error) || !query_version (monitor, error))
    return NULL;
  return g_steal_pointer (&monitor);
}
