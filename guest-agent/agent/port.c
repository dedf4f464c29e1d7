/* Theory of operation.  While the host has its end closed, Linux reports POLLHUP for the port
 * without end, and a read returns 0: it is then left out of poll.  The driver sends SIGIO when the
 * host opens or closes its end (O_ASYNC); once in LOOK_EVERY the port is looked at all the same.
 *
 * What the host sends as soon as it has opened its end may be here before Linux knows of that: the
 * one comes through the port's queue, the other through the control queue and a work item.  Until
 * then the port still reports POLLHUP, and a read after the last byte returns 0, as if the host had
 * gone: for LATE_OPEN that is not believed.
 *
 * A unix socket in place of the port serves tests: connected to again and again. */
#include "config.h"

#include "guest-agent/agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LOOK_EVERY 1000       /* ms */
#define SOCKET_LOOK_EVERY 100 /* ms */
#define LATE_OPEN 1000        /* ms */

static int
connect_to (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (strlen (path) >= sizeof address.sun_path)
    {
      errno = ENAMETOOLONG;
      return -1;
    }
  memcpy (address.sun_path, path, strlen (path));
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect (fd, (struct sockaddr *)&address, sizeof address) == 0)
    return fd;
  int saved = errno;
  if (fd >= 0)
    close (fd);
  errno = saved;
  return -1;
}

static int
open_device (const char *path)
{
  int fd = open (path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0 && fcntl (fd, F_SETOWN, getpid ()) == 0)
    fcntl (fd, F_SETFL, O_NONBLOCK | O_ASYNC);
  return fd;
}

bool
agent_port_open (AgentPort *port, const char *path)
{
  struct stat status;
  port->path = path;
  port->is_socket = stat (path, &status) == 0 && S_ISSOCK (status.st_mode);
  port->fd = port->is_socket ? connect_to (path) : open_device (path);
  port->in.size = CS_AGENT_REQUEST_MAX;
  port->in.data = malloc (port->in.size);
  port->out = malloc (CS_AGENT_ANSWER_MAX);
  port->look_at = agent_now ();
  return port->fd >= 0 && port->in.data != NULL && port->out != NULL;
}

void
agent_port_close (AgentPort *port)
{
  if (port->fd >= 0)
    close (port->fd);
  free (port->in.data);
  free (port->out);
}

void
agent_port_poll (const AgentPort *port, struct pollfd *entry)
{
  entry->fd = port->connected && port->late_until == 0 ? port->fd : -1;
  entry->events = (short)(POLLIN | (port->out_length > 0 ? POLLOUT : 0));
  entry->revents = 0;
}

static void
forget (AgentPort *port)
{
  port->in.length = port->in.taken = 0;
  port->out_length = 0;
  port->skipping = false;
}

static void
set_closed (AgentPort *port, bool *closed)
{
  *closed = *closed || port->connected;
  port->connected = false;
  port->late_until = 0;
  forget (port);
  port->look_at = agent_now () + (port->is_socket ? SOCKET_LOOK_EVERY : LOOK_EVERY);
  if (port->is_socket && port->fd >= 0)
    {
      close (port->fd);
      port->fd = -1;
    }
}

/* Whether the host is there now; *@late: what it sent is, but not yet that it has opened its end.
 */
static bool
look (AgentPort *port, bool *late)
{
  *late = false;
  if (port->fd < 0 && port->is_socket)
    port->fd = connect_to (port->path);
  struct pollfd entry = { .fd = port->fd, .events = POLLIN };
  if (port->fd < 0 || poll (&entry, 1, 0) < 0)
    return false;
  *late = !port->is_socket && (entry.revents & POLLHUP) != 0;
  return (entry.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0 || (entry.revents & POLLIN) != 0;
}

/* A line that does not fit is dropped as a whole. */
static void
receive (AgentPort *port, bool *closed)
{

  size_t room;
  char *space = cs_line_buffer_space (&port->in, &room);
  if (room == 0)
    {
      port->skipping = true;
      port->in.length = port->in.taken = 0;
      space = cs_line_buffer_space (&port->in, &room);
    }
  ssize_t n = read (port->fd, space, room);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
    set_closed (port, closed);
  else if (n > 0)
    cs_line_buffer_add (&port->in, (size_t)n);
}

static void
flush (AgentPort *port, bool *closed)
{
  while (port->out_length > 0)
    {
      ssize_t n = port->is_socket ? send (port->fd, port->out, port->out_length, MSG_NOSIGNAL)
                                  : write (port->fd, port->out, port->out_length);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno != EAGAIN)
        set_closed (port, closed);
      if (n <= 0)
        return;
      port->out_length -= (size_t)n;
      memmove (port->out, port->out + n, port->out_length);
    }
}

void
agent_port_work (AgentPort *port, short revents, bool *opened, bool *closed)
{
  int64_t now = agent_now ();
  bool late;
  *opened = *closed = false;
  if (!port->connected && now >= port->look_at)
    {
      *opened = port->connected = look (port, &late);
      port->late_until = *opened && late ? now + LATE_OPEN : 0;
      port->look_at = now + (port->is_socket ? SOCKET_LOOK_EVERY : LOOK_EVERY);
      return;
    }
  if (port->connected && port->late_until != 0)
    {
      revents = look (port, &late) ? POLLIN : 0;
      if (!late || now >= port->late_until)
        port->late_until = 0;
    }
  if (port->connected && (revents & (POLLIN | POLLHUP | POLLERR)))
    receive (port, closed);
  if (port->connected)
    flush (port, closed);
}

/* Whether what has come and was not taken yet begins a new session. */
static bool
hello_follows (const AgentPort *port)
{
  static const char hello[] = "\"hello\"";
  return memmem (port->in.data + port->in.taken, port->in.length - port->in.taken, hello,
                 sizeof hello - 1)
         != NULL;
}

/* What an older session left may be out of date, as the time in an after-restore. */
bool
agent_port_line (AgentPort *port, const char **line, size_t *length)
{
  while (cs_line_buffer_next (&port->in, line, length))
    {
      bool is_old = port->skipping || hello_follows (port);
      port->skipping = false;
      if (!is_old)
        return true;
    }
  return false;
}

void
agent_port_send (AgentPort *port, const char *text)
{
  size_t length = strlen (text);
  if (!port->connected || length + 1 > CS_AGENT_ANSWER_MAX - port->out_length)
    return;
  memcpy (port->out + port->out_length, text, length);
  port->out[port->out_length + length] = '\n';
  port->out_length += length + 1;
}
