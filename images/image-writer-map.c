/* From what was put to the page map of the image file. */
#include "config.h"

#include "images/image-writer-private.h"

static CsLocation
inherited (const CsWriterVolume *volume, guint64 page)
{
  const CsPageMap *map = volume->inherit != NULL ? volume->inherit->map : NULL;
  return map != NULL && page < cs_page_map_size (map) ? cs_page_map_get (map, page)
                                                      : CS_LOCATION_ZERO;
}

/* Only what differs from the parent. */
static void
add_delta (CsImageFileVolume *target, const CsWriterVolume *volume)
{
  guint64 page;
  for (guint64 from = 0; cs_page_map_next (volume->map, from, &page); from = page + 1)
    {
      CsLocation location = cs_page_map_get (volume->map, page);
      if (location == CS_PUT_ZERO)
        location = CS_LOCATION_ZERO;
      if (location != inherited (volume, page))
        cs_image_file_volume_append (target, page, location);
    }
}

/* What was put and what is inherited, in page order. */
static void
add_complete (CsImageFileVolume *target, const CsWriterVolume *volume)
{
  const CsPageMap *old = volume->inherit != NULL ? volume->inherit->map : NULL;
  guint64 put_page = 0, old_page = 0;
  bool has_put = cs_page_map_next (volume->map, 0, &put_page);
  bool has_old = old != NULL && cs_page_map_next (old, 0, &old_page);
  while (has_put || (has_old && old_page < cs_page_map_size (volume->map)))
    {
      bool take_put = has_put && (!has_old || put_page <= old_page);
      guint64 page = take_put ? put_page : old_page;
      CsLocation location = cs_page_map_get (take_put ? volume->map : old, page);
      if (location != CS_PUT_ZERO)
        cs_image_file_volume_append (target, page, location);
      if (has_old && old_page == page)
        has_old = cs_page_map_next (old, page + 1, &old_page);
      if (take_put)
        has_put = cs_page_map_next (volume->map, page + 1, &put_page);
    }
}

CsImageFile *
cs_image_writer_make_file (const CsImageWriter *writer, const char *id)
{
  bool delta = writer->parent != NULL && writer->parent->depth < CS_IMAGE_MAX_DEPTH;
  CsImageFile *file = cs_image_file_new (id, delta ? writer->parent->id : NULL,
                                         delta ? writer->parent->depth + 1 : 0);
  for (guint i = 0; i < writer->volumes->len; i++)
    {
      const CsWriterVolume *volume = writer->volumes->pdata[i];
      bool inherit = delta && volume->inherit != NULL;
      CsImageFileVolume *target =
          cs_image_file_add_volume (file, volume->kind, volume->name, volume->length, inherit);
      if (inherit)
        add_delta (target, volume);
      else
        add_complete (target, volume);
    }
  return file;
}
