#include "config.h"

#include "images/image-file.h"

#include "common/error.h"
#include "images/image-format.h"
#include "images/uuid.h"

#include <string.h>
#include <xxhash.h>
#include <zstd.h>

/* Maps are written once and read often, and are small beside the pages. */
#define LEVEL 3

bool
cs_image_id_is_valid (const char *id)
{
  guint8 bytes[16];
  return cs_uuid_parse (id, bytes);
}

char *
cs_image_object_name (const char *id)
{
  return g_strconcat ("images/", id, NULL);
}

static void
volume_free (gpointer data)
{
  CsImageFileVolume *volume = data;
  g_free (volume->name);
  g_array_unref (volume->runs);
  g_free (volume);
}

CsImageFile *
cs_image_file_new (const char *id, const char *parent, guint32 depth)
{
  CsImageFile *file = g_new0 (CsImageFile, 1);
  file->id = g_strdup (id);
  file->parent = g_strdup (parent);
  file->depth = depth;
  file->volumes = g_ptr_array_new_with_free_func (volume_free);
  return file;
}

void
cs_image_file_free (CsImageFile *file)
{
  if (file == NULL)
    return;
  g_free (file->id);
  g_free (file->parent);
  g_ptr_array_unref (file->volumes);
  g_free (file);
}

CsImageFileVolume *
cs_image_file_add_volume (CsImageFile *file, CsVolumeKind kind, const char *name, guint64 length,
                          bool inherit)
{
  CsImageFileVolume *volume = g_new0 (CsImageFileVolume, 1);
  volume->kind = kind;
  volume->name = g_strdup (name);
  volume->length = length;
  volume->inherit = inherit;
  volume->runs = g_array_new (FALSE, FALSE, sizeof (CsMapRun));
  g_ptr_array_add (file->volumes, volume);
  return volume;
}

const CsImageFileVolume *
cs_image_file_find_volume (const CsImageFile *file, CsVolumeKind kind, const char *name)
{
  for (guint i = 0; i < file->volumes->len; i++)
    {
      const CsImageFileVolume *volume = file->volumes->pdata[i];
      if (volume->kind == kind && strcmp (volume->name, name) == 0)
        return volume;
    }
  return NULL;
}

static bool
continues (const CsMapRun *run, guint64 page, CsLocation location)
{
  if (run->page + run->count != page || run->count == G_MAXUINT32)
    return false;
  if (run->location == CS_LOCATION_ZERO)
    return location == CS_LOCATION_ZERO;
  return location == run->location + run->count;
}

void
cs_image_file_volume_append (CsImageFileVolume *volume, guint64 page, CsLocation location)
{
  GArray *runs = volume->runs;
  if (runs->len > 0 && continues (&g_array_index (runs, CsMapRun, runs->len - 1), page, location))
    {
      g_array_index (runs, CsMapRun, runs->len - 1).count++;
      return;
    }
  CsMapRun run = { .page = page, .count = 1, .location = location };
  g_array_append_val (runs, run);
}

static void
encode_volume (GByteArray *body, const CsImageFileVolume *volume)
{
  CsImageVolumeHeader header = {
    .kind = GUINT32_TO_LE (volume->kind),
    .flags = GUINT32_TO_LE (volume->inherit ? CS_IMAGE_VOLUME_INHERIT : 0),
    .length = GUINT64_TO_LE (volume->length),
    .runs = GUINT64_TO_LE (volume->runs->len),
    .name_length = GUINT32_TO_LE ((guint32)strlen (volume->name)),
  };
  g_byte_array_append (body, (const guint8 *)&header, sizeof header);
  g_byte_array_append (body, (const guint8 *)volume->name, (guint)strlen (volume->name));
  for (guint i = 0; i < volume->runs->len; i++)
    {
      const CsMapRun *run = &g_array_index (volume->runs, CsMapRun, i);
      CsImageRun stored = {
        .page = GUINT64_TO_LE (run->page),
        .count = GUINT32_TO_LE (run->count),
        .segment = GUINT32_TO_LE (cs_location_segment (run->location)),
        .position = GUINT32_TO_LE (cs_location_position (run->location)),
      };
      g_byte_array_append (body, (const guint8 *)&stored, sizeof stored);
    }
}

guint64
cs_image_checksum (const CsImageHeader *header, const void *body, gsize length)
{
  XXH64_hash_t seed = XXH3_64bits (header, G_STRUCT_OFFSET (CsImageHeader, checksum));
  return XXH3_64bits_withSeed (body, length, seed);
}

static bool
check_length (const CsImageFile *file, GError **error)
{
  guint64 length = 0;
  for (guint i = 0; i < file->volumes->len; i++)
    {
      const CsImageFileVolume *volume = file->volumes->pdata[i];
      length += sizeof (CsImageVolumeHeader) + strlen (volume->name)
                + (guint64)volume->runs->len * sizeof (CsImageRun);
    }
  if (length <= CS_IMAGE_MAX_RAW_LENGTH)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
               "the page map of image '%s' is too long (%" G_GUINT64_FORMAT " bytes)", file->id,
               length);
  return false;
}

GBytes *
cs_image_file_encode (const CsImageFile *file, GError **error)
{
  if (!check_length (file, error))
    return NULL;
  g_autoptr (GByteArray) body = g_byte_array_new ();
  for (guint i = 0; i < file->volumes->len; i++)
    encode_volume (body, file->volumes->pdata[i]);
  gsize room = ZSTD_compressBound (body->len);
  g_autofree guint8 *bytes = g_malloc (sizeof (CsImageHeader) + room);
  size_t length =
      ZSTD_compress (bytes + sizeof (CsImageHeader), room, body->data, body->len, LEVEL);
  g_assert (!ZSTD_isError (length)); /* the buffer is large enough for anything */
  CsImageHeader header = {
    .magic = CS_IMAGE_MAGIC,
    .version = GUINT32_TO_LE (CS_IMAGE_VERSION),
    .flags = GUINT32_TO_LE (file->retired ? CS_IMAGE_RETIRED : 0),
    .depth = GUINT32_TO_LE (file->depth),
    .volumes = GUINT32_TO_LE (file->volumes->len),
    .raw_length = GUINT64_TO_LE (body->len),
    .length = GUINT64_TO_LE (length),
  };
  bool ok = cs_uuid_parse (file->id, header.id)
            && (file->parent == NULL || cs_uuid_parse (file->parent, header.parent));
  g_assert (ok);
  header.checksum = GUINT64_TO_LE (cs_image_checksum (&header, bytes + sizeof header, length));
  memcpy (bytes, &header, sizeof header);
  return g_bytes_new_take (g_steal_pointer (&bytes), sizeof header + length);
}
