/* What the files of the index share. */
#ifndef CS_IMAGES_INDEX_PRIVATE_H
#define CS_IMAGES_INDEX_PRIVATE_H

#include "images/digest.h"
#include "images/index.h"

#include <lmdb.h>

struct CsIndex
{
  /* immutable */
  char *directory;
  MDB_dbi pages;
  MDB_dbi segments;
  MDB_env *env; /* NULL: could not be opened */

  /* read lock: to use the map; write lock: to change its size and given_up.  Innermost of
   * the store's locks but for LMDB's own. */
  GRWLock map_lock;
  bool given_up;

  /* held by the one write transaction; outside map_lock */
  GMutex write_lock;
};

/* Runs @func in a write transaction; again in a new one whenever the map had to grow.  Does
 * nothing, successfully, once the index is given up. */
typedef int (*CsIndexWriteFunc) (CsIndex *index, MDB_txn *transaction, const void *arguments);
bool cs_index_write (CsIndex *index, CsIndexWriteFunc func, const void *arguments, GError **error);

/* The location that @value holds for @hash; false when its check does not fit. */
bool cs_index_decode (const MDB_val *value, const guint8 *hash, CsLocation *location);

#endif
