/* How the filling of a VM's memory survives clusnapd (theory of operation: lazy.c). */
#include "config.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/error.h"
#include "common/fd.h"
#include "vmm/lazy-mapping.h"
#include "vmm/lazy-private.h"
#include "vmm/lazy-uffd.h"
#include "vmm/process.h"

static void
add_number (json_object *object, const char *key, guint64 value)
{
  json_object_object_add (object, key, json_object_new_uint64 (value));
}

static json_object *
block_to_json (CsLazy *lazy, const CsLazyBlock *block)
{
  json_object *object = json_object_new_object ();
  json_object_object_add (object, "name", json_object_new_string (block->info.name));
  json_object_object_add (object, "read-only", json_object_new_boolean (block->info.read_only));
  json_object_object_add (object, "lazy", json_object_new_boolean (block->lazy));
  add_number (object, "host", block->info.host);
  add_number (object, "used-length", block->info.used_length);
  add_number (object, "max-length", block->info.max_length);
  add_number (object, "page-size", block->info.page_size);
  return object;
}

json_object *
cs_lazy_to_json (CsLazy *lazy)
{
  json_object *object = json_object_new_object ();
  json_object *blocks = json_object_new_array ();
  g_mutex_lock (&lazy->lock);
  for (guint i = 0; i < lazy->blocks->len; i++)
    json_object_array_add (blocks, block_to_json (lazy, g_ptr_array_index (lazy->blocks, i)));
  g_mutex_unlock (&lazy->lock);
  json_object_object_add (object, "pid", json_object_new_int (lazy->pid));
  add_number (object, "start-time", lazy->start_time);
  json_object_object_add (object, "fd", json_object_new_int (lazy->keep));
  json_object_object_add (object, "blocks", blocks);
  return object;
}

/* --- and back --- */

static bool
get (json_object *object, const char *key, json_type type, json_object **value, GError **error)
{
  if (json_object_object_get_ex (object, key, value) && json_object_is_type (*value, type))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the record of a lazy restore has no valid '%s'",
               key);
  return false;
}

static bool
get_number (json_object *object, const char *key, guint64 *number, GError **error)
{
  json_object *value;
  if (!get (object, key, json_type_int, &value, error))
    return false;
  *number = json_object_get_uint64 (value);
  return true;
}

static bool
parse_block (json_object *object, CsRamBlock *info, bool *lazy, GError **error)
{
  json_object *name, *read_only, *is_lazy;
  if (!get (object, "name", json_type_string, &name, error)
      || !get (object, "read-only", json_type_boolean, &read_only, error)
      || !get (object, "lazy", json_type_boolean, &is_lazy, error)
      || !get_number (object, "host", &info->host, error)
      || !get_number (object, "used-length", &info->used_length, error)
      || !get_number (object, "max-length", &info->max_length, error)
      || !get_number (object, "page-size", &info->page_size, error))
    return false;
  if (info->used_length == 0 || info->used_length % CS_PAGE_SIZE != 0
      || info->host % CS_PAGE_SIZE != 0 || info->host + info->used_length < info->host)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "the record of a lazy restore has no valid place for '%s'",
                   json_object_get_string (name));
      return false;
    }
  info->name = (char *)json_object_get_string (name);
  info->read_only = json_object_get_boolean (read_only);
  *lazy = json_object_get_boolean (is_lazy);
  return true;
}

/* Which pages are there already.  Real swap counts as not there: putting such a page finds it
 * (EEXIST); markers look like swap. */
static bool
find_placed (CsLazy *lazy, CsLazyBlock *block, GError **error)
{
  const CsRamBlock *info = &block->info;
  block->placed = cs_bitmap_new (info->used_length / CS_PAGE_SIZE);
  if (!cs_mapping_present (lazy->pid, info->host, info->used_length, false, block->placed, error))
    return false;
  for (guint64 at = 0, n; cs_bitmap_next_run (block->placed, at, &at, &n); at += n)
    for (guint64 page = at; page < at + n; page++)
      lazy->done += !cs_image_page_is_zero (lazy->image, block->volume, page);
  return true;
}

static bool
adopt_lazy_block (CsLazy *lazy, CsLazyBlock *block, GError **error)
{
  const CsRamBlock *info = &block->info;
  if (!cs_image_find_volume (lazy->image, CS_VOLUME_RAM, info->name, &block->volume))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the image has no RAM block '%s'",
                   info->name);
      return false;
    }
  CsVolumeInfo of;
  cs_image_volume_info (lazy->image, block->volume, &of);
  if (of.length != info->used_length)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "RAM block '%s' has another length in the image", info->name);
      return false;
    }
  block->lazy = true;
  lazy->total += of.pages_present;
  return find_placed (lazy, block, error);
}

/* A lazy block that is not all in MISSING mode any more was being ended when clusnapd died: what
 * was written before is not known.  The tracker does not learn of it, so that the next snapshot
 * reads it whole; its faults are served as those of the others. */
static bool
adopt_block (CsLazy *lazy, json_object *object, GError **error)
{
  CsRamBlock info = { 0 };
  bool was_lazy = false;
  guint64 missing = 0;
  if (!parse_block (object, &info, &was_lazy, error))
    return false;
  if (was_lazy
      && !cs_mapping_missing_mode (lazy->pid, info.host, info.used_length, &missing, error))
    return false;
  CsLazyBlock *block = cs_lazy_block_new (&info);
  if (was_lazy && !adopt_lazy_block (lazy, block, error))
    {
      cs_lazy_block_free (block);
      return false;
    }
  cs_lazy_append (lazy, block, !was_lazy || missing == info.used_length);
  return true;
}

/* Takes descriptor @fd of process @pid, which must be a userfaultfd. */
static int
take_descriptor (pid_t pid, int fd, const char *name, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd/%d", (int)pid, fd);
  g_autofree char *target = g_file_read_link (path, NULL);
  if (g_strcmp0 (target, "anon_inode:[userfaultfd]") != 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                   "%s: holds no userfaultfd any more: its memory was complete", name);
      return -1;
    }
  cs_autofd int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  int taken = pidfd < 0 ? -1 : (int)syscall (SYS_pidfd_getfd, pidfd, fd, 0);
  if (taken < 0)
    cs_error_set_errno (error, errno, "%s: cannot take its userfaultfd", name);
  return taken;
}

static CsLazy *
take_over (json_object *object, const char *name, CsImage *image, GError **error)
{
  guint64 pid, start_time, fd;
  if (!get_number (object, "pid", &pid, error)
      || !get_number (object, "start-time", &start_time, error)
      || !get_number (object, "fd", &fd, error))
    return NULL;
  if (pid == 0 || pid > G_MAXINT || fd > G_MAXINT
      || cs_process_start_time ((pid_t)pid) != start_time)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_GONE, "%s: the QEMU that was restored has ended",
                   name);
      return NULL;
    }
  int uffd = take_descriptor ((pid_t)pid, (int)fd, name, error);
  return uffd < 0 ? NULL : cs_lazy_new_from_fd ((pid_t)pid, uffd, (int)fd, name, image, error);
}

CsLazy *
cs_lazy_from_json (json_object *object, const char *name, CsImage *image, GError **error)
{
  json_object *blocks;
  if (!get (object, "blocks", json_type_array, &blocks, error))
    return NULL;
  g_autoptr (CsLazy) lazy = take_over (object, name, image, error);
  if (lazy == NULL)
    return NULL;
  for (gsize i = 0; i < json_object_array_length (blocks); i++)
    if (!adopt_block (lazy, json_object_array_get_idx (blocks, i), error))
      {
        g_prefix_error (error, "%s: ", name);
        return NULL;
      }
  cs_lazy_start_server (lazy);
  for (guint i = 0; i < lazy->blocks->len; i++)
    {
      const CsLazyBlock *block = g_ptr_array_index (lazy->blocks, i);
      if (block->lazy)
        cs_uffd_wake (lazy->uffd, block->info.host, block->info.used_length);
    }
  return g_steal_pointer (&lazy);
}
