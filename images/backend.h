/* A backend: plain objects with names, nothing else.
 *
 * Names are relative paths ("segments/00000001"), made by the store from validated
 * parts; prefixes end with a slash.  Objects are immutable: they appear whole and
 * durable (publish), can be replaced whole, and go (remove).
 *
 * Threads: every function may be called from any thread; one CsUpload may be
 * written from many threads at once (different ranges).
 */
#ifndef CS_IMAGES_BACKEND_H
#define CS_IMAGES_BACKEND_H

#include <glib.h>
#include <stdbool.h>

typedef struct CsBackend CsBackend;

/* One published version of an object, open for reading.  It stays readable
 * after the object was replaced or removed. */
typedef struct
{
  CsBackend *backend;
  char *name; /* for messages */
  guint64 size;
} CsObject;

/* An object being written: invisible until published. */
typedef struct
{
  CsBackend *backend;
  char *name;
} CsUpload;

/* Returns false with @error set to stop the listing. */
typedef bool (*CsObjectFunc) (const char *name, guint64 size, void *data, GError **error);

typedef struct
{
  CsObject *(*open) (CsBackend *backend, const char *name, GError **error);
  bool (*read) (CsObject *object, guint64 offset, gsize length, void *data, GError **error);
  void (*close) (CsObject *object);
  CsUpload *(*begin) (CsBackend *backend, const char *name, GError **error);
  bool (*write) (CsUpload *upload, guint64 offset, const void *data, gsize length, GError **error);
  bool (*publish) (CsUpload *upload, bool replace, GError **error);
  void (*abandon) (CsUpload *upload);
  bool (*list) (CsBackend *backend, const char *prefix, CsObjectFunc func, void *data,
                GError **error);
  bool (*remove) (CsBackend *backend, const char *name, GError **error);
  bool (*clean) (CsBackend *backend, GError **error);
  void (*free) (CsBackend *backend);
} CsBackendVtable;

struct CsBackend
{
  const CsBackendVtable *vtable;
};

/* Objects as files below directory @path, which must exist. */
CsBackend *cs_backend_local_new (const char *path);
void cs_backend_free (CsBackend *backend);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsBackend, cs_backend_free)

/* NOT_FOUND when there is no such object. */
CsObject *cs_backend_open (CsBackend *backend, const char *name, GError **error);
/* Exactly @length bytes; CORRUPT when the object ends before that. */
bool cs_object_read (CsObject *object, guint64 offset, gsize length, void *data, GError **error);
void cs_object_close (CsObject *object);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsObject, cs_object_close)

/* Whole small object in one go.  Larger than @limit: CORRUPT. */
bool cs_backend_get (CsBackend *backend, const char *name, gsize limit, char **data, gsize *length,
                     GError **error);

CsUpload *cs_backend_begin (CsBackend *backend, const char *name, GError **error);
bool cs_upload_write (CsUpload *upload, guint64 offset, const void *data, gsize length,
                      GError **error);
/* Makes what was written durable and visible at once, then it cannot be undone; with
 * @replace false an existing object is EXISTS.  Takes @upload, also on error. */
bool cs_upload_publish (CsUpload *upload, bool replace, GError **error);
void cs_upload_abandon (CsUpload *upload);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsUpload, cs_upload_abandon)

/* begin, write, publish. */
bool cs_backend_put (CsBackend *backend, const char *name, const void *data, gsize length,
                     bool replace, GError **error);

/* Every object whose name begins with @prefix, in no order. */
bool cs_backend_list (CsBackend *backend, const char *prefix, CsObjectFunc func, void *data,
                      GError **error);

/* Durable.  NOT_FOUND when there is no such object. */
bool cs_backend_remove (CsBackend *backend, const char *name, GError **error);

/* Removes what interrupted uploads of a former process left behind. */
bool cs_backend_clean (CsBackend *backend, GError **error);

#endif
