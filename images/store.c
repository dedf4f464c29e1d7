#include "config.h"

#include "images/store-private.h"

#include "common/error.h"
#include "common/fd.h"
#include "images/store-header.h"
#include "images/uuid.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#define CACHE_LENGTH ((gsize)32 << 20)

/* Whether @path may become a store: made here, or there and empty. */
static bool
make_empty_directory (const char *path, GError **error)
{
  if (mkdir (path, 0700) == 0)
    return cs_directory_sync_of (path, error);
  if (errno != EEXIST)
    return cs_error_set_errno (error, errno, "cannot create directory '%s'", path);
  g_autoptr (GError) cause = NULL;
  g_autoptr (GDir) directory = g_dir_open (path, 0, &cause);
  if (directory == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_IO, "cannot make a store in '%s': %s", path,
                   cause->message);
      return false;
    }
  const char *name;
  while ((name = g_dir_read_name (directory)) != NULL)
    if (strcmp (name, "lost+found") != 0)
      {
        g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
                     "cannot make a store in '%s': the directory is not empty (it has '%s')", path,
                     name);
        return false;
      }
  return true;
}

bool
cs_store_init (const char *path, GError **error)
{
  if (!make_empty_directory (path, error))
    return false;
  g_autoptr (CsBackend) backend = cs_backend_local_new (path);
  return cs_store_header_write (backend, error);
}

/* The lock file is never removed: a second process must find the same one. */
static bool
take_lock (CsStore *store, GError **error)
{
  g_autofree char *name = g_build_filename (store->path, "lock", NULL);
  cs_autofd int fd = open (name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return cs_error_set_errno (error, errno, "cannot open '%s'", name);
  if (flock (fd, LOCK_EX | LOCK_NB) < 0)
    {
      if (errno != EWOULDBLOCK)
        return cs_error_set_errno (error, errno, "cannot lock '%s'", name);
      g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                   "store '%s' is in use by another process (the daemon?)", store->path);
      return false;
    }
  store->lock_fd = cs_fd_steal (&fd);
  return true;
}

bool
cs_store_check_directory (const char *path, GError **error)
{
  struct stat st;
  if (stat (path, &st) < 0)
    {
      if (errno != ENOENT)
        return cs_error_set_errno (error, errno, "cannot open store '%s'", path);
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                   "there is no store at '%s': make one with `clusnap store init %s`", path, path);
      return false;
    }
  if (S_ISDIR (st.st_mode))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "'%s' is not a store: it is no directory", path);
  return false;
}

static void
open_index (CsStore *store)
{
  g_autofree char *directory = g_build_filename (store->path, "index", NULL);
  store->index = cs_index_open (directory);
  if (!cs_index_match (store->index, store->segments, NULL))
    cs_index_give_up (store->index);
}

CsStore *
cs_store_alloc (const char *path, CsBackend *backend)
{
  CsStore *store = g_new0 (CsStore, 1);
  store->path = g_strdup (path);
  store->lock_fd = -1;
  store->backend = backend;
  store->roots = cs_roots_new ();
  store->finished = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_finished_image_free);
  g_mutex_init (&store->gc_lock);
  g_mutex_init (&store->commit_lock);
  g_mutex_init (&store->finished_lock);
  return store;
}

CsStore *
cs_store_open_backend (const char *path, CsBackend *backend, GError **error)
{
  g_autoptr (CsStore) store = cs_store_alloc (path, backend);
  /* The header comes first: nothing is created in a directory that is not ours. */
  store->uuid = cs_store_header_read (backend, path, error);
  if (store->uuid == NULL || !take_lock (store, error) || !cs_backend_clean (backend, error))
    return NULL;
  cs_uuid_parse (store->uuid, store->uuid_bytes);
  store->segments = cs_segment_table_new (backend, store->uuid_bytes, error);
  if (store->segments == NULL)
    return NULL;
  open_index (store);
  store->packer =
      cs_packer_new (store->path, backend, store->uuid_bytes, store->index, store->segments);
  store->cache = cs_frame_cache_new (store->segments, CACHE_LENGTH);
  return g_steal_pointer (&store);
}

CsStore *
cs_store_open (const char *path, GError **error)
{
  if (!cs_store_check_directory (path, error))
    return NULL;
  return cs_store_open_backend (path, cs_backend_local_new (path), error);
}

void
cs_store_close (CsStore *store)
{
  if (store == NULL)
    return;
  g_ptr_array_unref (store->finished);
  cs_frame_cache_free (store->cache);
  cs_packer_free (store->packer);
  cs_index_close (store->index);
  cs_segment_table_free (store->segments);
  cs_roots_free (store->roots);
  cs_backend_free (store->backend);
  if (store->lock_fd >= 0)
    close (store->lock_fd);
  g_mutex_clear (&store->gc_lock);
  g_mutex_clear (&store->commit_lock);
  g_mutex_clear (&store->finished_lock);
  g_free (store->uuid);
  g_free (store->path);
  g_free (store);
}

const char *
cs_store_path (const CsStore *store)
{
  return store->path;
}

const char *
cs_store_uuid (const CsStore *store)
{
  return store->uuid;
}

void
cs_store_pin (CsStore *store, const char *image)
{
  cs_roots_pin (store->roots, image);
}

void
cs_store_unpin (CsStore *store, const char *image)
{
  cs_roots_unpin (store->roots, image);
}

void
cs_store_discard (CsStore *store, const char *image)
{
  cs_roots_release (store->roots, image);
}
