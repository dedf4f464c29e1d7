#include "config.h"

#include "images/backend.h"

#include "common/error.h"

void
cs_backend_free (CsBackend *backend)
{
  if (backend != NULL)
    backend->vtable->free (backend);
}

CsObject *
cs_backend_open (CsBackend *backend, const char *name, GError **error)
{
  return backend->vtable->open (backend, name, error);
}

bool
cs_object_read (CsObject *object, guint64 offset, gsize length, void *data, GError **error)
{
  if (offset > object->size || length > object->size - offset)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                   "'%s' is truncated: it has %" G_GUINT64_FORMAT " bytes, byte %" G_GUINT64_FORMAT
                   " is needed",
                   object->name, object->size, offset + length);
      return false;
    }
  return object->backend->vtable->read (object, offset, length, data, error);
}

void
cs_object_close (CsObject *object)
{
  if (object != NULL)
    object->backend->vtable->close (object);
}

bool
cs_backend_get (CsBackend *backend, const char *name, gsize limit, char **data, gsize *length,
                GError **error)
{
  g_autoptr (CsObject) object = cs_backend_open (backend, name, error);
  if (object == NULL)
    return false;
  if (object->size > limit)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                   "'%s' has %" G_GUINT64_FORMAT " bytes: too many to be ours", name, object->size);
      return false;
    }
  g_autofree char *content = g_malloc (object->size + 1);
  if (!cs_object_read (object, 0, object->size, content, error))
    return false;
  content[object->size] = '\0';
  *length = object->size;
  *data = g_steal_pointer (&content);
  return true;
}

CsUpload *
cs_backend_begin (CsBackend *backend, const char *name, GError **error)
{
  return backend->vtable->begin (backend, name, error);
}

bool
cs_upload_write (CsUpload *upload, guint64 offset, const void *data, gsize length, GError **error)
{
  return upload->backend->vtable->write (upload, offset, data, length, error);
}

bool
cs_upload_publish (CsUpload *upload, bool replace, GError **error)
{
  return upload->backend->vtable->publish (upload, replace, error);
}

void
cs_upload_abandon (CsUpload *upload)
{
  if (upload != NULL)
    upload->backend->vtable->abandon (upload);
}

bool
cs_backend_put (CsBackend *backend, const char *name, const void *data, gsize length, bool replace,
                GError **error)
{
  g_autoptr (CsUpload) upload = cs_backend_begin (backend, name, error);
  if (upload == NULL || !cs_upload_write (upload, 0, data, length, error))
    return false;
  return cs_upload_publish (g_steal_pointer (&upload), replace, error);
}

bool
cs_backend_list (CsBackend *backend, const char *prefix, CsObjectFunc func, void *data,
                 GError **error)
{
  g_assert (g_str_has_suffix (prefix, "/"));
  return backend->vtable->list (backend, prefix, func, data, error);
}

bool
cs_backend_remove (CsBackend *backend, const char *name, GError **error)
{
  return backend->vtable->remove (backend, name, error);
}

bool
cs_backend_clean (CsBackend *backend, GError **error)
{
  return backend->vtable->clean (backend, error);
}
