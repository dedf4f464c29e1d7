/* clusnap-store.json: what makes a set of objects a store. */
#ifndef CS_IMAGES_STORE_HEADER_H
#define CS_IMAGES_STORE_HEADER_H

#include "images/backend.h"

/* Writes one with a new UUID; EXISTS. */
bool cs_store_header_write (CsBackend *backend, GError **error);

/* Returns the store's UUID (g_free).  INVALID: not a store, or of a newer version; @path is
 * what errors call it. */
char *cs_store_header_read (CsBackend *backend, const char *path, GError **error);

#endif
