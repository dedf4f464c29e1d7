/* The documents that name images: manifests and roots.
 *
 * The stored text is the caller's JSON with one member put before the others:
 * {"clusnap-sha256":"…",  where … is the SHA-256 of the text as it was without it.  So it is
 * still JSON, and damage is noticed wherever it is. */
#ifndef CS_IMAGES_DOCUMENT_H
#define CS_IMAGES_DOCUMENT_H

#include "images/store.h"

/* INVALID unless @name can be the name of a @kind ("cluster"): it becomes a file name. */
bool cs_document_check_name (const char *kind, const char *name, GError **error);

/* The ids of the images that @document names (borrowed from it); CORRUPT or INVALID by @code when
 * its member "images" is not as it must be. */
GPtrArray *cs_document_images (json_object *document, int code, GError **error);

/* Writes @document as @object, atomically and durably; refuses to replace (EXISTS).  All its images
 * must be published; they are roots of a garbage collection under way. */
bool cs_document_put (CsStore *store, const char *object, json_object *document, GError **error);

/* NULL: NOT_FOUND, CORRUPT ("'OBJECT' is damaged"). */
json_object *cs_document_get (CsStore *store, const char *object, GError **error);

#endif
