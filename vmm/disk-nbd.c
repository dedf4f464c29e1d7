#include "config.h"

#include "vmm/disk-nbd.h"

#include "common/error.h"

#include <errno.h>
#include <libnbd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SILENCE_MS 60000

struct CsNbd
{
  struct nbd_handle *handle;
  char *name;
  char *context;
};

typedef struct
{
  const CsNbd *nbd;
  guint64 at; /* where the next extent begins */
  guint64 end;
  CsNbdExtentFunc func;
  void *data;
} Status;

static CsError
code_of (int errnum)
{
  switch (errnum)
    {
    case ENOSPC:
    case EDQUOT:
      return CS_ERROR_NO_SPACE;
    case ENOTCONN:
    case ECONNRESET:
    case EPIPE:
    case ESHUTDOWN:
      return CS_ERROR_GONE;
    default:
      return CS_ERROR_IO;
    }
}

/* After a libnbd call that failed. */
static bool
fail (const CsNbd *nbd, GError **error, const char *what)
{
  bool gone = nbd_aio_is_dead (nbd->handle) > 0 || nbd_aio_is_closed (nbd->handle) > 0;
  const char *text = nbd_get_error ();
  g_set_error (error, CS_ERROR, gone ? CS_ERROR_GONE : code_of (nbd_get_errno ()),
               "NBD export '%s': cannot %s: %s", nbd->name, what, text ? text : "unknown error");
  return false;
}

/* Waits for the socket once. */
static bool
poll_once (CsNbd *nbd, const char *what, GError **error)
{
  int n = nbd_poll (nbd->handle, SILENCE_MS);
  if (n > 0)
    return true;
  if (n < 0)
    return fail (nbd, error, what);
  g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE, "NBD export '%s': cannot %s: no answer for %d s",
               nbd->name, what, SILENCE_MS / 1000);
  return false;
}

static bool
wait_connected (CsNbd *nbd, GError **error)
{
  while (nbd_aio_is_connecting (nbd->handle) > 0)
    if (!poll_once (nbd, "connect", error))
      return false;
  return nbd_aio_is_ready (nbd->handle) > 0 || fail (nbd, error, "connect");
}

static bool
connect_to (CsNbd *nbd, const char *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (strlen (path) >= sizeof address.sun_path)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "'%s' is too long for a socket", path);
      return false;
    }
  memcpy (address.sun_path, path, strlen (path));
  if (nbd_aio_connect (nbd->handle, (struct sockaddr *)&address, sizeof address) < 0)
    return fail (nbd, error, "connect");
  return wait_connected (nbd, error);
}

static CsNbd *
create (const char *name, const char *context, GError **error)
{
  g_autoptr (CsNbd) nbd = g_new0 (CsNbd, 1);
  nbd->name = g_strdup (name);
  nbd->context = g_strdup (context);
  nbd->handle = nbd_create ();
  if (nbd->handle != NULL)
    return g_steal_pointer (&nbd);
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "cannot use libnbd: %s", nbd_get_error ());
  return NULL;
}

CsNbd *
cs_nbd_spawn (char **argv, const char *name, GError **error)
{
  g_autoptr (CsNbd) nbd = create (name, NULL, error);
  if (nbd == NULL)
    return NULL;
  if (nbd_aio_connect_systemd_socket_activation (nbd->handle, argv) < 0)
    {
      fail (nbd, error, "start the server");
      return NULL;
    }
  return wait_connected (nbd, error) ? g_steal_pointer (&nbd) : NULL;
}

CsNbd *
cs_nbd_connect (const char *path, const char *export, const char *context, GError **error)
{
  g_autoptr (CsNbd) nbd = create (export, context, error);
  if (nbd == NULL)
    return NULL;
  if (nbd_set_export_name (nbd->handle, export) < 0
      || (context != NULL && nbd_add_meta_context (nbd->handle, context) < 0))
    {
      fail (nbd, error, "set up");
      return NULL;
    }
  if (!connect_to (nbd, path, error))
    return NULL;
  if (context != NULL && nbd_can_meta_context (nbd->handle, context) <= 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
                   "NBD export '%s' does not offer the block status '%s'", export, context);
      return NULL;
    }
  return g_steal_pointer (&nbd);
}

void
cs_nbd_free (CsNbd *nbd)
{
  if (nbd == NULL)
    return;
  nbd_close (nbd->handle);
  g_free (nbd->name);
  g_free (nbd->context);
  g_free (nbd);
}

guint64
cs_nbd_size (CsNbd *nbd)
{
  int64_t size = nbd_get_size (nbd->handle);
  return size < 0 ? 0 : (guint64)size;
}

static int
take_extents (void *user_data, const char *context, uint64_t offset, uint32_t *entries, size_t n,
              int *error)
{
  Status *status = user_data;
  if (g_strcmp0 (context, status->nbd->context) != 0)
    return 0;
  for (size_t i = 0; i + 1 < n && status->at < status->end; i += 2)
    {
      guint64 length = MIN (entries[i], status->end - status->at);
      status->func (status->at, length, entries[i + 1], status->data);
      status->at += length;
    }
  return 0;
}

bool
cs_nbd_block_status (CsNbd *nbd, guint64 offset, guint64 count, CsNbdExtentFunc func, void *data,
                     guint64 *end, GError **error)
{
  Status status = { nbd, offset, offset + count, func, data };
  nbd_extent_callback callback = { .callback = take_extents, .user_data = &status };
  gint64 number =
      nbd_aio_block_status (nbd->handle, count, offset, callback, NBD_NULL_COMPLETION, 0);
  if (number < 0)
    return fail (nbd, error, "ask for the block status");
  if (!cs_nbd_wait (nbd, number, error))
    return false;
  *end = status.at;
  if (status.at > offset)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_IO, "NBD export '%s': an empty block status", nbd->name);
  return false;
}

gint64
cs_nbd_read (CsNbd *nbd, void *buffer, gsize length, guint64 offset, GError **error)
{
  gint64 number = nbd_aio_pread (nbd->handle, buffer, length, offset, NBD_NULL_COMPLETION, 0);
  if (number < 0)
    fail (nbd, error, "read");
  return number;
}

gint64
cs_nbd_write (CsNbd *nbd, const void *buffer, gsize length, guint64 offset, GError **error)
{
  gint64 number = nbd_aio_pwrite (nbd->handle, buffer, length, offset, NBD_NULL_COMPLETION, 0);
  if (number < 0)
    fail (nbd, error, "write");
  return number;
}

gint64
cs_nbd_zero (CsNbd *nbd, guint64 length, guint64 offset, GError **error)
{
  gint64 number = nbd_aio_zero (nbd->handle, length, offset, NBD_NULL_COMPLETION, 0);
  if (number < 0)
    fail (nbd, error, "write zeros");
  return number;
}

gint64
cs_nbd_flush (CsNbd *nbd, GError **error)
{
  gint64 number = nbd_aio_flush (nbd->handle, NBD_NULL_COMPLETION, 0);
  if (number < 0)
    fail (nbd, error, "flush");
  return number;
}

bool
cs_nbd_wait (CsNbd *nbd, gint64 number, GError **error)
{
  for (;;)
    {
      int done = nbd_aio_command_completed (nbd->handle, (uint64_t)number);
      if (done < 0)
        return fail (nbd, error, "transfer");
      if (done > 0)
        return true;
      if (!poll_once (nbd, "transfer", error))
        return false;
    }
}
