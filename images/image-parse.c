/* Image files come from a disk that may have rotted: everything is validated here, once. */
#include "config.h"

#include "images/image-file.h"

#include "common/error.h"
#include "images/image-format.h"
#include "images/uuid.h"

#include <string.h>
#include <zstd.h>

/* The parser: what is left of the body, and what errors call the object. */
typedef struct
{
  const guint8 *next;
  gsize left;
  const char *name;
} Parser;

static bool
corrupt (const char *name, const char *what, GError **error)
{
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "image '%s' %s", name, what);
  return false;
}

static bool
take (Parser *parser, void *data, gsize length, GError **error)
{
  if (length > parser->left)
    return corrupt (parser->name, "has a truncated page map", error);
  memcpy (data, parser->next, length);
  parser->next += length;
  parser->left -= length;
  return true;
}

static bool
decode_run (Parser *parser, guint64 pages, guint64 *at, CsMapRun *run, GError **error)
{
  CsImageRun stored;
  if (!take (parser, &stored, sizeof stored, error))
    return false;
  guint32 segment = GUINT32_FROM_LE (stored.segment);
  guint32 position = GUINT32_FROM_LE (stored.position);
  run->page = GUINT64_FROM_LE (stored.page);
  run->count = GUINT32_FROM_LE (stored.count);
  run->location = cs_location (segment, position);
  if (run->count == 0 || run->page < *at || run->page >= pages || run->count > pages - run->page
      || segment > CS_SEGMENT_MAX_NUMBER || (segment == 0 && position != 0)
      || (segment != 0
          && (position >= CS_SEGMENT_MAX_POSITIONS
              || run->count > CS_SEGMENT_MAX_POSITIONS - position)))
    return corrupt (parser->name, "has a damaged page map", error);
  *at = run->page + run->count;
  return true;
}

static bool
name_is_valid (const char *name, gsize length)
{
  return strlen (name) == length && length >= 1;
}

static bool
decode_volume (Parser *parser, CsImageFile *file, GError **error)
{
  CsImageVolumeHeader header;
  char name[CS_VOLUME_NAME_MAX + 1] = "";
  if (!take (parser, &header, sizeof header, error))
    return false;
  guint32 kind = GUINT32_FROM_LE (header.kind);
  guint32 name_length = GUINT32_FROM_LE (header.name_length);
  guint64 length = GUINT64_FROM_LE (header.length);
  guint64 runs = GUINT64_FROM_LE (header.runs);
  if (kind < CS_VOLUME_RAM || kind > CS_VOLUME_DEVICE_STATE || length > CS_VOLUME_LENGTH_MAX
      || name_length > CS_VOLUME_NAME_MAX)
    return corrupt (parser->name, "has a damaged volume", error);
  if (!take (parser, name, name_length, error))
    return false;
  if (!name_is_valid (name, name_length)
      || cs_image_file_find_volume (file, (CsVolumeKind)kind, name) != NULL
      || runs > parser->left / sizeof (CsImageRun))
    return corrupt (parser->name, "has a damaged volume", error);
  bool inherit = (GUINT32_FROM_LE (header.flags) & CS_IMAGE_VOLUME_INHERIT) != 0;
  CsImageFileVolume *volume =
      cs_image_file_add_volume (file, (CsVolumeKind)kind, name, length, inherit);
  g_array_set_size (volume->runs, (guint)runs);
  guint64 at = 0;
  for (guint i = 0; i < runs; i++)
    if (!decode_run (parser, cs_pages_of_length (length), &at,
                     &g_array_index (volume->runs, CsMapRun, i), error))
      return false;
  return true;
}

/* The body, decompressed (g_free). */
static guint8 *
decompress (const CsImageHeader *header, const void *body, gsize length, const char *name,
            GError **error)
{
  guint64 raw_length = GUINT64_FROM_LE (header->raw_length);
  /* zstd's own header must agree: no room is made for what cannot come. */
  if (raw_length <= CS_IMAGE_MAX_RAW_LENGTH
      && ZSTD_getFrameContentSize (body, length) == raw_length)
    {
      g_autofree guint8 *raw = g_try_malloc (raw_length + 1);
      if (raw != NULL && ZSTD_decompress (raw, raw_length, body, length) == raw_length)
        return g_steal_pointer (&raw);
    }
  corrupt (name, "has a page map that cannot be decompressed", error);
  return NULL;
}

static bool
decode_header (const CsImageHeader *header, const void *body, gsize length, const char *name,
               GError **error)
{
  static const guint8 none[16];
  guint32 depth = GUINT32_FROM_LE (header->depth);
  if (GUINT64_FROM_LE (header->length) != length
      || cs_image_checksum (header, body, length) != GUINT64_FROM_LE (header->checksum))
    return corrupt (name, "fails its checksum", error);
  if (GUINT32_FROM_LE (header->version) != CS_IMAGE_VERSION)
    return corrupt (name, "is of a newer version than this clusnap knows", error);
  if (depth > CS_IMAGE_MAX_DEPTH || GUINT32_FROM_LE (header->volumes) > CS_IMAGE_MAX_VOLUMES
      || (depth == 0) != (memcmp (header->parent, none, sizeof none) == 0))
    return corrupt (name, "has a damaged header", error);
  return true;
}

CsImageFile *
cs_image_file_decode (const void *data, gsize length, const char *name, GError **error)
{
  CsImageHeader header;
  if (length < sizeof header || memcmp (data, CS_IMAGE_MAGIC, sizeof header.magic) != 0)
    {
      corrupt (name, "is not an image file", error);
      return NULL;
    }
  memcpy (&header, data, sizeof header);
  const guint8 *body = (const guint8 *)data + sizeof header;
  if (!decode_header (&header, body, length - sizeof header, name, error))
    return NULL;
  g_autofree guint8 *raw = decompress (&header, body, length - sizeof header, name, error);
  if (raw == NULL)
    return NULL;
  g_autofree char *id = cs_uuid_format (header.id);
  g_autofree char *parent = header.depth != 0 ? cs_uuid_format (header.parent) : NULL;
  g_autoptr (CsImageFile) file = cs_image_file_new (id, parent, GUINT32_FROM_LE (header.depth));
  file->retired = (GUINT32_FROM_LE (header.flags) & CS_IMAGE_RETIRED) != 0;
  Parser parser = { .next = raw, .left = GUINT64_FROM_LE (header.raw_length), .name = name };
  guint32 volumes = GUINT32_FROM_LE (header.volumes);
  for (guint32 i = 0; i < volumes; i++)
    if (!decode_volume (&parser, file, error))
      return NULL;
  if (parser.left != 0)
    {
      corrupt (name, "has bytes behind its page map", error);
      return NULL;
    }
  return g_steal_pointer (&file);
}
