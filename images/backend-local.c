/* Objects as files of one local directory.
 *
 * Uploads are written under tmp/, whose names cannot collide with an object's, and
 * renamed into place by the durable-commit helper; so tmp/ holds nothing that
 * matters when a process opens the store. */
#include "config.h"

#include "images/backend.h"

#include "common/error.h"
#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Write-back is started each time this much has come, so that publish waits for little. */
#define WRITEBACK_STEP (8u << 20)

typedef struct
{
  CsBackend parent;
  char *path;
  gint uploads; /* atomic: makes names in tmp/ unique */
} LocalBackend;

typedef struct
{
  CsObject parent;
  int fd;
} LocalObject;

typedef struct
{
  CsUpload parent;
  int fd;
  char *temporary;
  guint64 written; /* atomic */
} LocalUpload;

static char *
full_path (CsBackend *backend, const char *name)
{
  return g_build_filename (((LocalBackend *)backend)->path, name, NULL);
}

static CsObject *
local_open (CsBackend *backend, const char *name, GError **error)
{
  g_autofree char *path = full_path (backend, name);
  cs_autofd int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  struct stat st;
  if (fd < 0 || fstat (fd, &st) < 0)
    {
      cs_error_set_errno (error, errno, "cannot open '%s'", path);
      return NULL;
    }
  LocalObject *object = g_new0 (LocalObject, 1);
  object->parent.backend = backend;
  object->parent.name = g_steal_pointer (&path);
  object->parent.size = (guint64)st.st_size;
  object->fd = cs_fd_steal (&fd);
  return &object->parent;
}

static bool
local_read (CsObject *object, guint64 offset, gsize length, void *data, GError **error)
{
  return cs_fd_read_all (((LocalObject *)object)->fd, data, length, (off_t)offset, object->name,
                         error);
}

static void
local_close (CsObject *object)
{
  close (((LocalObject *)object)->fd);
  g_free (object->name);
  g_free (object);
}

/* mkdir of @name's directories, durable. */
static bool
make_directories (CsBackend *backend, const char *name, GError **error)
{
  for (const char *slash = strchr (name, '/'); slash != NULL; slash = strchr (slash + 1, '/'))
    {
      g_autofree char *part = g_strndup (name, (gsize)(slash - name));
      g_autofree char *path = full_path (backend, part);
      if (mkdir (path, 0700) == 0)
        {
          if (!cs_directory_sync_of (path, error))
            return false;
        }
      else if (errno != EEXIST)
        return cs_error_set_errno (error, errno, "cannot create directory '%s'", path);
    }
  return true;
}

static CsUpload *
local_begin (CsBackend *backend, const char *name, GError **error)
{
  LocalBackend *local = (LocalBackend *)backend;
  int number = g_atomic_int_add (&local->uploads, 1);
  g_autofree char *temporary = g_strdup_printf ("%s/tmp/%d.%d", local->path, getpid (), number);
  if (!make_directories (backend, "tmp/", error))
    return NULL;
  cs_autofd int fd = open (temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    {
      cs_error_set_errno (error, errno, "cannot create '%s'", temporary);
      return NULL;
    }
  LocalUpload *upload = g_new0 (LocalUpload, 1);
  upload->parent.backend = backend;
  upload->parent.name = g_strdup (name);
  upload->fd = cs_fd_steal (&fd);
  upload->temporary = g_steal_pointer (&temporary);
  return &upload->parent;
}

static bool
local_write (CsUpload *base, guint64 offset, const void *data, gsize length, GError **error)
{
  LocalUpload *upload = (LocalUpload *)base;
  if (!cs_fd_write_all (upload->fd, data, length, (off_t)offset, upload->temporary, error))
    return false;
  guint64 before = __atomic_fetch_add (&upload->written, length, __ATOMIC_RELAXED);
  if (before / WRITEBACK_STEP != (before + length) / WRITEBACK_STEP)
    sync_file_range (upload->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  return true;
}

static void
upload_free (LocalUpload *upload)
{
  close (upload->fd);
  g_free (upload->temporary);
  g_free (upload->parent.name);
  g_free (upload);
}

static void
local_abandon (CsUpload *upload)
{
  unlink (((LocalUpload *)upload)->temporary);
  upload_free ((LocalUpload *)upload);
}

static bool
local_publish (CsUpload *base, bool replace, GError **error)
{
  LocalUpload *upload = (LocalUpload *)base;
  g_autofree char *path = full_path (base->backend, base->name);
  if (!make_directories (base->backend, base->name, error)
      || !cs_file_commit_fd (upload->fd, upload->temporary, path, replace, error))
    {
      local_abandon (base);
      return false;
    }
  upload_free (upload);
  return true;
}

/* Lists directory @name (relative, no slash at its end) and those below it. */
static bool
list_directory (CsBackend *backend, const char *name, CsObjectFunc func, void *data, GError **error)
{
  g_autofree char *path = full_path (backend, name);
  g_autoptr (GError) cause = NULL;
  g_autoptr (GDir) directory = g_dir_open (path, 0, &cause);
  if (directory == NULL && g_error_matches (cause, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    return true;
  if (directory == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_IO, "cannot list '%s': %s", path, cause->message);
      return false;
    }
  const char *entry;
  while ((entry = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *child = g_strdup_printf ("%s/%s", name, entry);
      g_autofree char *child_path = full_path (backend, child);
      struct stat st;
      if (lstat (child_path, &st) < 0)
        {
          if (errno == ENOENT)
            continue; /* removed since */
          return cs_error_set_errno (error, errno, "cannot examine '%s'", child_path);
        }
      if (S_ISDIR (st.st_mode) && !list_directory (backend, child, func, data, error))
        return false;
      if (S_ISREG (st.st_mode) && !func (child, (guint64)st.st_size, data, error))
        return false;
    }
  return true;
}

static bool
local_list (CsBackend *backend, const char *prefix, CsObjectFunc func, void *data, GError **error)
{
  g_autofree char *name = g_strndup (prefix, strlen (prefix) - 1);
  return list_directory (backend, name, func, data, error);
}

static bool
local_remove (CsBackend *backend, const char *name, GError **error)
{
  g_autofree char *path = full_path (backend, name);
  if (unlink (path) < 0)
    return cs_error_set_errno (error, errno, "cannot remove '%s'", path);
  return cs_directory_sync_of (path, error);
}

static bool
clean_one (const char *name, guint64 size, void *data, GError **error)
{
  g_autofree char *path = full_path (data, name);
  if (unlink (path) < 0 && errno != ENOENT)
    return cs_error_set_errno (error, errno, "cannot remove leftover '%s'", path);
  return true;
}

static bool
local_clean (CsBackend *backend, GError **error)
{
  return local_list (backend, "tmp/", clean_one, backend, error);
}

static void
local_free (CsBackend *backend)
{
  g_free (((LocalBackend *)backend)->path);
  g_free (backend);
}

CsBackend *
cs_backend_local_new (const char *path)
{
  static const CsBackendVtable vtable = {
    .open = local_open,
    .read = local_read,
    .close = local_close,
    .begin = local_begin,
    .write = local_write,
    .publish = local_publish,
    .abandon = local_abandon,
    .list = local_list,
    .remove = local_remove,
    .clean = local_clean,
    .free = local_free,
  };
  LocalBackend *backend = g_new0 (LocalBackend, 1);
  backend->parent.vtable = &vtable;
  backend->path = g_strdup (path);
  return &backend->parent;
}
