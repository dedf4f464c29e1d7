/* Reading everything back: nothing cached is believed, neither maps nor footers. */
#include "config.h"

#include "images/image-private.h"

#include "common/error.h"
#include "images/digest.h"

#include <string.h>

typedef struct
{
  CsStore *store;
  CsDigest *digest;
  CsFrameCodec *codec;
  CsSegment *segment; /* the one at hand, opened anew */
  CsFrame *frame;
  CsLocation loaded; /* a location in frame, or CS_LOCATION_ZERO */
} Verifier;

static bool
load_frame (Verifier *verifier, CsLocation location, GError **error)
{
  guint32 number = cs_location_segment (location);
  if (verifier->loaded != CS_LOCATION_ZERO
      && verifier->loaded / CS_FRAME_PAGES == location / CS_FRAME_PAGES)
    return true;
  verifier->loaded = CS_LOCATION_ZERO;
  if (verifier->segment == NULL || cs_segment_number (verifier->segment) != number)
    {
      g_clear_pointer (&verifier->segment, cs_segment_unref);
      verifier->segment =
          cs_segment_open (verifier->store->backend, verifier->store->uuid_bytes, number, error);
    }
  if (verifier->segment == NULL
      || !cs_segment_read_frame (verifier->segment, cs_location_frame (location), verifier->codec,
                                 verifier->frame, error))
    {
      cs_segment_table_note_damage (verifier->store->segments, number);
      return false;
    }
  verifier->loaded = location;
  return true;
}

static bool
verify_page (Verifier *verifier, CsLocation location, GError **error)
{
  guint8 hash[CS_HASH_LENGTH];
  if (!load_frame (verifier, location, error))
    return false;
  const guint8 *content = cs_frame_page (verifier->frame, location, error);
  if (content == NULL)
    return false;
  cs_digest_page (verifier->digest, content, hash);
  if (memcmp (hash, verifier->frame->hashes[cs_location_slot (location)], sizeof hash) == 0)
    return true;
  cs_segment_table_note_damage (verifier->store->segments, cs_location_segment (location));
  g_autofree char *name = cs_segment_object_name (cs_location_segment (location));
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
               "segment '%s': the page in slot %u of frame %u is not the one that was stored", name,
               cs_location_slot (location), cs_location_frame (location));
  return false;
}

static bool
verify_pages (Verifier *verifier, GArray *pages, CsProgressFunc progress, void *data,
              guint64 *checked, GError **error)
{
  CsLocation last = CS_LOCATION_ZERO;
  for (guint i = 0; i < pages->len; i++)
    {
      CsLocation location = g_array_index (pages, CsPlacedPage, i).location;
      if (i % 1024 == 0 && progress != NULL && !progress (i, pages->len, data))
        {
          g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "verification was stopped");
          return false;
        }
      if (location == last)
        continue;
      if (!verify_page (verifier, location, error))
        return false;
      last = location;
      ++*checked;
    }
  return true;
}

bool
cs_image_verify (CsImage *image, CsProgressFunc progress, void *data, guint64 *pages,
                 GError **error)
{
  *pages = 0;
  g_autoptr (CsImage) fresh = cs_image_load (image->store, image->id, error);
  if (fresh == NULL)
    return false;
  g_autoptr (CsDigest) digest = cs_digest_new (error);
  if (digest == NULL)
    return false;
  g_autoptr (GArray) placed = g_array_new (FALSE, FALSE, sizeof (CsPlacedPage));
  for (guint i = 0; i < fresh->volumes->len; i++)
    cs_image_volume_list (fresh->volumes->pdata[i], placed);
  cs_placed_pages_sort (placed);
  g_autoptr (CsFrameCodec) codec = cs_frame_codec_new ();
  g_autofree CsFrame *frame = g_new (CsFrame, 1);
  Verifier verifier = { .store = image->store, .digest = digest, .codec = codec, .frame = frame };
  bool ok = verify_pages (&verifier, placed, progress, data, pages, error);
  cs_segment_unref (verifier.segment);
  if (!ok)
    g_prefix_error (error, "image '%s': ", image->id);
  return ok;
}
