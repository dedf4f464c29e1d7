#include "config.h"

#include "guest-agent/probe/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void
stream_init (struct stream *stream)
{
  stream->fd = -1;
  stream->connecting = false;
  stream->retry_ms = 0;
}

static void
use (struct stream *stream, int fd, bool connecting)
{
  int one = 1;
  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  stream->fd = fd;
  stream->connecting = connecting;
  stream->in_length = stream->out_length = 0;
}

void
stream_connect (struct stream *stream, int fd, const struct sockaddr_in *to)
{
  use (stream, fd, true);
  if (connect (fd, (const struct sockaddr *)to, sizeof *to) && errno != EINPROGRESS)
    stream_close (stream);
}

bool
stream_connected (struct stream *stream)
{
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt (stream->fd, SOL_SOCKET, SO_ERROR, &error, &length) || error)
    return false;
  stream->connecting = false;
  return true;
}

void
stream_accepted (struct stream *stream, int fd)
{
  use (stream, fd, false);
}

bool
stream_close (struct stream *stream)
{
  bool was = stream->fd >= 0 && !stream->connecting;
  if (stream->fd >= 0)
    close (stream->fd);
  stream->fd = -1;
  stream->connecting = false;
  return was;
}

short
stream_events (const struct stream *stream)
{
  return (short)(POLLIN | (stream->connecting || stream->out_length ? POLLOUT : 0));
}

bool
stream_has_room (const struct stream *stream, size_t length)
{
  return stream->fd >= 0 && !stream->connecting && stream->out_length + length <= STREAM_BUFFER;
}

void
stream_put (struct stream *stream, const void *data, size_t length)
{
  memcpy (stream->out + stream->out_length, data, length);
  stream->out_length += length;
}

const char *
stream_flush (struct stream *stream)
{
  if (stream->out_length == 0)
    return NULL;
  ssize_t sent = send (stream->fd, stream->out, stream->out_length, MSG_NOSIGNAL);
  if (sent < 0)
    return errno == EAGAIN || errno == EINTR ? NULL : strerror (errno);
  stream->out_length -= (size_t)sent;
  memmove (stream->out, stream->out + sent, stream->out_length);
  return NULL;
}

const char *
stream_fill (struct stream *stream)
{
  ssize_t got =
      recv (stream->fd, stream->in + stream->in_length, STREAM_BUFFER - stream->in_length, 0);
  if (got == 0)
    return "closed by the other side";
  if (got < 0)
    return errno == EAGAIN || errno == EINTR ? NULL : strerror (errno);
  stream->in_length += (size_t)got;
  return NULL;
}

bool
stream_take (struct stream *stream, void *data, size_t length)
{
  if (stream->in_length < length)
    return false;
  memcpy (data, stream->in, length);
  stream->in_length -= length;
  memmove (stream->in, stream->in + length, stream->in_length);
  return true;
}
