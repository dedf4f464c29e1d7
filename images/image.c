/* A published image, its chain merged into one map per volume. */
#include "config.h"

#include "images/image-private.h"

#include "common/error.h"

#include <string.h>

static void
volume_free (gpointer data)
{
  CsImageVolume *volume = data;
  g_free (volume->name);
  cs_page_map_free (volume->map);
  g_free (volume);
}

/* Later runs win; what lies behind the map's end was dropped by a shorter volume. */
static void
apply_runs (CsPageMap *map, const GArray *runs)
{
  for (guint i = 0; i < runs->len; i++)
    {
      const CsMapRun *run = &g_array_index (runs, CsMapRun, i);
      guint64 end = MIN (run->page + run->count, cs_page_map_size (map));
      for (guint64 page = run->page; page < end; page++)
        cs_page_map_set (map, page,
                         run->location == CS_LOCATION_ZERO ? CS_LOCATION_ZERO
                                                           : run->location + (page - run->page));
    }
}

/* The volumes that make up @leaf, itself first: each but the last inherits from the next. */
static GPtrArray *
lineage (GPtrArray *chain, const CsImageFileVolume *leaf)
{
  GPtrArray *line = g_ptr_array_new ();
  const CsImageFileVolume *volume = leaf;
  for (guint i = 1; volume != NULL; i++)
    {
      g_ptr_array_add (line, (gpointer)volume);
      volume = volume->inherit && i < chain->len
                   ? cs_image_file_find_volume (chain->pdata[i], leaf->kind, leaf->name)
                   : NULL;
    }
  return line;
}

static CsImageVolume *
merge_volume (GPtrArray *chain, const CsImageFileVolume *leaf, GError **error)
{
  g_autoptr (CsPageMap) map = cs_page_map_new (cs_pages_of_length (leaf->length));
  if (map == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
                   "there is no memory for the page map of volume '%s'", leaf->name);
      return NULL;
    }
  g_autoptr (GPtrArray) line = lineage (chain, leaf);
  for (guint i = line->len; i-- > 0;)
    {
      const CsImageFileVolume *volume = line->pdata[i];
      /* What lay behind the end of a volume does not come back when a later one is longer. */
      cs_page_map_clear (map, cs_pages_of_length (volume->length), cs_page_map_size (map));
      apply_runs (map, volume->runs);
    }
  CsImageVolume *merged = g_new0 (CsImageVolume, 1);
  merged->kind = leaf->kind;
  merged->name = g_strdup (leaf->name);
  merged->length = leaf->length;
  merged->map = g_steal_pointer (&map);
  return merged;
}

CsImage *
cs_image_load (CsStore *store, const char *id, GError **error)
{
  g_autoptr (GPtrArray) chain = cs_image_chain_load (store, id, error);
  if (chain == NULL)
    return NULL;
  const CsImageFile *leaf = chain->pdata[0];
  g_autoptr (CsImage) image = g_new0 (CsImage, 1);
  image->store = store;
  image->id = g_strdup (id);
  image->parent = g_strdup (leaf->parent);
  image->depth = leaf->depth;
  image->volumes = g_ptr_array_new_with_free_func (volume_free);
  image->ancestors = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 1; i < chain->len; i++)
    g_ptr_array_add (image->ancestors, g_strdup (((CsImageFile *)chain->pdata[i])->id));
  for (guint i = 0; i < leaf->volumes->len; i++)
    {
      CsImageVolume *volume = merge_volume (chain, leaf->volumes->pdata[i], error);
      if (volume == NULL)
        {
          g_prefix_error (error, "image '%s': ", id);
          return NULL;
        }
      g_ptr_array_add (image->volumes, volume);
    }
  return g_steal_pointer (&image);
}

CsImage *
cs_image_open (CsStore *store, const char *id, GError **error)
{
  if (!cs_roots_try_pin (store->roots, id, error))
    return NULL;
  CsImage *image = cs_image_load (store, id, error);
  if (image != NULL)
    image->pinned = true;
  else
    cs_roots_unpin (store->roots, id);
  return image;
}

void
cs_image_free (CsImage *image)
{
  if (image == NULL)
    return;
  if (image->pinned)
    cs_roots_unpin (image->store->roots, image->id);
  g_ptr_array_unref (image->ancestors);
  g_ptr_array_unref (image->volumes);
  g_free (image->parent);
  g_free (image->id);
  g_free (image);
}

const char *
cs_image_id (const CsImage *image)
{
  return image->id;
}

const char *
cs_image_parent (const CsImage *image)
{
  return image->parent;
}

guint
cs_image_n_volumes (const CsImage *image)
{
  return image->volumes->len;
}

const CsImageVolume *
cs_image_volume (const CsImage *image, guint volume)
{
  g_assert (volume < image->volumes->len);
  return image->volumes->pdata[volume];
}

void
cs_image_volume_info (const CsImage *image, guint volume, CsVolumeInfo *info)
{
  const CsImageVolume *found = cs_image_volume (image, volume);
  info->kind = found->kind;
  info->name = found->name;
  info->length = found->length;
  info->pages_present = cs_page_map_count (found->map);
}

bool
cs_image_find_volume (const CsImage *image, CsVolumeKind kind, const char *name, guint *volume)
{
  for (guint i = 0; i < image->volumes->len; i++)
    {
      const CsImageVolume *candidate = image->volumes->pdata[i];
      if (candidate->kind == kind && strcmp (candidate->name, name) == 0)
        {
          *volume = i;
          return true;
        }
    }
  return false;
}

bool
cs_image_page_is_zero (const CsImage *image, guint volume, guint64 page)
{
  const CsPageMap *map = cs_image_volume (image, volume)->map;
  return page < cs_page_map_size (map) && cs_page_map_get (map, page) == CS_LOCATION_ZERO;
}

bool
cs_image_page_same (const CsImage *image, guint volume, const CsImage *other, guint other_volume,
                    guint64 page)
{
  const CsPageMap *left = cs_image_volume (image, volume)->map;
  const CsPageMap *right = cs_image_volume (other, other_volume)->map;
  return image->store == other->store && page < cs_page_map_size (left)
         && page < cs_page_map_size (right)
         && cs_page_map_get (left, page) == cs_page_map_get (right, page);
}

void
cs_image_prefix_error (const CsImage *image, guint volume, GError **error)
{
  g_prefix_error (error, "volume '%s' of image '%s': ", cs_image_volume (image, volume)->name,
                  image->id);
}
