#include "config.h"

#include "vmm/rpc-server.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/realtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

enum
{
  MAX_LINE = 16 * 1024 * 1024,
  MAX_PEERS = 64,
};

struct CsRpcServer
{
  /* immutable */
  char *path;
  const CsRpcMethod *methods;
  gpointer user_data;
  int listener;
  int stop[2]; /* pipe: closing [1] ends the accepting thread */
  GThread *acceptor;

  /* under lock */
  GMutex lock;
  GCond left;
  GPtrArray *peers; /* of CsRpcPeer, borrowed */
};

struct CsRpcPeer
{
  /* immutable */
  CsRpcServer *server;
  int fd;
  GAsyncQueue *requests; /* of Request */
  pid_t reader;          /* thread */

  /* under write_lock */
  GMutex write_lock;

  /* under lock */
  GMutex lock;
  const CsRpcJobClass *class;
  gpointer job;
  GError *ended; /* why the job before ended without being asked to, or NULL */
};

/* For the executing thread: a request, or a function of our own, or neither: the end. */
typedef struct
{
  json_object *object;
  CsRpcPeerFunc func;
} Request;

static void
request_free (gpointer data)
{
  Request *request = data;
  json_object_put (request->object);
  g_free (request);
}

static void
push_request (CsRpcPeer *peer, json_object *object, CsRpcPeerFunc func)
{
  Request *request = g_new0 (Request, 1);
  request->object = object;
  request->func = func;
  g_async_queue_push (peer->requests, request);
}

/* ---- writing ---- */

static void
peer_send (CsRpcPeer *peer, json_object *object)
{
  gsize length;
  const char *text = json_object_to_json_string_length (object, JSON_C_TO_STRING_PLAIN, &length);
  g_autofree char *line = g_malloc (length + 1);
  memcpy (line, text, length);
  line[length] = '\n';
  length++;
  g_mutex_lock (&peer->write_lock);
  for (gsize sent = 0; sent < length;)
    {
      ssize_t n = send (peer->fd, line + sent, length - sent, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        break; /* gone: the reading thread sees it too */
      sent += (gsize)n;
    }
  g_mutex_unlock (&peer->write_lock);
  json_object_put (object);
}

void
cs_rpc_peer_notify (CsRpcPeer *peer, json_object *event)
{
  peer_send (peer, event);
}

static json_object *
reply_new (json_object *request)
{
  json_object *reply = json_object_new_object ();
  json_object *id = request ? json_object_object_get (request, "id") : NULL;
  json_object_object_add (reply, "id", json_object_get (id));
  return reply;
}

static void
peer_send_error (CsRpcPeer *peer, json_object *request, const GError *error)
{
  json_object *reply = reply_new (request);
  json_object *body = json_object_new_object ();
  int code = error->domain == CS_ERROR ? error->code : CS_ERROR_FAILED;
  cs_json_add_string (body, "code", cs_error_name (code));
  cs_json_add_string (body, "message", error->message);
  json_object_object_add (reply, "error", body);
  peer_send (peer, reply);
}

/* ---- jobs ---- */

gpointer
cs_rpc_peer_user_data (CsRpcPeer *peer)
{
  return peer->server->user_data;
}

bool
cs_rpc_peer_set_job (CsRpcPeer *peer, const CsRpcJobClass *class, gpointer job, GError **error)
{
  g_mutex_lock (&peer->lock);
  bool is_free = peer->job == NULL;
  if (is_free)
    {
      peer->class = class;
      peer->job = job;
      g_clear_error (&peer->ended);
    }
  g_mutex_unlock (&peer->lock);
  if (!is_free)
    g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                 "this connection has a job already: abort it first");
  return is_free;
}

gpointer
cs_rpc_peer_job (CsRpcPeer *peer, const CsRpcJobClass *class, GError **error)
{
  g_mutex_lock (&peer->lock);
  gpointer job = peer->class == class ? peer->job : NULL;
  GError *ended = job == NULL && peer->ended != NULL ? g_error_copy (peer->ended) : NULL;
  g_mutex_unlock (&peer->lock);
  if (ended != NULL)
    g_propagate_error (error, ended);
  else if (job == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "this connection has no such job");
  return job;
}

void
cs_rpc_peer_hurry (CsRpcPeer *peer, bool hurry)
{
  void (*func) (pid_t thread) = hurry ? cs_realtime_raise : cs_realtime_drop;
  func (peer->reader);
  func (CS_REALTIME_SELF);
}

void
cs_rpc_peer_end_job (CsRpcPeer *peer)
{
  cs_rpc_peer_hurry (peer, false);
  g_mutex_lock (&peer->lock);
  gpointer job = g_steal_pointer (&peer->job);
  const CsRpcJobClass *class = peer->class;
  peer->class = NULL;
  g_mutex_unlock (&peer->lock);
  if (job != NULL)
    class->free (job);
}

void
cs_rpc_peer_fail_job (CsRpcPeer *peer, GError *reason)
{
  cs_rpc_peer_end_job (peer);
  g_mutex_lock (&peer->lock);
  g_clear_error (&peer->ended);
  peer->ended = reason;
  g_mutex_unlock (&peer->lock);
}

void
cs_rpc_peer_post (CsRpcPeer *peer, CsRpcPeerFunc func)
{
  push_request (peer, NULL, func);
}

static void
peer_cancel_job (CsRpcPeer *peer)
{
  g_mutex_lock (&peer->lock);
  if (peer->job != NULL)
    peer->class->cancel (peer->job);
  g_mutex_unlock (&peer->lock);
}

/* ---- executing ---- */

static CsRpcMethodFunc
find_method (CsRpcServer *server, const char *name, GError **error)
{
  for (const CsRpcMethod *method = server->methods; name != NULL && method->name != NULL; method++)
    if (strcmp (method->name, name) == 0)
      return method->func;
  g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED, "clusnapd knows no method '%s'",
               name ? name : "");
  return NULL;
}

static void
execute (CsRpcPeer *peer, json_object *request)
{
  g_autoptr (GError) error = NULL;
  const char *name = cs_json_string (request, "method");
  json_object *params = cs_json_member_object (request, "params");
  g_autoptr (CsJson) empty = params == NULL ? json_object_new_object () : NULL;
  CsRpcMethodFunc func = find_method (peer->server, name, &error);
  json_object *result = func ? func (peer, params ? params : empty, &error) : NULL;
  if (result == NULL)
    {
      peer_send_error (peer, request, error);
      return;
    }
  json_object *reply = reply_new (request);
  json_object_object_add (reply, "result", result);
  peer_send (peer, reply);
}

static gpointer
executor_main (gpointer data)
{
  CsRpcPeer *peer = data;
  bool more = true;
  while (more)
    {
      Request *request = g_async_queue_pop (peer->requests);
      if (request->object != NULL)
        execute (peer, request->object);
      else if (request->func != NULL)
        request->func (peer);
      else
        more = false;
      request_free (request);
    }
  cs_rpc_peer_end_job (peer);
  return NULL;
}

/* ---- reading ---- */

/* One line from the peer: false ends the connection. */
static bool
peer_take_line (CsRpcPeer *peer, const char *line, gsize length)
{
  g_autoptr (GError) error = NULL;
  json_object *request = cs_json_parse_object (line, length, &error);
  if (request == NULL)
    {
      peer_send_error (peer, NULL, error);
      return false;
    }
  if (g_strcmp0 (cs_json_string (request, "method"), "job.abort") == 0)
    peer_cancel_job (peer);
  push_request (peer, request, NULL);
  return true;
}

/* Takes the complete lines off the front of @buffer. */
static bool
peer_take_lines (CsRpcPeer *peer, GByteArray *buffer)
{
  const guint8 *newline;
  while (buffer->len > 0 && (newline = memchr (buffer->data, '\n', buffer->len)) != NULL)
    {
      gsize length = (gsize)(newline - buffer->data);
      if (length > 0 && !peer_take_line (peer, (const char *)buffer->data, length))
        return false;
      g_byte_array_remove_range (buffer, 0, (guint)length + 1);
    }
  return buffer->len < MAX_LINE;
}

static void
peer_read (CsRpcPeer *peer)
{
  g_autoptr (GByteArray) buffer = g_byte_array_new ();
  guint8 chunk[16384];
  for (;;)
    {
      ssize_t n = recv (peer->fd, chunk, sizeof chunk, 0);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return;
      g_byte_array_append (buffer, chunk, (guint)n);
      if (!peer_take_lines (peer, buffer))
        return;
    }
}

static void
peer_free (CsRpcPeer *peer)
{
  CsRpcServer *server = peer->server;
  g_mutex_lock (&server->lock);
  g_ptr_array_remove_fast (server->peers, peer);
  g_cond_signal (&server->left);
  close (peer->fd);
  g_mutex_unlock (&server->lock);
  g_async_queue_unref (peer->requests);
  g_clear_error (&peer->ended);
  g_mutex_clear (&peer->lock);
  g_mutex_clear (&peer->write_lock);
  g_free (peer);
}

static gpointer
reader_main (gpointer data)
{
  CsRpcPeer *peer = data;
  peer->reader = (pid_t)syscall (SYS_gettid);
  GThread *executor = g_thread_new ("rpc-exec", executor_main, peer);
  peer_read (peer);
  peer_cancel_job (peer);
  push_request (peer, NULL, NULL);
  g_thread_join (executor);
  peer_free (peer);
  return NULL;
}

/* ---- accepting ---- */

/* Root, or the user that the daemon itself runs as. */
static bool
peer_is_allowed (int fd)
{
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
    return false;
  return credentials.uid == 0 || credentials.uid == geteuid ();
}

static void
accept_one (CsRpcServer *server)
{
  int fd = accept4 (server->listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0)
    return;
  g_mutex_lock (&server->lock);
  bool room = server->peers->len < MAX_PEERS;
  CsRpcPeer *peer = NULL;
  if (room && peer_is_allowed (fd))
    {
      peer = g_new0 (CsRpcPeer, 1);
      peer->server = server;
      peer->fd = fd;
      peer->requests = g_async_queue_new_full (request_free);
      g_mutex_init (&peer->lock);
      g_mutex_init (&peer->write_lock);
      g_ptr_array_add (server->peers, peer);
    }
  g_mutex_unlock (&server->lock);
  if (peer != NULL)
    g_thread_unref (g_thread_new ("rpc-read", reader_main, peer));
  else
    close (fd);
}

static gpointer
acceptor_main (gpointer data)
{
  CsRpcServer *server = data;
  struct pollfd polled[] = { { .fd = server->listener, .events = POLLIN },
                             { .fd = server->stop[0], .events = POLLIN } };
  while (polled[1].revents == 0)
    {
      if (poll (polled, G_N_ELEMENTS (polled), -1) > 0 && (polled[0].revents & POLLIN) != 0)
        accept_one (server);
    }
  return NULL;
}

static bool
fill_address (struct sockaddr_un *address, const char *path, GError **error)
{
  *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
  if (strlen (path) >= sizeof address->sun_path)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "socket path '%s' is too long", path);
      return false;
    }
  memcpy (address->sun_path, path, strlen (path) + 1);
  return true;
}

/* A socket file that nobody listens at is left from a daemon that was killed. */
static bool
remove_stale_socket (const struct sockaddr_un *address, GError **error)
{
  cs_autofd int probe = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect (probe, (const struct sockaddr *)address, sizeof *address) == 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_BUSY, "a clusnapd answers at '%s' already",
                   address->sun_path);
      return false;
    }
  struct stat status;
  if (lstat (address->sun_path, &status) == 0 && S_ISSOCK (status.st_mode))
    unlink (address->sun_path);
  return true;
}

static int
listen_at (const char *path, GError **error)
{
  struct sockaddr_un address;
  g_autofree char *directory = g_path_get_dirname (path);
  if (!fill_address (&address, path, error) || !remove_stale_socket (&address, error))
    return -1;
  if (g_mkdir_with_parents (directory, 0755) < 0)
    {
      cs_error_set_errno (error, errno, "cannot make directory '%s'", directory);
      return -1;
    }
  cs_autofd int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  mode_t mask = umask (0177);
  bool bound = fd >= 0 && bind (fd, (const struct sockaddr *)&address, sizeof address) == 0;
  int bind_errno = errno;
  umask (mask);
  if (!bound || listen (fd, 16) < 0)
    {
      cs_error_set_errno (error, bound ? errno : bind_errno, "cannot listen at '%s'", path);
      return -1;
    }
  return cs_fd_steal (&fd);
}

CsRpcServer *
cs_rpc_server_new (const char *path, const CsRpcMethod *methods, gpointer user_data, GError **error)
{
  cs_autofd int listener = listen_at (path, error);
  int stop[2];
  if (listener < 0)
    return NULL;
  if (pipe2 (stop, O_CLOEXEC) < 0)
    {
      cs_error_set_errno (error, errno, "cannot make a pipe");
      return NULL;
    }
  CsRpcServer *server = g_new0 (CsRpcServer, 1);
  server->path = g_strdup (path);
  server->methods = methods;
  server->user_data = user_data;
  server->listener = cs_fd_steal (&listener);
  memcpy (server->stop, stop, sizeof stop);
  g_mutex_init (&server->lock);
  g_cond_init (&server->left);
  server->peers = g_ptr_array_new ();
  server->acceptor = g_thread_new ("rpc-accept", acceptor_main, server);
  return server;
}

void
cs_rpc_server_free (CsRpcServer *server)
{
  if (server == NULL)
    return;
  close (server->stop[1]);
  g_thread_join (server->acceptor);
  close (server->listener);
  unlink (server->path);
  g_mutex_lock (&server->lock);
  for (guint i = 0; i < server->peers->len; i++)
    shutdown (((CsRpcPeer *)g_ptr_array_index (server->peers, i))->fd, SHUT_RDWR);
  while (server->peers->len > 0)
    g_cond_wait (&server->left, &server->lock);
  g_mutex_unlock (&server->lock);
  close (server->stop[0]);
  g_ptr_array_unref (server->peers);
  g_mutex_clear (&server->lock);
  g_cond_clear (&server->left);
  g_free (server->path);
  g_free (server);
}

const char *
cs_rpc_string (json_object *params, const char *name, GError **error)
{
  const char *value = cs_json_string (params, name);
  if (value == NULL || value[0] == '\0')
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "member '%s' is missing or no string", name);
      return NULL;
    }
  return value;
}
