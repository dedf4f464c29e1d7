/* Image files and the chain they form. */
#include "config.h"

#include "images/image-private.h"

#include "common/error.h"

#include <string.h>

/* Compressed maps larger than their raw limit are none. */
#define MAX_LENGTH ((gsize)CS_IMAGE_MAX_RAW_LENGTH + 65536)

static CsImageFile *
read_file (CsStore *store, const char *id, GError **error)
{
  g_autofree char *name = cs_image_object_name (id);
  g_autofree char *data = NULL;
  gsize length;
  if (!cs_backend_get (store->backend, name, MAX_LENGTH, &data, &length, error))
    return NULL;
  g_autoptr (CsImageFile) file = cs_image_file_decode (data, length, name, error);
  if (file != NULL && strcmp (file->id, id) != 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "image '%s' has the content of image '%s'",
                   id, file->id);
      return NULL;
    }
  return g_steal_pointer (&file);
}

CsImageFile *
cs_image_file_load (CsStore *store, const char *id, bool as_ancestor, GError **error)
{
  if (!cs_image_id_is_valid (id))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "'%s' is no image id", id);
      return NULL;
    }
  g_autoptr (GError) cause = NULL;
  g_autoptr (CsImageFile) file = read_file (store, id, &cause);
  if (g_error_matches (cause, CS_ERROR, CS_ERROR_NOT_FOUND))
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "there is no image '%s' in store '%s'", id,
                 store->path);
  else if (cause != NULL)
    g_propagate_prefixed_error (error, g_steal_pointer (&cause), "store '%s': ", store->path);
  else if (file->retired && !as_ancestor)
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                 "image '%s' belongs to no snapshot any more: only what its descendants need of it "
                 "was kept",
                 id);
  else
    return g_steal_pointer (&file);
  return NULL;
}

GPtrArray *
cs_image_chain_load (CsStore *store, const char *id, GError **error)
{
  g_autoptr (GPtrArray) chain = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_image_file_free);
  CsImageFile *file = cs_image_file_load (store, id, false, error);
  if (file == NULL)
    return NULL;
  g_ptr_array_add (chain, file);
  while (file->parent != NULL)
    {
      g_autoptr (GError) cause = NULL;
      CsImageFile *parent = cs_image_file_load (store, file->parent, true, &cause);
      if (parent == NULL)
        {
          /* Also where it is missing: that is damage now. */
          g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                       "image '%s' cannot do without its "
                       "ancestor '%s': %s",
                       id, file->parent, cause->message);
          return NULL;
        }
      g_ptr_array_add (chain, parent);
      /* Ends every loop: the depth must come down to 0. */
      if (parent->depth + 1 != file->depth)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                       "image '%s' and its parent '%s' do not belong together", file->id,
                       parent->id);
          return NULL;
        }
      file = parent;
    }
  return g_steal_pointer (&chain);
}
