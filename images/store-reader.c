/* A store open for reading only, beside the process that has it locked.
 *
 * What a reader needs never changes under it: an image file is written once (a later RETIRED mark
 * changes no map), and a location leads to the same page for as long as an image that is kept
 * alive refers to it - garbage collection replaces segments whole, under the same number and
 * with the same frames and slots.  So a reader takes neither the lock nor the index, cleans
 * nothing, and opens segments when it needs them, whatever the table looked like before.
 *
 * A segment that is held open keeps its disk space after garbage collection replaced it: a
 * reader keeps few. */
#include "config.h"

#include "images/store-private.h"

#include "common/error.h"
#include "images/store-header.h"
#include "images/uuid.h"

#define CACHE_LENGTH ((gsize)32 << 20)

CsStore *
cs_store_open_reader_backend (const char *path, CsBackend *backend, GError **error)
{
  g_autoptr (CsStore) store = cs_store_alloc (path, backend);
  store->reader = true;
  store->uuid = cs_store_header_read (backend, path, error);
  if (store->uuid == NULL)
    return NULL;
  cs_uuid_parse (store->uuid, store->uuid_bytes);
  store->segments = cs_segment_table_new_reader (backend, store->uuid_bytes);
  store->cache = cs_frame_cache_new (store->segments, CACHE_LENGTH);
  return g_steal_pointer (&store);
}

CsStore *
cs_store_open_reader (const char *path, GError **error)
{
  if (!cs_store_check_directory (path, error))
    return NULL;
  return cs_store_open_reader_backend (path, cs_backend_local_new (path), error);
}

bool
cs_store_check_writable (const CsStore *store, GError **error)
{
  if (!store->reader)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_PERMISSION, "store '%s' is open for reading only",
               store->path);
  return false;
}
