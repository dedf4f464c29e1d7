/* The agent's protocol on a socket: qemu-ga(8), QEMU's docs/interop/qemu-ga-ref. */
#include "config.h"

#include "vmm/guest-agent.h"

#include "common/error.h"
#include "common/json.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* An honest answer has some 40 bytes.  Before the sync's answer may come what an older conversation
 * left: a pipe's worth at most. */
#define LINE_MAX_BYTES 4096
#define TOTAL_MAX_BYTES (256 * 1024)
#define DELIMITER '\xff'
#define TEXT_MAX 200 /* of an error that the guest words */

typedef struct
{
  int fd;
  const char *name;
  gint64 deadline;
  gsize received;
  GString *line;
  char data[1024];
  gsize at, length; /* of data, not yet looked at */
} Talk;

static bool
wait_for (Talk *talk, short events, GError **error)
{
  struct pollfd entry = { .fd = talk->fd, .events = events };
  gint64 left = talk->deadline - g_get_monotonic_time ();
  int n = left > 0 ? poll (&entry, 1, (int)MIN (left / 1000 + 1, 60000)) : 0;
  if (n > 0 || (n < 0 && errno == EINTR))
    return true;
  if (n < 0)
    return cs_error_set_errno (error, errno, "%s: cannot wait for the guest agent", talk->name);
  if (g_get_monotonic_time () < talk->deadline)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE, "%s: the guest agent does not answer in time",
               talk->name);
  return false;
}

/* After a failed call on the socket. */
static bool
socket_error (const Talk *talk, int errnum, GError **error)
{
  if (errnum != EPIPE && errnum != ECONNRESET && errnum != 0)
    return cs_error_set_errno (error, errnum, "%s: cannot talk to the guest agent", talk->name);
  g_set_error (error, CS_ERROR, CS_ERROR_GONE, "%s: the guest agent's port was closed", talk->name);
  return false;
}

static bool
send_all (Talk *talk, const char *data, gsize length, GError **error)
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

static bool
invalid (const Talk *talk, GError **error, const char *what)
{
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "%s: the guest agent %s", talk->name, what);
  return false;
}

/* The next byte, or -1. */
static int
next_byte (Talk *talk, GError **error)
{
  while (talk->at == talk->length)
    {
      ssize_t n = recv (talk->fd, talk->data, sizeof talk->data, MSG_DONTWAIT);
      if (n > 0)
        {
          talk->at = 0;
          talk->length = (gsize)n;
          talk->received += (gsize)n;
          if (talk->received <= TOTAL_MAX_BYTES)
            break;
          invalid (talk, error, "sends without end");
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

/* Reads to the next newline; a delimiter drops what came before it.  Longer lines are cut. */
static bool
read_line (Talk *talk, bool *delimited, GError **error)
{
  g_string_truncate (talk->line, 0);
  *delimited = false;
  for (;;)
    {
      int byte = next_byte (talk, error);
      if (byte < 0)
        return false;
      if (byte == '\n')
        return true;
      if (byte == (unsigned char)DELIMITER)
        {
          *delimited = true;
          g_string_truncate (talk->line, 0);
        }
      else if (talk->line->len < LINE_MAX_BYTES)
        g_string_append_c (talk->line, (char)byte);
    }
}

/* Reads on until the answer to our own sync comes, whatever stands before it. */
static bool
synchronize (Talk *talk, GError **error)
{
  gint64 number = g_random_int_range (1, G_MAXINT32);
  g_autofree char *text = g_strdup_printf (
      "%c{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%" G_GINT64_FORMAT "}}\n",
      DELIMITER, number);
  if (!send_all (talk, text, strlen (text), error))
    return false;
  for (;;)
    {
      bool delimited;
      if (!read_line (talk, &delimited, error))
        return false;
      if (!delimited || talk->line->len >= LINE_MAX_BYTES)
        continue;
      g_autoptr (CsJson) reply = cs_json_parse_object (talk->line->str, talk->line->len, NULL);
      if (reply != NULL && cs_json_uint (reply, "return", 0) == (guint64)number)
        return true;
    }
}

char *
cs_guest_agent_time_command (void)
{
  return g_strdup_printf (
      "{\"execute\":\"guest-set-time\",\"arguments\":{\"time\":%" G_GINT64_FORMAT "}}",
      g_get_real_time () * 1000);
}

/* The guest's own words, fit to be printed. */
static char *
printable (const char *text)
{
  g_autofree char *cut = g_strndup (text, TEXT_MAX);
  char *valid = g_utf8_make_valid (cut, -1);
  for (char *c = valid; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c))
      *c = ' ';
  return g_strchomp (valid);
}

bool
cs_guest_agent_check_reply (const char *name, const char *text, gsize length, GError **error)
{
  g_autoptr (CsJson) reply =
      length < LINE_MAX_BYTES ? cs_json_parse_object (text, length, NULL) : NULL;
  json_object *failure = cs_json_member_object (reply, "error");
  json_object *good = NULL;
  if (failure != NULL)
    {
      const char *desc = cs_json_string (failure, "desc");
      g_autofree char *reason = printable (desc != NULL ? desc : "no reason given");
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s: the guest agent cannot set the time: %s",
                   name, reason);
      return false;
    }
  if (reply != NULL && json_object_object_get_ex (reply, "return", &good))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "%s: what the guest agent answers is no answer of one", name);
  return false;
}

bool
cs_guest_agent_converse (int fd, const char *name, gint64 deadline, GError **error)
{
  Talk talk = { .fd = fd, .name = name, .deadline = deadline };
  g_autoptr (GString) line = g_string_new (NULL);
  bool delimited;
  talk.line = line;
  if (!synchronize (&talk, error))
    return false;
  g_autofree char *command = cs_guest_agent_time_command ();
  g_autofree char *text = g_strconcat (command, "\n", NULL);
  return send_all (&talk, text, strlen (text), error) && read_line (&talk, &delimited, error)
         && cs_guest_agent_check_reply (name, line->str, line->len, error);
}
