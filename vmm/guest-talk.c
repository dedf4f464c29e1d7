#include "config.h"

#include "vmm/guest-talk.h"

#include "common/error.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define TEXT_MAX 200

static bool
check_time (const CsGuestTalk *talk, GError **error)
{
  if (g_get_monotonic_time () < talk->deadline)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE, "%s: %s does not answer in time", talk->name,
               talk->who);
  return false;
}

static bool
wait_for (CsGuestTalk *talk, short events, GError **error)
{
  struct pollfd entries[] = { { .fd = talk->fd, .events = events },
                              { .fd = talk->cancel_fd, .events = POLLIN } };
  gint64 left = talk->deadline - g_get_monotonic_time ();
  int n = left > 0 ? poll (entries, G_N_ELEMENTS (entries), (int)MIN (left / 1000 + 1, 60000)) : 0;
  if (n < 0 && errno != EINTR)
    return cs_error_set_errno (error, errno, "%s: cannot wait for %s", talk->name, talk->who);
  if (n > 0 && entries[1].revents != 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "%s: cancelled while waiting for %s",
                   talk->name, talk->who);
      return false;
    }
  /* Also when something has come: who sends without end has no more time than who is silent. */
  return check_time (talk, error);
}

/* After a failed call on the socket. */
static bool
socket_error (const CsGuestTalk *talk, int errnum, GError **error)
{
  if (errnum != EPIPE && errnum != ECONNRESET && errnum != 0)
    return cs_error_set_errno (error, errnum, "%s: cannot talk to %s", talk->name, talk->who);
  g_set_error (error, CS_ERROR, CS_ERROR_GONE, "%s: the port of %s was closed", talk->name,
               talk->who);
  return false;
}

bool
cs_guest_talk_send (CsGuestTalk *talk, const char *data, gsize length, GError **error)
{
  while (length > 0)
    {
      ssize_t n = send (talk->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN && errno != EINTR)
        return socket_error (talk, errno, error);
      if (n < 0 && !wait_for (talk, POLLOUT, error))
        return false;
      data += MAX (n, 0);
      length -= (gsize)MAX (n, 0);
    }
  return true;
}

/* The next byte, or -1. */
static int
next_byte (CsGuestTalk *talk, GError **error)
{
  while (talk->at == talk->length)
    {
      if (!check_time (talk, error))
        return -1;
      ssize_t n = recv (talk->fd, talk->data, sizeof talk->data, MSG_DONTWAIT);
      if (n > 0)
        {
          talk->at = 0;
          talk->length = (gsize)n;
          talk->received += (gsize)n;
          if (talk->received <= talk->total_max)
            break;
          g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "%s: %s sends without end", talk->name,
                       talk->who);
          return -1;
        }
      if (n == 0 || (errno != EAGAIN && errno != EINTR))
        {
          socket_error (talk, n == 0 ? 0 : errno, error);
          return -1;
        }
      if (!wait_for (talk, POLLIN, error))
        return -1;
    }
  return (unsigned char)talk->data[talk->at++];
}

bool
cs_guest_talk_read (CsGuestTalk *talk, GError **error)
{
  g_string_truncate (talk->line, 0);
  talk->delimited = false;
  for (;;)
    {
      int byte = next_byte (talk, error);
      if (byte < 0)
        return false;
      if (byte == '\n')
        return true;
      if (byte == talk->delimiter)
        {
          talk->delimited = true;
          g_string_truncate (talk->line, 0);
        }
      else if (talk->line->len < talk->line_max)
        g_string_append_c (talk->line, (char)byte);
    }
}

char *
cs_guest_talk_printable (const char *text)
{
  g_autofree char *cut = g_strndup (text, TEXT_MAX);
  char *valid = g_utf8_make_valid (cut, -1);
  for (char *c = valid; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c))
      *c = ' ';
  return g_strchomp (valid);
}
