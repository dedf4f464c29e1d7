/* Which images are needed although perhaps no manifest names them, and which are being
 * removed.  In memory only.
 *
 *   pinned      by the caller or an open CsImage; counted
 *   held        just committed, until a manifest names it or the caller gives it up
 *   named       by a manifest written since the running garbage collection began
 *   condemned   found unreachable by the running garbage collection: cannot be pinned any more
 *
 * Threads: any.  Between lock and unlock the set of roots does not grow; outermost of the
 * locks after the store's gc and commit locks.
 */
#ifndef CS_IMAGES_ROOTS_H
#define CS_IMAGES_ROOTS_H

#include <glib.h>
#include <stdbool.h>

typedef struct CsRoots CsRoots;

CsRoots *cs_roots_new (void);
void cs_roots_free (CsRoots *roots);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRoots, cs_roots_free)

void cs_roots_pin (CsRoots *roots, const char *image);
void cs_roots_unpin (CsRoots *roots, const char *image);
/* Fails with NOT_FOUND when @image is condemned. */
bool cs_roots_try_pin (CsRoots *roots, const char *image, GError **error);

void cs_roots_hold (CsRoots *roots, const char *image);
void cs_roots_release (CsRoots *roots, const char *image);

/* A manifest that names @image was written: no need to hold it. */
void cs_roots_name (CsRoots *roots, const char *image);

/* For garbage collection.  begin: before it reads the manifests. */
void cs_roots_begin (CsRoots *roots);
void cs_roots_lock (CsRoots *roots);
void cs_roots_unlock (CsRoots *roots);
/* Locked.  Array of all roots but those that only old manifests name; ids are copied. */
GPtrArray *cs_roots_list (CsRoots *roots);
/* Locked. */
void cs_roots_condemn (CsRoots *roots, const char *image);
void cs_roots_end (CsRoots *roots);

#endif
