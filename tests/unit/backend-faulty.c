#include "config.h"

#include "backend-double.h"

#include "common/error.h"

#include <errno.h>

typedef struct
{
  CsBackend parent;
  CsBackend *inner;
  FaultHook hook;
  void *data;
} FaultyBackend;

typedef struct
{
  CsObject parent;
  CsObject *inner;
} FaultyObject;

typedef struct
{
  CsUpload parent;
  CsUpload *inner;
} FaultyUpload;

static bool
ask (CsBackend *base, const char *operation, const char *name, bool after, GError **error)
{
  FaultyBackend *backend = (FaultyBackend *)base;
  int fault = backend->hook (operation, name, after, backend->data);
  return fault == 0
         || cs_error_set_errno (error, fault == FAULT_SHORT ? ENOSPC : fault, "cannot %s '%s'",
                                operation, name);
}

static CsObject *
faulty_open (CsBackend *base, const char *name, GError **error)
{
  CsObject *inner = ask (base, "open", name, false, error)
                        ? cs_backend_open (((FaultyBackend *)base)->inner, name, error)
                        : NULL;
  if (inner == NULL)
    return NULL;
  FaultyObject *object = g_new0 (FaultyObject, 1);
  object->parent = (CsObject){ .backend = base, .name = inner->name, .size = inner->size };
  object->inner = inner;
  return &object->parent;
}

static bool
faulty_read (CsObject *object, guint64 offset, gsize length, void *data, GError **error)
{
  return ask (object->backend, "read", object->name, false, error)
         && cs_object_read (((FaultyObject *)object)->inner, offset, length, data, error);
}

static void
faulty_close (CsObject *object)
{
  cs_object_close (((FaultyObject *)object)->inner);
  g_free (object);
}

static CsUpload *
faulty_begin (CsBackend *base, const char *name, GError **error)
{
  CsUpload *inner = ask (base, "begin", name, false, error)
                        ? cs_backend_begin (((FaultyBackend *)base)->inner, name, error)
                        : NULL;
  if (inner == NULL)
    return NULL;
  FaultyUpload *upload = g_new0 (FaultyUpload, 1);
  upload->parent = (CsUpload){ .backend = base, .name = g_strdup (name) };
  upload->inner = inner;
  ask (base, "begin", name, true, NULL);
  return &upload->parent;
}

static bool
faulty_write (CsUpload *base, guint64 offset, const void *data, gsize length, GError **error)
{
  FaultyBackend *backend = (FaultyBackend *)base->backend;
  FaultyUpload *upload = (FaultyUpload *)base;
  int fault = backend->hook ("write", base->name, false, backend->data);
  if (fault == FAULT_SHORT)
    cs_upload_write (upload->inner, offset, data, length / 2, NULL);
  if (fault != 0)
    return cs_error_set_errno (error, fault == FAULT_SHORT ? ENOSPC : fault, "cannot write '%s'",
                               base->name);
  return cs_upload_write (upload->inner, offset, data, length, error);
}

static void
upload_free (CsUpload *base)
{
  g_free (base->name);
  g_free (base);
}

static void
faulty_abandon (CsUpload *base)
{
  cs_upload_abandon (((FaultyUpload *)base)->inner);
  upload_free (base);
}

static bool
faulty_publish (CsUpload *base, bool replace, GError **error)
{
  if (!ask (base->backend, "publish", base->name, false, error))
    {
      faulty_abandon (base);
      return false;
    }
  bool ok = cs_upload_publish (((FaultyUpload *)base)->inner, replace, error);
  if (ok)
    ask (base->backend, "publish", base->name, true, NULL);
  upload_free (base);
  return ok;
}

static bool
faulty_list (CsBackend *base, const char *prefix, CsObjectFunc func, void *data, GError **error)
{
  return ask (base, "list", prefix, false, error)
         && cs_backend_list (((FaultyBackend *)base)->inner, prefix, func, data, error);
}

static bool
faulty_remove (CsBackend *base, const char *name, GError **error)
{
  if (!ask (base, "remove", name, false, error)
      || !cs_backend_remove (((FaultyBackend *)base)->inner, name, error))
    return false;
  ask (base, "remove", name, true, NULL);
  return true;
}

static bool
faulty_clean (CsBackend *base, GError **error)
{
  return cs_backend_clean (((FaultyBackend *)base)->inner, error);
}

static void
faulty_free (CsBackend *base)
{
  cs_backend_free (((FaultyBackend *)base)->inner);
  g_free (base);
}

CsBackend *
backend_faulty_new (CsBackend *inner, FaultHook hook, void *data)
{
  static const CsBackendVtable vtable = {
    .open = faulty_open,
    .read = faulty_read,
    .close = faulty_close,
    .begin = faulty_begin,
    .write = faulty_write,
    .publish = faulty_publish,
    .abandon = faulty_abandon,
    .list = faulty_list,
    .remove = faulty_remove,
    .clean = faulty_clean,
    .free = faulty_free,
  };
  FaultyBackend *backend = g_new0 (FaultyBackend, 1);
  backend->parent.vtable = &vtable;
  backend->inner = inner;
  backend->hook = hook;
  backend->data = data;
  return &backend->parent;
}
