/* Making images durable: segments first, then the images that refer to them. */
#include "config.h"

#include "images/store-private.h"

#include "images/image-file.h"

void
cs_finished_image_free (CsFinishedImage *finished)
{
  if (finished == NULL)
    return;
  cs_packer_user_free (finished->user);
  cs_image_free (finished->parent);
  g_bytes_unref (finished->content);
  g_free (finished->id);
  g_free (finished);
}

static GPtrArray *
take_finished (CsStore *store)
{
  GPtrArray *none = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_finished_image_free);
  g_mutex_lock (&store->finished_lock);
  GPtrArray *finished = store->finished;
  store->finished = none;
  g_mutex_unlock (&store->finished_lock);
  return finished;
}

/* Held before it is visible, lest garbage collection takes it for garbage. */
static bool
publish_image (CsStore *store, const CsFinishedImage *finished, GError **error)
{
  g_autofree char *name = cs_image_object_name (finished->id);
  gsize length;
  const void *content = g_bytes_get_data (finished->content, &length);
  cs_roots_hold (store->roots, finished->id);
  return cs_backend_put (store->backend, name, content, length, false, error);
}

static void
withdraw_image (CsStore *store, const CsFinishedImage *finished)
{
  g_autofree char *name = cs_image_object_name (finished->id);
  cs_roots_release (store->roots, finished->id);
  cs_backend_remove (store->backend, name, NULL);
}

static bool
publish_images (CsStore *store, GPtrArray *finished, GError **error)
{
  for (guint i = 0; i < finished->len; i++)
    if (!publish_image (store, finished->pdata[i], error))
      {
        /* Should this fail as well, they are garbage: no manifest can name them. */
        for (guint j = 0; j <= i; j++)
          withdraw_image (store, finished->pdata[j]);
        g_prefix_error (error, "store '%s': ", store->path);
        return false;
      }
  return true;
}

bool
cs_store_commit (CsStore *store, GError **error)
{
  bool ok = true;
  if (!cs_store_check_writable (store, error))
    return false;
  g_mutex_lock (&store->commit_lock);
  g_autoptr (GPtrArray) finished = take_finished (store);
  cs_packer_flush (store->packer);
  for (guint i = 0; ok && i < finished->len; i++)
    ok = cs_packer_user_check (((CsFinishedImage *)finished->pdata[i])->user, error);
  ok = ok && publish_images (store, finished, error);
  g_mutex_unlock (&store->commit_lock);
  return ok;
}
