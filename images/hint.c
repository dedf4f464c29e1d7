#include "config.h"

#include "images/hint.h"

#include "common/error.h"
#include "images/gc.h"
#include "images/hint-format.h"
#include "images/image-private.h"
#include "images/uuid.h"

#include <string.h>
#include <xxhash.h>

#define MAX_LENGTH (sizeof (CsHintHeader) + CS_HINT_MAX_TOUCHES * sizeof (guint64))

static char *
object_name (const CsImage *image)
{
  return g_strconcat ("hints/", image->id, NULL);
}

static guint64
checksum_of (const CsHintHeader *header, const void *body, gsize length)
{
  XXH64_hash_t seed = XXH3_64bits (header, G_STRUCT_OFFSET (CsHintHeader, checksum));
  return XXH3_64bits_withSeed (body, length, seed);
}

bool
cs_hint_put (CsImage *image, const GArray *touches, GError **error)
{
  guint n = MIN (touches->len, CS_HINT_MAX_TOUCHES);
  gsize length = n * sizeof (guint64);
  g_autofree guint8 *object = g_malloc (sizeof (CsHintHeader) + length);
  guint8 *body = object + sizeof (CsHintHeader);
  for (guint i = 0; i < n; i++)
    {
      const CsTouch *touch = &g_array_index (touches, CsTouch, i);
      guint64 word = GUINT64_TO_LE ((guint64)touch->volume << CS_HINT_VOLUME_SHIFT | touch->page);
      memcpy (body + i * sizeof word, &word, sizeof word);
    }
  CsHintHeader header = { .version = GUINT32_TO_LE (CS_HINT_VERSION),
                          .touches = GUINT32_TO_LE (n) };
  memcpy (header.magic, CS_HINT_MAGIC, sizeof header.magic);
  if (!cs_uuid_parse (image->id, header.image))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "'%s' is not the id of an image", image->id);
      return false;
    }
  header.checksum = GUINT64_TO_LE (checksum_of (&header, body, length));
  memcpy (object, &header, sizeof header);
  g_autofree char *name = object_name (image);
  return cs_backend_put (image->store->backend, name, object, sizeof header + length, true, error);
}

static GArray *
corrupt (const char *name, const char *what, GError **error)
{
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "'%s' %s", name, what);
  return NULL;
}

static bool
is_in (const CsImage *image, const CsTouch *touch)
{
  return touch->volume < image->volumes->len
         && touch->page < cs_page_map_size (cs_image_volume (image, touch->volume)->map);
}

static GArray *
parse (const CsImage *image, const char *name, const char *data, gsize length, GError **error)
{
  CsHintHeader header;
  guint8 id[16];
  if (length < sizeof header)
    return corrupt (name, "is truncated", error);
  memcpy (&header, data, sizeof header);
  const char *body = data + sizeof header;
  length -= sizeof header;
  guint32 n = GUINT32_FROM_LE (header.touches);
  if (memcmp (header.magic, CS_HINT_MAGIC, sizeof header.magic) != 0
      || GUINT32_FROM_LE (header.version) != CS_HINT_VERSION)
    return corrupt (name, "is of another kind or version", error);
  if (n > CS_HINT_MAX_TOUCHES || length != n * sizeof (guint64))
    return corrupt (name, "has another length than it says", error);
  if (GUINT64_FROM_LE (header.checksum) != checksum_of (&header, body, length))
    return corrupt (name, "fails its checksum", error);
  if (!cs_uuid_parse (image->id, id) || memcmp (header.image, id, sizeof id) != 0)
    return corrupt (name, "belongs to another image", error);
  g_autoptr (GArray) touches = g_array_sized_new (FALSE, FALSE, sizeof (CsTouch), n);
  for (guint i = 0; i < n; i++)
    {
      guint64 word;
      memcpy (&word, body + i * sizeof word, sizeof word);
      word = GUINT64_FROM_LE (word);
      CsTouch touch = { (guint)(word >> CS_HINT_VOLUME_SHIFT),
                        word & ((G_GUINT64_CONSTANT (1) << CS_HINT_VOLUME_SHIFT) - 1) };
      if (!is_in (image, &touch))
        return corrupt (name, "names a page that the image does not have", error);
      g_array_append_val (touches, touch);
    }
  return g_steal_pointer (&touches);
}

GArray *
cs_hint_get (CsImage *image, GError **error)
{
  g_autofree char *name = object_name (image);
  g_autofree char *data = NULL;
  gsize length;
  if (!cs_backend_get (image->store->backend, name, MAX_LENGTH, &data, &length, error))
    return NULL;
  return parse (image, name, data, length, error);
}

/* --- garbage collection --- */

typedef struct
{
  GHashTable *kept;
  GPtrArray *names; /* of those that are not */
  guint64 bytes;
} Sweep;

static bool
look_at (const char *name, guint64 size, void *data, GError **error)
{
  Sweep *sweep = data;
  if (g_hash_table_contains (sweep->kept, name + strlen ("hints/")))
    return true;
  g_ptr_array_add (sweep->names, g_strdup (name));
  sweep->bytes += size;
  return true;
}

bool
cs_gc_remove_hints (CsStore *store, GHashTable *kept, bool dry_run, guint64 *bytes, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  Sweep sweep = { .kept = kept, .names = names };
  if (!cs_backend_list (store->backend, "hints/", look_at, &sweep, error))
    return false;
  for (guint i = 0; !dry_run && i < names->len; i++)
    if (!cs_backend_remove (store->backend, names->pdata[i], error))
      return false;
  *bytes += sweep.bytes;
  return true;
}
