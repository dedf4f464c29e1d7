#include "config.h"

#include "backend-double.h"

#include "common/error.h"

#include <string.h>

typedef struct
{
  CsBackend parent;
  GMutex lock;
  GHashTable *objects; /* name -> GBytes */
} MemoryBackend;

typedef struct
{
  CsObject parent;
  GBytes *content;
} MemoryObject;

typedef struct
{
  CsUpload parent;
  GMutex lock;
  GByteArray *content;
} MemoryUpload;

static CsObject *
memory_open (CsBackend *base, const char *name, GError **error)
{
  MemoryBackend *backend = (MemoryBackend *)base;
  g_mutex_lock (&backend->lock);
  GBytes *content = g_hash_table_lookup (backend->objects, name);
  if (content != NULL)
    g_bytes_ref (content);
  g_mutex_unlock (&backend->lock);
  if (content == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "there is no object '%s'", name);
      return NULL;
    }
  MemoryObject *object = g_new0 (MemoryObject, 1);
  object->parent =
      (CsObject){ .backend = base, .name = g_strdup (name), .size = g_bytes_get_size (content) };
  object->content = content;
  return &object->parent;
}

static bool
memory_read (CsObject *object, guint64 offset, gsize length, void *data, GError **error)
{
  const guint8 *bytes = g_bytes_get_data (((MemoryObject *)object)->content, NULL);
  if (length > 0)
    memcpy (data, bytes + offset, length);
  return true;
}

static void
memory_close (CsObject *object)
{
  g_bytes_unref (((MemoryObject *)object)->content);
  g_free (object->name);
  g_free (object);
}

static CsUpload *
memory_begin (CsBackend *base, const char *name, GError **error)
{
  MemoryUpload *upload = g_new0 (MemoryUpload, 1);
  upload->parent = (CsUpload){ .backend = base, .name = g_strdup (name) };
  g_mutex_init (&upload->lock);
  upload->content = g_byte_array_new ();
  return &upload->parent;
}

static bool
memory_write (CsUpload *base, guint64 offset, const void *data, gsize length, GError **error)
{
  MemoryUpload *upload = (MemoryUpload *)base;
  g_mutex_lock (&upload->lock);
  if (offset + length > upload->content->len)
    g_byte_array_set_size (upload->content, (guint)(offset + length));
  if (length > 0)
    memcpy (upload->content->data + offset, data, length);
  g_mutex_unlock (&upload->lock);
  return true;
}

static void
memory_abandon (CsUpload *base)
{
  MemoryUpload *upload = (MemoryUpload *)base;
  g_byte_array_unref (upload->content);
  g_mutex_clear (&upload->lock);
  g_free (base->name);
  g_free (upload);
}

static bool
memory_publish (CsUpload *base, bool replace, GError **error)
{
  MemoryBackend *backend = (MemoryBackend *)base->backend;
  MemoryUpload *upload = (MemoryUpload *)base;
  g_mutex_lock (&backend->lock);
  bool ok = replace || !g_hash_table_contains (backend->objects, base->name);
  if (ok)
    g_hash_table_insert (backend->objects, g_strdup (base->name),
                         g_bytes_new (upload->content->data, upload->content->len));
  else
    g_set_error (error, CS_ERROR, CS_ERROR_EXISTS, "'%s' exists already", base->name);
  g_mutex_unlock (&backend->lock);
  memory_abandon (base);
  return ok;
}

static bool
memory_list (CsBackend *base, const char *prefix, CsObjectFunc func, void *data, GError **error)
{
  MemoryBackend *backend = (MemoryBackend *)base;
  GHashTableIter iter;
  gpointer name, content;
  bool ok = true;
  g_mutex_lock (&backend->lock);
  g_autoptr (GHashTable) copy =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
  g_hash_table_iter_init (&iter, backend->objects);
  while (g_hash_table_iter_next (&iter, &name, &content))
    if (g_str_has_prefix (name, prefix))
      g_hash_table_insert (copy, g_strdup (name), g_bytes_ref (content));
  g_mutex_unlock (&backend->lock);
  g_hash_table_iter_init (&iter, copy);
  while (ok && g_hash_table_iter_next (&iter, &name, &content))
    ok = func (name, g_bytes_get_size (content), data, error);
  return ok;
}

static bool
memory_remove (CsBackend *base, const char *name, GError **error)
{
  MemoryBackend *backend = (MemoryBackend *)base;
  g_mutex_lock (&backend->lock);
  bool ok = g_hash_table_remove (backend->objects, name);
  g_mutex_unlock (&backend->lock);
  if (!ok)
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "there is no object '%s'", name);
  return ok;
}

static bool
memory_clean (CsBackend *base, GError **error)
{
  return true;
}

static void
memory_free (CsBackend *base)
{
  MemoryBackend *backend = (MemoryBackend *)base;
  g_hash_table_unref (backend->objects);
  g_mutex_clear (&backend->lock);
  g_free (backend);
}

CsBackend *
backend_memory_new (void)
{
  static const CsBackendVtable vtable = {
    .open = memory_open,
    .read = memory_read,
    .close = memory_close,
    .begin = memory_begin,
    .write = memory_write,
    .publish = memory_publish,
    .abandon = memory_abandon,
    .list = memory_list,
    .remove = memory_remove,
    .clean = memory_clean,
    .free = memory_free,
  };
  MemoryBackend *backend = g_new0 (MemoryBackend, 1);
  backend->parent.vtable = &vtable;
  g_mutex_init (&backend->lock);
  backend->objects =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
  return &backend->parent;
}
