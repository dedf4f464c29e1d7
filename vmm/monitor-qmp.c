/* A bare QEMU: our own client on its -qmp unix socket. */
#include "config.h"

#include "vmm/monitor-private.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/process.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A QEMU with a free socket greets within a millisecond, a loaded one within some more. */
#define GREETING_TIMEOUT (5 * G_USEC_PER_SEC)

typedef struct
{
  CsMonitor parent;
  CsQmp *qmp;
} QmpMonitor;

static void
qmp_close (CsMonitor *monitor)
{
  cs_qmp_free (((QmpMonitor *)monitor)->qmp);
}

static bool
qmp_is_open (const CsMonitor *monitor)
{
  return cs_qmp_is_open (((const QmpMonitor *)monitor)->qmp);
}

static bool
qmp_execute (CsMonitor *monitor, const char *command, json_object *arguments, int fd,
             gint64 deadline, json_object **result, GError **error)
{
  CsQmp *qmp = ((QmpMonitor *)monitor)->qmp;
  return cs_qmp_wait (qmp, cs_qmp_send (qmp, command, arguments, fd), deadline, result, error);
}

static json_object *
qmp_wait_event (CsMonitor *monitor, const char *event, const char *key, const char *value,
                gint64 deadline, GError **error)
{
  return cs_qmp_wait_event (((QmpMonitor *)monitor)->qmp, event, key, value, deadline, error);
}

static void
qmp_drain (CsMonitor *monitor)
{
  cs_qmp_drain (((QmpMonitor *)monitor)->qmp);
}

static const CsMonitorClass qmp_class = {
  .close = qmp_close,
  .is_open = qmp_is_open,
  .execute = qmp_execute,
  .wait_event = qmp_wait_event,
  .drain = qmp_drain,
};

static bool
set_connect_error (GError **error, int errnum, const char *path)
{
  switch (errnum)
    {
    case EAGAIN:
      g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                   "QEMU at '%s' does not answer: other clients wait for its QMP socket", path);
      return false;
    case ECONNREFUSED:
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                   "no QEMU listens at '%s': the guest has ended", path);
      return false;
    default:
      return cs_error_set_errno (error, errnum, "cannot connect to QEMU at '%s'", path);
    }
}

/* The listen queue of a QMP socket is short: when it is full, connect says EAGAIN at once,
 * and nothing tells when there is room again. */
static int
connect_socket (const char *path, gint64 deadline, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (strlen (path) >= sizeof address.sun_path)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "'%s' is too long for the path of a unix socket (107 bytes)", path);
      return -1;
    }
  memcpy (address.sun_path, path, strlen (path) + 1);
  cs_autofd int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    {
      cs_error_set_errno (error, errno, "cannot make a socket");
      return -1;
    }
  while (connect (fd, (struct sockaddr *)&address, sizeof address) < 0)
    {
      if (errno == EINTR)
        continue;
      if (errno != EAGAIN || g_get_monotonic_time () >= deadline)
        {
          set_connect_error (error, errno, path);
          return -1;
        }
      poll (NULL, 0, 10);
    }
  return cs_fd_steal (&fd);
}

CsMonitor *
cs_monitor_open_qmp (const char *path, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + GREETING_TIMEOUT;
  cs_autofd int fd = connect_socket (path, deadline, error);
  if (fd < 0)
    return NULL;
  QmpMonitor *self = g_new0 (QmpMonitor, 1);
  g_autoptr (CsMonitor) monitor = &self->parent;
  cs_monitor_init (monitor, &qmp_class);
  monitor->name = g_strdup_printf ("QEMU at '%s'", path);
  int socket_fd = fd;
  self->qmp = cs_qmp_new (cs_fd_steal (&fd), monitor->name, monitor->events);
  /* The process is looked for after the greeting: only then has QEMU accepted us. */
  if (!cs_qmp_handshake (self->qmp, deadline, &monitor->version, error)
      || !cs_monitor_check_version (monitor, error)
      || !cs_monitor_set_pid (monitor, cs_process_of_socket (socket_fd, error), error))
    return NULL;
  return g_steal_pointer (&monitor);
}
