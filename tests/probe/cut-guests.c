#include "config.h"

#include "tests/probe/cut-guests.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LINE_MAX_LENGTH 65536
/* A request may be lost in a serial port that nobody reads yet: ask again after this. */
#define REPEAT_US (10 * G_USEC_PER_SEC)

typedef struct
{
  char *path;
  int fd;
  GString *input;
  CutState *answer;
} Guest;

struct CutGuests
{
  GPtrArray *list; /* Guest, by node */
  guint requests;
};

static void
guest_free (Guest *guest)
{
  if (guest->fd >= 0)
    close (guest->fd);
  g_free (guest->path);
  g_string_free (guest->input, TRUE);
  cut_state_free (guest->answer);
  g_free (guest);
}

static bool
guest_connect (Guest *guest, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (g_strlcpy (address.sun_path, guest->path, sizeof address.sun_path) >= sizeof address.sun_path)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "socket path '%s' is too long", guest->path);
      return false;
    }
  guest->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (guest->fd < 0 || connect (guest->fd, (struct sockaddr *)&address, sizeof address))
    return cs_error_set_errno (error, errno, "cannot connect to '%s'", guest->path);
  return true;
}

void
cut_guests_free (CutGuests *guests)
{
  if (!guests)
    return;
  g_ptr_array_unref (guests->list);
  g_free (guests);
}

CutGuests *
cut_guests_new (char **arguments, GError **error)
{
  guint count = g_strv_length (arguments);
  g_autoptr (CutGuests) guests = g_new0 (CutGuests, 1);
  guests->list = g_ptr_array_new_with_free_func ((GDestroyNotify)guest_free);
  for (guint node = 0; node < count; node++)
    {
      g_autofree char *prefix = g_strdup_printf ("%u=", node);
      const char *path = NULL;
      for (guint i = 0; i < count; i++)
        if (g_str_has_prefix (arguments[i], prefix))
          path = arguments[i] + strlen (prefix);
      if (!path || count > CUT_NODES_MAX)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                       "no socket is given for node %u: name every node from 0 as NODE=SOCKET, at "
                       "most %u",
                       node, CUT_NODES_MAX);
          return NULL;
        }
      Guest *guest = g_new0 (Guest, 1);
      guest->path = g_strdup (path);
      guest->input = g_string_new (NULL);
      guest->fd = -1;
      g_ptr_array_add (guests->list, guest);
      if (!guest_connect (guest, error))
        return NULL;
    }
  return g_steal_pointer (&guests);
}

/* A line that is whole and is the answer to @id becomes the guest's answer. */
static bool
take_line (Guest *guest, const char *line, const char *id, GError **error)
{
  g_autofree char *text = cut_line_check (line);
  if (!text || !g_str_has_prefix (text, "STATE "))
    return true;
  g_autoptr (CsJson) object = cs_json_parse_object (text + 6, strlen (text + 6), error);
  if (!object)
    return false;
  if (guest->answer || g_strcmp0 (cs_json_string (object, "reply"), id) != 0)
    return true;
  guest->answer = cut_state_parse (object, error);
  return guest->answer != NULL;
}

static bool
take_input (Guest *guest, const char *id, GError **error)
{
  char buffer[8192];
  ssize_t got = read (guest->fd, buffer, sizeof buffer);
  if (got < 0 && errno == EINTR)
    return true;
  if (got <= 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_GONE, "the guest at '%s' closed its serial port",
                   guest->path);
      return false;
    }
  g_string_append_len (guest->input, buffer, got);
  char *end;
  while ((end = memchr (guest->input->str, '\n', guest->input->len)))
    {
      g_autofree char *line = g_strndup (guest->input->str, (gsize)(end - guest->input->str));
      g_string_erase (guest->input, 0, end - guest->input->str + 1);
      if (!take_line (guest, line, id, error))
        return false;
    }
  if (guest->input->len > LINE_MAX_LENGTH)
    g_string_truncate (guest->input, 0);
  return true;
}

/* The empty line ends whatever half a request may stand in the guest's input. */
static bool
send_requests (CutGuests *guests, const char *verb, const char *id, GError **error)
{
  g_autofree char *request = g_strdup_printf ("\n%s %s\n", verb, id);
  for (guint i = 0; i < guests->list->len; i++)
    {
      Guest *guest = g_ptr_array_index (guests->list, i);
      if (!guest->answer
          && !cs_fd_write_all (guest->fd, request, strlen (request), -1, guest->path, error))
        return false;
    }
  return true;
}

/* Reads what there is; @missing is set to a guest that has not answered, or NULL. */
static bool
collect (CutGuests *guests, const char *id, Guest **missing, GError **error)
{
  struct pollfd fds[CUT_NODES_MAX];
  guint count = guests->list->len;
  for (guint i = 0; i < count; i++)
    {
      Guest *guest = g_ptr_array_index (guests->list, i);
      fds[i] = (struct pollfd){ .fd = guest->fd, .events = POLLIN };
    }
  poll (fds, count, 500);
  *missing = NULL;
  for (guint i = 0; i < count; i++)
    {
      Guest *guest = g_ptr_array_index (guests->list, i);
      if (fds[i].revents && !take_input (guest, id, error))
        return false;
      if (!guest->answer)
        *missing = guest;
    }
  return true;
}

GPtrArray *
cut_guests_ask (CutGuests *guests, const char *verb, guint timeout_s, GError **error)
{
  g_autofree char *id =
      g_strdup_printf ("r%u-%" G_GINT64_FORMAT, ++guests->requests, g_get_monotonic_time ());
  gint64 deadline = g_get_monotonic_time () + (gint64)timeout_s * G_USEC_PER_SEC;
  gint64 repeat = 0;
  Guest *missing = NULL;
  do
    {
      gint64 now = g_get_monotonic_time ();
      if (now > deadline)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE,
                       "the guest at '%s' does not answer '%s' within %u s: is it paused, or "
                       "somebody else connected to its serial port?",
                       missing->path, verb, timeout_s);
          return NULL;
        }
      if (now >= repeat && !send_requests (guests, verb, id, error))
        return NULL;
      if (now >= repeat)
        repeat = now + REPEAT_US;
      if (!collect (guests, id, &missing, error))
        return NULL;
    }
  while (missing);
  GPtrArray *states = g_ptr_array_new_with_free_func ((GDestroyNotify)cut_state_free);
  for (guint i = 0; i < guests->list->len; i++)
    {
      Guest *guest = g_ptr_array_index (guests->list, i);
      g_ptr_array_add (states, g_steal_pointer (&guest->answer));
    }
  return states;
}
