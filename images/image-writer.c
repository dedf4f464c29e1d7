/* Writing an image: volumes and pages.
 *
 * Threads: one owner; different writers run in parallel and meet in the packer. */
#include "config.h"

#include "images/image-writer-private.h"

#include "common/error.h"
#include "images/uuid.h"

#include <string.h>

static void
volume_free (gpointer data)
{
  CsWriterVolume *volume = data;
  g_free (volume->name);
  cs_page_map_free (volume->map);
  g_free (volume);
}

CsImageWriter *
cs_image_writer_new (CsStore *store, const char *parent, GError **error)
{
  g_autoptr (CsImageWriter) writer = g_new0 (CsImageWriter, 1);
  writer->store = store;
  writer->volumes = g_ptr_array_new_with_free_func (volume_free);
  writer->digest = cs_digest_new (error);
  if (writer->digest == NULL || !cs_store_check_writable (store, error))
    return NULL;
  if (parent != NULL && (writer->parent = cs_image_open (store, parent, error)) == NULL)
    {
      g_prefix_error (error, "cannot begin an image on top of '%s': ", parent);
      return NULL;
    }
  writer->user = cs_packer_user_new (store->packer);
  return g_steal_pointer (&writer);
}

void
cs_image_writer_free (CsImageWriter *writer)
{
  if (writer == NULL)
    return;
  cs_packer_user_free (writer->user);
  cs_image_free (writer->parent);
  cs_digest_free (writer->digest);
  g_ptr_array_unref (writer->volumes);
  g_free (writer);
}

static bool
check_volume (const CsImageWriter *writer, CsVolumeKind kind, const char *name, guint64 length,
              GError **error)
{
  gsize name_length = strlen (name);
  bool valid =
      name_length >= 1 && name_length <= CS_VOLUME_NAME_MAX && g_utf8_validate (name, -1, NULL);
  for (gsize i = 0; valid && i < name_length; i++)
    valid = !g_ascii_iscntrl (name[i]);
  if (!valid || kind < CS_VOLUME_RAM || kind > CS_VOLUME_DEVICE_STATE
      || length > CS_VOLUME_LENGTH_MAX)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "'%s' (%" G_GUINT64_FORMAT " bytes) cannot be a volume: name or length are not "
                   "possible",
                   name, length);
      return false;
    }
  for (guint i = 0; i < writer->volumes->len; i++)
    {
      const CsWriterVolume *other = writer->volumes->pdata[i];
      if (other->kind == kind && strcmp (other->name, name) == 0)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_EXISTS, "the image has a volume '%s' already",
                       name);
          return false;
        }
    }
  if (writer->volumes->len < CS_IMAGE_MAX_VOLUMES)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "an image can have %u volumes",
               CS_IMAGE_MAX_VOLUMES);
  return false;
}

bool
cs_image_writer_add_volume (CsImageWriter *writer, CsVolumeKind kind, const char *name,
                            guint64 length, bool inherit, guint *volume, GError **error)
{
  g_assert (!writer->finished);
  if (!check_volume (writer, kind, name, length, error))
    return false;
  g_autoptr (CsPageMap) map = cs_page_map_new (cs_pages_of_length (length));
  if (map == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
                   "there is no memory for the page map of volume '%s'", name);
      return false;
    }
  guint parent_volume;
  CsWriterVolume *added = g_new0 (CsWriterVolume, 1);
  added->kind = kind;
  added->name = g_strdup (name);
  added->length = length;
  added->map = g_steal_pointer (&map);
  if (inherit && writer->parent != NULL
      && cs_image_find_volume (writer->parent, kind, name, &parent_volume))
    added->inherit = cs_image_volume (writer->parent, parent_volume);
  *volume = writer->volumes->len;
  g_ptr_array_add (writer->volumes, added);
  return true;
}

/* NULL when the pages are not all in the volume. */
static CsWriterVolume *
find_range (CsImageWriter *writer, guint volume, guint64 page, guint64 count, GError **error)
{
  g_assert (!writer->finished && volume < writer->volumes->len);
  CsWriterVolume *found = writer->volumes->pdata[volume];
  guint64 pages = cs_page_map_size (found->map);
  if (page <= pages && count <= pages - page)
    return found;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "pages %" G_GUINT64_FORMAT " + %" G_GUINT64_FORMAT
               " are not all in volume '%s', which has %" G_GUINT64_FORMAT,
               page, count, found->name, pages);
  return NULL;
}

static bool
put_batch (CsImageWriter *writer, CsWriterVolume *volume, guint n, GError **error)
{
  if (!cs_packer_put (writer->store->packer, writer->user, writer->batch, n, error))
    return false;
  for (guint i = 0; i < n; i++)
    {
      cs_page_map_set (volume->map, writer->batch_pages[i], writer->batch[i].location);
      if (writer->batch[i].stored)
        writer->stats.pages_stored++;
      else
        writer->stats.pages_shared++;
    }
  return true;
}

bool
cs_image_writer_put (CsImageWriter *writer, guint volume, guint64 page, guint64 count,
                     const void *data, GError **error)
{
  CsWriterVolume *target = find_range (writer, volume, page, count, error);
  guint n = 0;
  if (target == NULL)
    return false;
  for (guint64 i = 0; i < count; i++)
    {
      const guint8 *content = (const guint8 *)data + i * CS_PAGE_LENGTH;
      writer->stats.pages_put++;
      if (cs_page_is_zero (content))
        {
          writer->stats.pages_zero++;
          cs_page_map_set (target->map, page + i, CS_PUT_ZERO);
          continue;
        }
      cs_digest_page (writer->digest, content, writer->batch[n].hash);
      writer->batch[n].data = content;
      writer->batch_pages[n++] = page + i;
      if (n == CS_PUT_BATCH)
        {
          if (!put_batch (writer, target, n, error))
            return false;
          n = 0;
        }
    }
  return n == 0 || put_batch (writer, target, n, error);
}

bool
cs_image_writer_put_zero (CsImageWriter *writer, guint volume, guint64 page, guint64 count,
                          GError **error)
{
  CsWriterVolume *target = find_range (writer, volume, page, count, error);
  if (target == NULL)
    return false;
  for (guint64 i = 0; i < count; i++)
    cs_page_map_set (target->map, page + i, CS_PUT_ZERO);
  writer->stats.pages_put += count;
  writer->stats.pages_zero += count;
  return true;
}

bool
cs_image_writer_put_bytes (CsImageWriter *writer, guint volume, const void *data, gsize length,
                           GError **error)
{
  g_assert (volume < writer->volumes->len);
  const CsWriterVolume *target = writer->volumes->pdata[volume];
  if (length != target->length)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "%zu bytes are not the whole volume '%s', which has %" G_GUINT64_FORMAT, length,
                   target->name, target->length);
      return false;
    }
  guint64 whole = length / CS_PAGE_LENGTH;
  gsize rest = length % CS_PAGE_LENGTH;
  if (!cs_image_writer_put (writer, volume, 0, whole, data, error))
    return false;
  if (rest == 0)
    return true;
  g_autofree guint8 *last = g_malloc0 (CS_PAGE_LENGTH);
  memcpy (last, (const guint8 *)data + whole * CS_PAGE_LENGTH, rest);
  return cs_image_writer_put (writer, volume, whole, 1, last, error);
}

/* Pages whose frame is not written yet count like the mean of the others. */
static void
estimate_bytes (CsImageWriter *writer)
{
  guint64 bytes, pages;
  cs_packer_user_bytes (writer->user, &bytes, &pages);
  guint64 open = writer->stats.pages_stored - MIN (pages, writer->stats.pages_stored);
  writer->stats.bytes_stored =
      bytes
      + (pages > 0 ? (guint64)((double)bytes / (double)pages * (double)open)
                   : open * CS_PAGE_LENGTH);
}

char *
cs_image_writer_finish (CsImageWriter *writer, CsImageStats *stats, GError **error)
{
  g_assert (!writer->finished);
  if (!cs_packer_user_check (writer->user, error))
    return NULL;
  g_autofree char *id = cs_uuid_random ();
  g_autoptr (CsImageFile) file = cs_image_writer_make_file (writer, id);
  g_autoptr (GBytes) content = cs_image_file_encode (file, error);
  if (content == NULL)
    return NULL;
  writer->finished = true;
  estimate_bytes (writer);
  if (stats != NULL)
    *stats = writer->stats;
  CsFinishedImage *finished = g_new0 (CsFinishedImage, 1);
  finished->id = g_strdup (id);
  finished->content = g_steal_pointer (&content);
  finished->user = g_steal_pointer (&writer->user);
  finished->parent = g_steal_pointer (&writer->parent);
  g_mutex_lock (&writer->store->finished_lock);
  g_ptr_array_add (writer->store->finished, finished);
  g_mutex_unlock (&writer->store->finished_lock);
  return g_steal_pointer (&id);
}
