/* Theory of operation
 *
 * All connections of a job are served by one poll loop (cs_rpc_settle), so that a request goes
 * to all hosts at once and one host's failure is seen while others still work.  Each
 * connection keeps two buffers: bytes to send and bytes not yet a whole line.  A line is parsed
 * when its newline is there; an answer is kept under its request's id until its call is settled. A
 * peer that breaks the protocol (no JSON, answer to nothing, line too long) is not resynchronised:
 * the connection is marked broken with the reason, and every call on it fails with that.
 */
#include "config.h"

#include "coord/rpc-client.h"

#include "common/error.h"
#include "common/fd.h"
#include "coord/rpc-message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct CsRpc
{
  char *path;
  int fd;
  guint64 last_id;
  GString *out;
  GByteArray *in;
  gsize scanned;       /* bytes of @in known to hold no newline */
  GHashTable *answers; /* id (guint64 *) -> CsRpcMessage, or NULL while awaited */
  GError *broken;
};

static void
message_destroy (gpointer message)
{
  cs_rpc_message_free (message);
}

static bool
set_connect_error (int errnum, const char *path, GError **error)
{
  if (errnum == EACCES || errnum == EPERM)
    g_set_error (error, CS_ERROR, CS_ERROR_PERMISSION,
                 "cannot reach clusnapd at '%s': %s: run this as root, or as the user that "
                 "clusnapd runs as",
                 path, g_strerror (errnum));
  else
    g_set_error (error, CS_ERROR, CS_ERROR_GONE,
                 "cannot reach clusnapd at '%s': %s: start it with 'systemctl start clusnapd' or "
                 "'clusnapd --socket %s', or name its socket with --socket",
                 path, g_strerror (errnum), path);
  return false;
}

static bool
connect_to (int fd, const char *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  gsize length = strlen (path);
  if (length == 0 || length >= sizeof address.sun_path)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "the socket path '%s' has %zu bytes: 1 to %zu are possible", path, length,
                   sizeof address.sun_path - 1);
      return false;
    }
  memcpy (address.sun_path, path, length);
  if (connect (fd, (struct sockaddr *)&address, sizeof address) == 0)
    return true;
  return set_connect_error (errno, path, error);
}

CsRpc *
cs_rpc_connect (const char *path, GError **error)
{
  cs_autofd int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    {
      cs_error_set_errno (error, errno, "cannot make a socket");
      return NULL;
    }
  if (!connect_to (fd, path, error))
    return NULL;
  CsRpc *rpc = g_new0 (CsRpc, 1);
  rpc->path = g_strdup (path);
  rpc->fd = cs_fd_steal (&fd);
  rpc->out = g_string_new (NULL);
  rpc->in = g_byte_array_new ();
  rpc->answers = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, message_destroy);
  return rpc;
}

void
cs_rpc_close (CsRpc *rpc)
{
  if (rpc == NULL)
    return;
  cs_fd_cleanup (&rpc->fd);
  g_free (rpc->path);
  g_string_free (rpc->out, TRUE);
  g_byte_array_unref (rpc->in);
  g_hash_table_unref (rpc->answers);
  g_clear_error (&rpc->broken);
  g_free (rpc);
}

const char *
cs_rpc_path (const CsRpc *rpc)
{
  return rpc->path;
}

bool
cs_rpc_is_broken (const CsRpc *rpc)
{
  return rpc->broken != NULL;
}

static void G_GNUC_PRINTF (3, 4)
    break_connection (CsRpc *rpc, CsError code, const char *format, ...)
{
  if (rpc->broken != NULL)
    return;
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  rpc->broken = g_error_new (CS_ERROR, (int)code, "clusnapd at '%s' %s", rpc->path, text);
  cs_fd_cleanup (&rpc->fd);
}

void
cs_rpc_call_start (CsRpcCall *call, CsRpc *rpc, const char *method, json_object *params)
{
  *call = (CsRpcCall){ .rpc = rpc, .id = ++rpc->last_id };
  g_autoptr (CsJson) request = json_object_new_object ();
  cs_json_add_uint (request, "id", call->id);
  cs_json_add_string (request, "method", method);
  json_object_object_add (request, "params", params != NULL ? params : json_object_new_object ());
  g_string_append (rpc->out, json_object_to_json_string_ext (request, JSON_C_TO_STRING_PLAIN));
  g_string_append_c (rpc->out, '\n');
  g_hash_table_insert (rpc->answers, g_memdup2 (&call->id, sizeof call->id), NULL);
}

bool
cs_rpc_call_is_pending (const CsRpcCall *call)
{
  return call->rpc != NULL && call->result == NULL && call->error == NULL;
}

void
cs_rpc_call_clear (CsRpcCall *call)
{
  g_clear_pointer (&call->result, json_object_put);
  g_clear_error (&call->error);
  *call = (CsRpcCall){ 0 };
}

static void
take_line (CsRpc *rpc, const char *line, gsize length, const CsRpcWait *wait)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsRpcMessage) message = cs_rpc_message_parse (line, length, &error);
  if (message == NULL)
    {
      break_connection (rpc, CS_ERROR_IO, "sent a line that is no message of its protocol: %s",
                        error->message);
      return;
    }
  if (message->kind == CS_RPC_EVENT)
    {
      if (wait->event != NULL)
        wait->event (message->body, wait->data);
      return;
    }
  gpointer known = NULL;
  if (!g_hash_table_lookup_extended (rpc->answers, &message->id, NULL, &known) || known != NULL)
    {
      break_connection (rpc, CS_ERROR_IO,
                        "answered request %" G_GUINT64_FORMAT ", which nobody waits for",
                        message->id);
      return;
    }
  guint64 id = message->id;
  g_hash_table_replace (rpc->answers, g_memdup2 (&id, sizeof id), g_steal_pointer (&message));
}

/* The bytes behind the last whole line stay. */
static void
take_lines (CsRpc *rpc, const CsRpcWait *wait)
{
  gsize begin = 0;
  while (rpc->broken == NULL)
    {
      gsize from = MAX (begin, rpc->scanned);
      const guint8 *end = memchr (rpc->in->data + from, '\n', rpc->in->len - from);
      if (end == NULL)
        break;
      gsize stop = (gsize)(end - rpc->in->data);
      take_line (rpc, (const char *)rpc->in->data + begin, stop - begin, wait);
      begin = stop + 1;
    }
  if (begin > 0)
    g_byte_array_remove_range (rpc->in, 0, (guint)begin);
  rpc->scanned = rpc->in->len;
  if (rpc->in->len > CS_RPC_MAX_LINE)
    break_connection (rpc, CS_ERROR_IO, "sent a line longer than %u bytes", CS_RPC_MAX_LINE);
}

static void
receive (CsRpc *rpc, const CsRpcWait *wait)
{
  char buffer[65536];
  ssize_t n = recv (rpc->fd, buffer, sizeof buffer, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n < 0)
    break_connection (rpc, CS_ERROR_GONE, "cannot be read: %s", g_strerror (errno));
  else if (n == 0)
    break_connection (rpc, CS_ERROR_GONE, "closed the connection: its log says why");
  else
    {
      g_byte_array_append (rpc->in, (const guint8 *)buffer, (guint)n);
      take_lines (rpc, wait);
    }
}

static void
transmit (CsRpc *rpc)
{
  ssize_t n = send (rpc->fd, rpc->out->str, rpc->out->len, MSG_NOSIGNAL);
  if (n >= 0)
    g_string_erase (rpc->out, 0, n);
  else if (errno != EAGAIN && errno != EINTR)
    {
      /* What the peer said before it closed is still to be read: receive sees the end. */
      g_string_truncate (rpc->out, 0);
      if (errno != EPIPE && errno != ECONNRESET)
        break_connection (rpc, CS_ERROR_GONE, "cannot be written to: %s", g_strerror (errno));
    }
}

/* Moves the answer of a pending call from its connection to it. */
static void
collect (CsRpcCall *call)
{
  CsRpc *rpc = call->rpc;
  CsRpcMessage *message = g_hash_table_lookup (rpc->answers, &call->id);
  if (message != NULL)
    {
      call->result = g_steal_pointer (&message->body);
      call->error = g_steal_pointer (&message->error);
      g_hash_table_remove (rpc->answers, &call->id);
    }
  else if (rpc->broken != NULL)
    call->error = g_error_copy (rpc->broken);
}

/* Returns the number of pending calls; @first_failed is set to the first failed one, or NULL. */
static guint
collect_all (CsRpcCall *calls, guint n, const CsRpcCall **first_failed)
{
  guint pending = 0;
  *first_failed = NULL;
  for (guint i = 0; i < n; i++)
    {
      if (cs_rpc_call_is_pending (&calls[i]))
        collect (&calls[i]);
      if (cs_rpc_call_is_pending (&calls[i]))
        pending++;
      if (calls[i].error != NULL && *first_failed == NULL)
        *first_failed = &calls[i];
    }
  return pending;
}

static int
timeout_of (const CsRpcWait *wait)
{
  if (wait->deadline == 0)
    return -1;
  gint64 left = wait->deadline - g_get_monotonic_time ();
  return (int)CLAMP (left / 1000 + 1, 0, 3600 * 1000);
}

static bool
poll_once (CsRpcCall *calls, guint n, const CsRpcWait *wait, GError **error)
{
  if (wait->deadline != 0 && g_get_monotonic_time () >= wait->deadline)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE, "clusnapd did not answer in time");
      return false;
    }
  g_autofree struct pollfd *fds = g_new0 (struct pollfd, n + 1);
  fds[n] = (struct pollfd){ .fd = wait->interrupt_fd, .events = POLLIN };
  for (guint i = 0; i < n; i++)
    {
      bool pending = cs_rpc_call_is_pending (&calls[i]);
      fds[i].fd = pending ? calls[i].rpc->fd : -1;
      fds[i].events = POLLIN | (short)(pending && calls[i].rpc->out->len > 0 ? POLLOUT : 0);
    }
  if (poll (fds, n + 1, timeout_of (wait)) < 0 && errno != EINTR)
    return cs_error_set_errno (error, errno, "cannot wait for clusnapd");
  if (fds[n].revents != 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "interrupted");
      return false;
    }
  for (guint i = 0; i < n; i++)
    {
      CsRpc *rpc = calls[i].rpc;
      if (fds[i].fd >= 0 && rpc->broken == NULL && (fds[i].revents & POLLOUT))
        transmit (rpc);
      if (fds[i].fd >= 0 && rpc->broken == NULL && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
        receive (rpc, wait);
    }
  return true;
}

bool
cs_rpc_settle (CsRpcCall *calls, guint n, const CsRpcWait *wait, GError **error)
{
  const CsRpcCall *failed = NULL;
  while (collect_all (calls, n, &failed) > 0 && (failed == NULL || wait->all))
    if (!poll_once (calls, n, wait, error))
      return false;
  if (failed == NULL)
    return true;
  g_propagate_error (error, g_error_copy (failed->error));
  return false;
}

bool
cs_rpc_wait_check (const CsRpcWait *wait, GError **error)
{
  struct pollfd fd = { .fd = wait->interrupt_fd, .events = POLLIN };
  if (poll (&fd, 1, 0) <= 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "interrupted");
  return false;
}

json_object *
cs_rpc_call (CsRpc *rpc, const char *method, json_object *params, const CsRpcWait *wait,
             GError **error)
{
  CsRpcCall call = { 0 };
  cs_rpc_call_start (&call, rpc, method, params);
  json_object *result = NULL;
  if (cs_rpc_settle (&call, 1, wait, error))
    result = g_steal_pointer (&call.result);
  cs_rpc_call_clear (&call);
  return result;
}
