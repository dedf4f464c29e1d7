/* Theory of operation
 *
 * Two queues and a table.  `output` holds whole commands not yet (or partly) written; `turn`,
 * the only place that touches the socket, writes from it and reads into the parser in the same
 * ppoll, so that neither side can block the other.  Replies find their command in `flight` by
 * id.  A command nobody waits for any more is marked abandoned and removed by its reply.
 *
 * Whatever goes wrong with the socket or the protocol ends in `failure`, which every later
 * call returns: the connection is of no more use, a new one must be opened. */
#include "config.h"

#include "vmm/qmp.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/qmp-parser.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define READ_SIZE (64u << 10)

typedef struct
{
  GBytes *bytes;
  gsize sent;
  int fd; /* ours, or -1; goes with the first byte */
} Output;

typedef struct
{
  char *command;
  json_object *reply; /* the whole message, once it has come */
  bool abandoned;
} Flight;

struct CsQmp
{
  /* Immutable: */
  char *name;
  int fd;
  CsEventQueue *events;

  /* Owner only: */
  CsQmpParser *parser;
  GQueue output;      /* of Output */
  GHashTable *flight; /* guint64 id -> Flight */
  guint64 last_id;
  json_object *greeting;
  bool greeted;
  bool answered; /* a reply of ours has come */
  char *buffer;  /* READ_SIZE */
  GError *failure;
};

static void
output_free (Output *output)
{
  g_bytes_unref (output->bytes);
  if (output->fd >= 0)
    close (output->fd);
  g_free (output);
}

static void
flight_free (Flight *flight)
{
  g_free (flight->command);
  json_object_put (flight->reply);
  g_free (flight);
}

CsQmp *
cs_qmp_new (int fd, const char *name, CsEventQueue *events)
{
  CsQmp *qmp = g_new0 (CsQmp, 1);
  qmp->name = g_strdup (name);
  qmp->fd = fd;
  g_unix_set_fd_nonblocking (fd, TRUE, NULL);
  qmp->events = cs_event_queue_ref (events);
  /* Of no client before us: see is_stale. */
  qmp->last_id = (guint64)g_random_int () << 16;
  qmp->parser = cs_qmp_parser_new (CS_QMP_LINE_MAX);
  g_queue_init (&qmp->output);
  qmp->flight =
      g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, (GDestroyNotify)flight_free);
  qmp->buffer = g_malloc (READ_SIZE);
  return qmp;
}

void
cs_qmp_free (CsQmp *qmp)
{
  if (qmp == NULL)
    return;
  g_queue_clear_full (&qmp->output, (GDestroyNotify)output_free);
  g_hash_table_unref (qmp->flight);
  cs_qmp_parser_free (qmp->parser);
  json_object_put (qmp->greeting);
  cs_event_queue_unref (qmp->events);
  g_clear_error (&qmp->failure);
  close (qmp->fd);
  g_free (qmp->buffer);
  g_free (qmp->name);
  g_free (qmp);
}

static void
fail (CsQmp *qmp, CsError code, const char *text)
{
  if (qmp->failure == NULL)
    qmp->failure = g_error_new (CS_ERROR, (int)code, "%s: %s", qmp->name, text);
  cs_event_queue_close (qmp->events, "the connection is closed");
}

static void
fail_gone (CsQmp *qmp)
{
  fail (qmp, CS_ERROR_GONE, "QEMU has closed the connection: it has ended or was killed");
}

static bool
return_failure (CsQmp *qmp, GError **error)
{
  g_propagate_error (error, g_error_copy (qmp->failure));
  return false;
}

/* A client that was killed in the middle of a command leaves us its reply: QEMU sends it to
 * whoever is connected when the command is done, which is before it looks at any of ours. */
static bool
is_stale (const CsQmp *qmp, json_object *message)
{
  json_object *number = NULL;
  if (qmp->answered || !json_object_object_get_ex (message, "id", &number))
    return false;
  guint64 id = json_object_get_uint64 (number);
  return !g_hash_table_contains (qmp->flight, &id);
}

static void
dispatch_reply (CsQmp *qmp, json_object *message)
{
  json_object *number = NULL;
  if (!json_object_object_get_ex (message, "id", &number)
      || !json_object_is_type (number, json_type_int))
    {
      fail (qmp, CS_ERROR_INVALID, "this is not QMP: a reply names no command of ours");
      return;
    }
  guint64 id = json_object_get_uint64 (number);
  qmp->answered = true;
  Flight *flight = g_hash_table_lookup (qmp->flight, &id);
  if (flight == NULL || flight->reply != NULL)
    fail (qmp, CS_ERROR_INVALID, "this is not QMP: a reply to a command that was not sent");
  else if (flight->abandoned)
    g_hash_table_remove (qmp->flight, &id);
  else
    flight->reply = json_object_get (message);
}

static void
dispatch (CsQmp *qmp, json_object *message)
{
  json_object *member = NULL;
  if (is_stale (qmp, message))
    return;
  if (!qmp->greeted)
    {
      if (json_object_object_get_ex (message, "QMP", &member))
        qmp->greeting = json_object_get (member);
      else
        fail (qmp, CS_ERROR_INVALID, "this is not QMP: it does not begin with QMP's greeting");
      qmp->greeted = true;
    }
  else if (json_object_object_get_ex (message, "event", &member))
    {
      json_object *data = NULL;
      if (!json_object_is_type (member, json_type_string)
          || (json_object_object_get_ex (message, "data", &data)
              && !json_object_is_type (data, json_type_object)))
        fail (qmp, CS_ERROR_INVALID, "this is not QMP: an event has no name or no object");
      else
        cs_event_queue_push (qmp->events, json_object_get_string (member), json_object_get (data));
    }
  else
    dispatch_reply (qmp, message);
}

/* Reads once.  False: nothing (more) is there. */
static bool
read_some (CsQmp *qmp)
{
  ssize_t n = recv (qmp->fd, qmp->buffer, READ_SIZE, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  if (n <= 0)
    {
      fail_gone (qmp);
      return false;
    }
  g_autoptr (GError) error = NULL;
  if (!cs_qmp_parser_feed (qmp->parser, qmp->buffer, (gsize)n, &error))
    {
      fail (qmp, CS_ERROR_INVALID, error->message);
      return false;
    }
  json_object *message;
  while (qmp->failure == NULL && (message = cs_qmp_parser_next (qmp->parser)) != NULL)
    {
      dispatch (qmp, message);
      json_object_put (message);
    }
  return qmp->failure == NULL;
}

static ssize_t
send_output (CsQmp *qmp, const Output *output)
{
  gsize length;
  const char *data = g_bytes_get_data (output->bytes, &length);
  struct iovec vector = { (void *)(data + output->sent), length - output->sent };
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
  if (output->fd >= 0 && output->sent == 0)
    {
      message.msg_control = control.space;
      message.msg_controllen = sizeof control.space;
      struct cmsghdr *header = CMSG_FIRSTHDR (&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN (sizeof (int));
      memcpy (CMSG_DATA (header), &output->fd, sizeof (int));
    }
  return sendmsg (qmp->fd, &message, MSG_NOSIGNAL);
}

/* Writes until the socket is full.  QEMU's end being closed is left to read_some to find: what
 * it said before that still counts. */
static void
write_some (CsQmp *qmp)
{
  Output *output;
  while ((output = g_queue_peek_head (&qmp->output)) != NULL)
    {
      ssize_t n = send_output (qmp, output);
      if (n < 0)
        {
          if (errno != EAGAIN && errno != EINTR && errno != EPIPE && errno != ECONNRESET)
            fail (qmp, CS_ERROR_IO, g_strerror (errno));
          return;
        }
      output->sent += (gsize)n;
      if (output->sent < g_bytes_get_size (output->bytes))
        return;
      output_free (g_queue_pop_head (&qmp->output));
    }
}

/* One ppoll, at most until @deadline, and what it allows. */
static bool
turn (CsQmp *qmp, gint64 deadline, GError **error)
{
  if (qmp->failure != NULL)
    return return_failure (qmp, error);
  write_some (qmp);
  gint64 left = MAX (deadline - g_get_monotonic_time (), 0);
  struct timespec timeout = { left / G_USEC_PER_SEC, left % G_USEC_PER_SEC * 1000 };
  short output = g_queue_is_empty (&qmp->output) ? 0 : POLLOUT;
  struct pollfd descriptor = { qmp->fd, (short)(POLLIN | output), 0 };
  if (ppoll (&descriptor, 1, &timeout, NULL) < 0 && errno != EINTR)
    fail (qmp, CS_ERROR_IO, g_strerror (errno));
  else if ((descriptor.revents & ~POLLOUT) != 0)
    read_some (qmp);
  return true;
}

typedef bool (*DoneFunc) (CsQmp *qmp, void *data);

/* Turns until @done.  Past the deadline there is one turn without waiting, so that a
 * reply that lies ready counts, and a flood of events cannot hold us. */
static bool
wait_until (CsQmp *qmp, DoneFunc done, void *data, gint64 deadline, const char *what,
            GError **error)
{
  for (bool last = false; !done (qmp, data);)
    {
      if (last)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE, "%s: %s: no answer in time", qmp->name,
                       what);
          return false;
        }
      last = g_get_monotonic_time () >= deadline;
      if (!turn (qmp, deadline, error))
        return false;
    }
  return true;
}

guint64
cs_qmp_send (CsQmp *qmp, const char *command, json_object *arguments, int fd)
{
  guint64 id = ++qmp->last_id;
  json_object *message = json_object_new_object ();
  json_object_object_add (message, "execute", json_object_new_string (command));
  if (arguments != NULL)
    json_object_object_add (message, "arguments", arguments);
  json_object_object_add (message, "id", json_object_new_uint64 (id));
  size_t length;
  const char *text = json_object_to_json_string_length (message, JSON_C_TO_STRING_PLAIN, &length);

  Output *output = g_new0 (Output, 1);
  GByteArray *line = g_byte_array_sized_new ((guint)length + 1);
  g_byte_array_append (line, (const guint8 *)text, (guint)length);
  g_byte_array_append (line, (const guint8 *)"\n", 1);
  output->bytes = g_byte_array_free_to_bytes (line);
  output->fd = fd < 0 ? -1 : fcntl (fd, F_DUPFD_CLOEXEC, 0);
  json_object_put (message);
  if (fd >= 0 && output->fd < 0)
    fail (qmp, CS_ERROR_IO, g_strerror (errno));
  g_queue_push_tail (&qmp->output, output);

  Flight *flight = g_new0 (Flight, 1);
  flight->command = g_strdup (command);
  g_hash_table_insert (qmp->flight, g_memdup2 (&id, sizeof id), flight);
  if (qmp->failure == NULL)
    write_some (qmp);
  return id;
}

void
cs_qmp_set_error (GError **error, const char *name, const char *command, json_object *reply)
{
  json_object *class = NULL, *text = NULL;
  json_object_object_get_ex (reply, "class", &class);
  json_object_object_get_ex (reply, "desc", &text);
  const char *class_name = class != NULL ? json_object_get_string (class) : "no class";
  g_set_error (error, CS_ERROR,
               g_str_equal (class_name, "CommandNotFound") ? CS_ERROR_UNSUPPORTED : CS_ERROR_FAILED,
               "%s: %s: %s: %s", name, command, class_name,
               text != NULL ? json_object_get_string (text) : "no reason given");
}

static bool
has_reply (CsQmp *qmp, void *data)
{
  return ((Flight *)data)->reply != NULL;
}

bool
cs_qmp_wait (CsQmp *qmp, guint64 id, gint64 deadline, json_object **result, GError **error)
{
  Flight *flight = g_hash_table_lookup (qmp->flight, &id);
  g_assert (flight != NULL);
  if (!wait_until (qmp, has_reply, flight, deadline, flight->command, error))
    {
      flight->abandoned = true;
      return false;
    }

  json_object *value = NULL;
  bool good = json_object_object_get_ex (flight->reply, "return", &value);
  if (good && result != NULL)
    *result = json_object_get (value);
  if (!good)
    {
      json_object_object_get_ex (flight->reply, "error", &value);
      cs_qmp_set_error (error, qmp->name, flight->command, value);
    }
  g_hash_table_remove (qmp->flight, &id);
  return good;
}

typedef struct
{
  const char *event, *key, *value;
  json_object *data;
} EventWait;

static bool
has_event (CsQmp *qmp, void *data)
{
  EventWait *wait = data;
  wait->data = cs_event_queue_take (qmp->events, wait->event, wait->key, wait->value);
  return wait->data != NULL;
}

json_object *
cs_qmp_wait_event (CsQmp *qmp, const char *event, const char *key, const char *value,
                   gint64 deadline, GError **error)
{
  EventWait wait = { event, key, value, NULL };
  wait_until (qmp, has_event, &wait, deadline, event, error);
  return wait.data;
}

void
cs_qmp_drain (CsQmp *qmp)
{
  while (qmp->failure == NULL && read_some (qmp))
    ;
}

bool
cs_qmp_is_open (const CsQmp *qmp)
{
  if (cs_event_queue_closed (qmp->events) != NULL)
    return false;
  struct pollfd descriptor = { qmp->fd, POLLRDHUP, 0 };
  return poll (&descriptor, 1, 0) == 0;
}

bool
cs_qemu_version_parse (json_object *object, CsQemuVersion *version)
{
  json_object *major = NULL, *minor = NULL, *micro = NULL;
  if (!json_object_object_get_ex (object, "major", &major)
      || !json_object_object_get_ex (object, "minor", &minor)
      || !json_object_object_get_ex (object, "micro", &micro))
    return false;
  version->major = json_object_get_int (major);
  version->minor = json_object_get_int (minor);
  version->micro = json_object_get_int (micro);
  return true;
}

static bool
has_greeting (CsQmp *qmp, void *data)
{
  return qmp->greeting != NULL;
}

bool
cs_qmp_handshake (CsQmp *qmp, gint64 deadline, CsQemuVersion *version, GError **error)
{
  g_autoptr (GError) local = NULL;
  if (!wait_until (qmp, has_greeting, NULL, deadline, "greeting", &local))
    {
      if (g_error_matches (local, CS_ERROR, CS_ERROR_DEADLINE))
        g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                     "%s does not answer: another client holds its QMP socket (close that one, or "
                     "give QEMU a second -qmp)",
                     qmp->name);
      else
        g_propagate_error (error, g_steal_pointer (&local));
      return false;
    }
  json_object *object = NULL, *numbers = NULL;
  if (!json_object_object_get_ex (qmp->greeting, "version", &object)
      || !json_object_object_get_ex (object, "qemu", &numbers)
      || !cs_qemu_version_parse (numbers, version))
    {
      fail (qmp, CS_ERROR_INVALID, "this is not QMP: the greeting names no version");
      return return_failure (qmp, error);
    }
  guint64 id = cs_qmp_send (qmp, "qmp_capabilities", NULL, -1);
  return cs_qmp_wait (qmp, id, deadline, NULL, error);
}
