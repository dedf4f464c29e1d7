/* Theory of operation.  Whether an agent runs, QEMU knows (guest-port.c); after a restore libvirt
 * learns it from the event that the load sends, a little later.
 *
 * For a domain not virDomainSetTime: it waits without end for a guest that answers the sync but not
 * the command.  virDomainQemuAgentCommand takes a limit. */
#include "config.h"

#include "vmm/guest-agent.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/guest-port.h"
#include "vmm/monitor-private.h"

#include <string.h>

#define PORT_NAME "org.qemu.guest_agent.0"
/* libvirt has not connected to the port yet. */
#define RETRY_US 50000

static bool
set_on_socket (CsMonitor *monitor, const char *filename, gint64 deadline, GError **error)
{
  cs_autofd int fd = cs_guest_port_connect (monitor, filename, error);
  if (fd < 0)
    return false;
  return cs_guest_agent_converse (fd, cs_monitor_name (monitor), deadline, error);
}

static bool
set_by_libvirt (CsMonitor *monitor, gint64 deadline, GError **error)
{
  g_autofree char *reply = NULL;
  for (;;)
    {
      g_autoptr (GError) local = NULL;
      g_autofree char *command = cs_guest_agent_time_command ();
      if (monitor->class->agent (monitor, command, deadline, &reply, &local))
        break;
      if (!g_error_matches (local, CS_ERROR, CS_ERROR_BUSY)
          || g_get_monotonic_time () + RETRY_US > deadline)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return false;
        }
      g_usleep (RETRY_US);
    }
  return cs_guest_agent_check_reply (cs_monitor_name (monitor), reply, strlen (reply), error);
}

bool
cs_guest_agent_set_time (CsMonitor *monitor, gint64 deadline, GError **error)
{
  g_autofree char *filename = cs_guest_port_find (monitor, PORT_NAME, error);
  if (filename == NULL)
    return false;
  bool set = monitor->class->agent != NULL ? set_by_libvirt (monitor, deadline, error)
                                           : set_on_socket (monitor, filename, deadline, error);
  /* Ticks that the RTC owes the guest would make its clock too fast now; not on every machine. */
  if (set)
    cs_monitor_execute (monitor, "rtc-reset-reinjection", NULL, NULL, NULL);
  return set;
}
