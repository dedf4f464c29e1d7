/* nbdkit plugin: the disks of one stored image, read-only; an export per disk, named as its volume.
 *
 *     nbdkit [-U SOCKET] clusnap store=DIRECTORY image=ID [outlive=yes]
 *
 * The store is opened as a reader, beside the clusnapd that has it (images/store.h); whoever starts
 * this sees to it that garbage collection keeps the image.  Pages of zeros are reported as
 * holes; all else is read through the store's cache of frames.
 *
 * Threads: parallel; all that is shared is immutable or the library's. */
#include "config.h"

#include "common/error.h"
#include "images/image.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#define NBDKIT_API_VERSION 2
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#include <nbdkit-plugin.h>

/* Pages looked at for one extents request: clients ask for up to 4 GiB, answers may be shorter. */
#define EXTENT_PAGES ((guint64)1 << 18)

/* Seconds for which a read that fails is tried again. */
#define PATIENCE 60

static char *store_path;
static char *image_id;
static bool outlive;
static CsStore *store;
static CsImage *image;

static void
plugin_unload (void)
{
  cs_image_free (image);
  cs_store_close (store);
  g_free (image_id);
  g_free (store_path);
}

static int
plugin_config (const char *key, const char *value)
{
  char **place = NULL;
  if (strcmp (key, "store") == 0)
    place = &store_path;
  else if (strcmp (key, "image") == 0)
    place = &image_id;
  else if (strcmp (key, "outlive") == 0)
    {
      int set = nbdkit_parse_bool (value);
      outlive = set == 1;
      return MIN (set, 0);
    }
  if (place == NULL)
    {
      nbdkit_error ("unknown parameter '%s': store=, image= and outlive= are known", key);
      return -1;
    }
  g_free (*place);
  *place = place == &store_path ? nbdkit_absolute_path (value) : g_strdup (value);
  return *place != NULL ? 0 : -1;
}

static int
plugin_config_complete (void)
{
  if (store_path != NULL && image_id != NULL)
    return 0;
  nbdkit_error ("both store=DIRECTORY and image=ID are needed");
  return -1;
}

/* Before anybody connects: what cannot be served ends the program with its reason. */
static int
plugin_get_ready (void)
{
  g_autoptr (GError) error = NULL;
  store = cs_store_open_reader (store_path, &error);
  image = store != NULL ? cs_image_open (store, image_id, &error) : NULL;
  if (image != NULL)
    return 0;
  nbdkit_error ("%s", error->message);
  return -1;
}

/* nbdkit answers what is under way with an error when it is told to end, and a guest that reads its
 * disk through us would see that.  Ended at once, as by SIGKILL, we only leave it waiting for the
 * next server.  In the foreground it asks to be ended with its parent (1.32, without
 * --exit-with-parent too): a guest may need its disk for longer than who started us lives. */
static int
plugin_after_fork (void)
{
  static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
  for (gsize i = 0; i < G_N_ELEMENTS (ending); i++)
    signal (ending[i], SIG_DFL);
  if (outlive)
    prctl (PR_SET_PDEATHSIG, 0);
  return 0;
}

static int
plugin_list_exports (int readonly, int is_tls, struct nbdkit_exports *exports)
{
  for (guint i = 0; i < cs_image_n_volumes (image); i++)
    {
      CsVolumeInfo info;
      cs_image_volume_info (image, i, &info);
      if (info.kind == CS_VOLUME_DISK && nbdkit_add_export (exports, info.name, NULL) < 0)
        return -1;
    }
  return 0;
}

/* A client that names no export gets the disk, where there is only one. */
static const char *
plugin_default_export (int readonly, int is_tls)
{
  const char *only = NULL;
  for (guint i = 0; i < cs_image_n_volumes (image); i++)
    {
      CsVolumeInfo info;
      cs_image_volume_info (image, i, &info);
      if (info.kind != CS_VOLUME_DISK)
        continue;
      if (only != NULL)
        return "";
      only = info.name;
    }
  return only != NULL ? only : "";
}

typedef struct
{
  guint volume;
  guint64 length;
} Handle;

static void *
plugin_open (int readonly)
{
  guint volume;
  CsVolumeInfo info;
  const char *name = nbdkit_export_name ();
  if (name == NULL)
    return NULL;
  if (!cs_image_find_volume (image, CS_VOLUME_DISK, name, &volume))
    {
      nbdkit_error ("image '%s' has no disk '%s'", image_id, name);
      nbdkit_set_error (ENOENT);
      return NULL;
    }
  cs_image_volume_info (image, volume, &info);
  Handle *handle = g_new (Handle, 1);
  *handle = (Handle){ volume, info.length };
  return handle;
}

static void
plugin_close (void *handle)
{
  g_free (handle);
}

static int64_t
plugin_get_size (void *data)
{
  return (int64_t)((Handle *)data)->length;
}

/* Nobody writes. */
static int
plugin_can_multi_conn (void *data)
{
  return 1;
}

static int
plugin_block_size (void *data, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
  *minimum = 1;
  *preferred = CS_PAGE_SIZE;
  *maximum = G_MAXUINT32;
  return 0;
}

/* A store that is away for a while does not become an I/O error in a guest: the guest waits. Damage
 * does not pass. */
static bool
read_pages (const Handle *handle, guint64 page, guint64 count, void *data)
{
  g_autoptr (GError) error = NULL;
  for (guint second = 0; !cs_image_read (image, handle->volume, page, count, data, &error);
       second++)
    {
      bool passes = !g_error_matches (error, CS_ERROR, CS_ERROR_CORRUPT);
      if (second == 0 && passes)
        nbdkit_error ("store '%s': %s; trying again", store_path, error->message);
      if (!passes || second == PATIENCE || nbdkit_nanosleep (1, 0) < 0)
        {
          nbdkit_error ("store '%s': %s", store_path, error->message);
          nbdkit_set_error (EIO);
          return false;
        }
      g_clear_error (&error);
    }
  return true;
}

static int
plugin_pread (void *data, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
  const Handle *handle = data;
  guint8 *to = buffer;
  g_autofree guint8 *bounce = NULL;
  while (count > 0)
    {
      guint64 page = offset / CS_PAGE_SIZE, skip = offset % CS_PAGE_SIZE;
      guint32 length;
      if (skip == 0 && count >= CS_PAGE_SIZE)
        {
          length = count - count % CS_PAGE_SIZE;
          if (!read_pages (handle, page, length / CS_PAGE_SIZE, to))
            return -1;
        }
      else
        {
          /* Up to the end of the page; the next turn is aligned. */
          length = (guint32)MIN (count, CS_PAGE_SIZE - skip);
          if (bounce == NULL)
            bounce = g_malloc (CS_PAGE_SIZE);
          if (!read_pages (handle, page, 1, bounce))
            return -1;
          memcpy (to, bounce + skip, length);
        }
      to += length;
      offset += length;
      count -= length;
    }
  return 0;
}

static int
plugin_can_extents (void *data)
{
  return 1;
}

static int
plugin_extents (void *data, uint32_t count, uint64_t offset, uint32_t flags,
                struct nbdkit_extents *extents)
{
  const Handle *handle = data;
  guint64 last = MIN (offset + count, handle->length);
  guint64 page = offset / CS_PAGE_SIZE;
  guint64 end = MIN ((last + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE, page + EXTENT_PAGES);
  while (page < end)
    {
      bool zero = cs_image_page_is_zero (image, handle->volume, page);
      guint64 from = page;
      while (page < end && cs_image_page_is_zero (image, handle->volume, page) == zero)
        page++;
      guint64 length = MIN (page * CS_PAGE_SIZE, handle->length) - from * CS_PAGE_SIZE;
      guint32 type = zero ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0;
      if (nbdkit_add_extent (extents, from * CS_PAGE_SIZE, length, type) < 0)
        return -1;
      if ((flags & NBDKIT_FLAG_REQ_ONE) != 0)
        break;
    }
  return 0;
}

static struct nbdkit_plugin plugin = {
  .name = "clusnap",
  .longname = "disks of a clusnap snapshot",
  .version = PACKAGE_VERSION,
  .description = "serves the disks of an image in a clusnap store, read-only",
  .magic_config_key = "store",
  .config_help = "store=DIRECTORY  (required) the store\n"
                 "image=ID         (required) the image whose disks are served\n"
                 "outlive=yes      go on when the process that started nbdkit ends",
  .unload = plugin_unload,
  .config = plugin_config,
  .config_complete = plugin_config_complete,
  .get_ready = plugin_get_ready,
  .after_fork = plugin_after_fork,
  .list_exports = plugin_list_exports,
  .default_export = plugin_default_export,
  .open = plugin_open,
  .close = plugin_close,
  .get_size = plugin_get_size,
  .can_multi_conn = plugin_can_multi_conn,
  .block_size = plugin_block_size,
  .pread = plugin_pread,
  .can_extents = plugin_can_extents,
  .extents = plugin_extents,
};

NBDKIT_REGISTER_PLUGIN (plugin)
