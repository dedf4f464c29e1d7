/* Changes to the dedup index: which pages it knows. */
#include "config.h"

#include "images/index-private.h"

#include <string.h>
#include <xxhash.h>

typedef struct
{
  guint64 location;
  guint32 check;
} __attribute__ ((packed)) PageValue;

static guint32
check_of (const guint8 *hash, guint64 location)
{
  return (guint32)XXH3_64bits_withSeed (hash, CS_HASH_LENGTH, location);
}

typedef struct
{
  guint32 number;
  guint64 nonce;
  const guint8 *hashes;
  const CsLocation *locations;
  const guint32 *order; /* by hash: neighbours in the tree one after the other */
  guint32 n;
} Change;

static int
put_row (CsIndex *index, MDB_txn *transaction, const Change *change)
{
  guint32 number = change->number;
  guint64 nonce = change->nonce;
  MDB_val key = { .mv_size = sizeof number, .mv_data = &number };
  MDB_val value = { .mv_size = sizeof nonce, .mv_data = &nonce };
  return mdb_put (transaction, index->segments, &key, &value, 0);
}

static int
add_pages (CsIndex *index, MDB_txn *transaction, const void *arguments)
{
  const Change *change = arguments;
  for (guint32 i = 0; i < change->n; i++)
    {
      guint32 position = change->order[i];
      const guint8 *hash = change->hashes + (gsize)position * CS_HASH_LENGTH;
      CsLocation location = cs_location (change->number, position);
      PageValue page = { .location = GUINT64_TO_LE (location),
                         .check = GUINT32_TO_LE (check_of (hash, location)) };
      MDB_val key = { .mv_size = CS_HASH_LENGTH, .mv_data = (void *)hash };
      MDB_val value = { .mv_size = sizeof page, .mv_data = &page };
      int status = mdb_put (transaction, index->pages, &key, &value, 0);
      if (status != 0)
        return status;
    }
  return put_row (index, transaction, change);
}

static gint
by_hash (gconstpointer a, gconstpointer b, gpointer hashes)
{
  const guint32 *left = a, *right = b;
  return memcmp ((const guint8 *)hashes + (gsize)*left * CS_HASH_LENGTH,
                 (const guint8 *)hashes + (gsize)*right * CS_HASH_LENGTH, CS_HASH_LENGTH);
}

bool
cs_index_add_segment (CsIndex *index, guint32 number, guint64 nonce, const guint8 *hashes,
                      guint32 n, GError **error)
{
  g_autofree guint32 *order = g_new (guint32, n);
  guint32 present = 0;
  for (guint32 i = 0; i < n; i++)
    if (!cs_hash_is_zero (hashes + (gsize)i * CS_HASH_LENGTH))
      order[present++] = i;
  g_qsort_with_data (order, (gint)present, sizeof *order, by_hash, (gpointer)hashes);
  Change change = {
    .number = number, .nonce = nonce, .hashes = hashes, .order = order, .n = present
  };
  return cs_index_write (index, add_pages, &change, error);
}

bool
cs_index_decode (const MDB_val *value, const guint8 *hash, CsLocation *location)
{
  PageValue page;
  if (value->mv_size != sizeof page)
    return false;
  memcpy (&page, value->mv_data, sizeof page);
  *location = GUINT64_FROM_LE (page.location);
  return check_of (hash, *location) == GUINT32_FROM_LE (page.check);
}

static int
remove_pages (CsIndex *index, MDB_txn *transaction, const void *arguments)
{
  const Change *change = arguments;
  guint32 number = change->number;
  MDB_val row = { .mv_size = sizeof number, .mv_data = &number };
  int status = mdb_del (transaction, index->segments, &row, NULL);
  if (status != 0 && status != MDB_NOTFOUND)
    return status;
  for (guint32 i = 0; i < change->n; i++)
    {
      const guint8 *hash = change->hashes + (gsize)i * CS_HASH_LENGTH;
      MDB_val key = { .mv_size = CS_HASH_LENGTH, .mv_data = (void *)hash };
      MDB_val value;
      CsLocation location;
      status = mdb_get (transaction, index->pages, &key, &value);
      if (status == 0
          && (!cs_index_decode (&value, hash, &location) || location == change->locations[i]))
        status = mdb_del (transaction, index->pages, &key, NULL);
      if (status != 0 && status != MDB_NOTFOUND)
        return status;
    }
  return 0;
}

bool
cs_index_remove (CsIndex *index, guint32 number, const guint8 *hashes, const CsLocation *locations,
                 guint32 n, GError **error)
{
  Change change = { .number = number, .hashes = hashes, .locations = locations, .n = n };
  return cs_index_write (index, remove_pages, &change, error);
}

static int
set_row (CsIndex *index, MDB_txn *transaction, const void *arguments)
{
  return put_row (index, transaction, arguments);
}

bool
cs_index_set_segment (CsIndex *index, guint32 number, guint64 nonce, GError **error)
{
  Change change = { .number = number, .nonce = nonce };
  return cs_index_write (index, set_row, &change, error);
}
