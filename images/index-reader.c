/* Look-ups in the dedup index. */
#include "config.h"

#include "images/index-private.h"

struct CsIndexReader
{
  CsIndex *index;
  MDB_txn *transaction; /* reset while not between begin and end; NULL: finds nothing */
  bool active;
};

CsIndexReader *
cs_index_reader_new (CsIndex *index)
{
  CsIndexReader *reader = g_new0 (CsIndexReader, 1);
  reader->index = index;
  g_rw_lock_reader_lock (&index->map_lock);
  if (!index->given_up && mdb_txn_begin (index->env, NULL, MDB_RDONLY, &reader->transaction) == 0)
    mdb_txn_reset (reader->transaction);
  g_rw_lock_reader_unlock (&index->map_lock);
  return reader;
}

void
cs_index_reader_free (CsIndexReader *reader)
{
  if (reader == NULL)
    return;
  if (reader->transaction != NULL)
    mdb_txn_abort (reader->transaction);
  g_free (reader);
}

void
cs_index_reader_begin (CsIndexReader *reader)
{
  g_rw_lock_reader_lock (&reader->index->map_lock);
  /* Without a transaction every look-up misses: dearer, never wrong. */
  reader->active = reader->transaction != NULL && !reader->index->given_up
                   && mdb_txn_renew (reader->transaction) == 0;
}

CsLocation
cs_index_reader_find (CsIndexReader *reader, const guint8 hash[CS_HASH_LENGTH])
{
  MDB_val key = { .mv_size = CS_HASH_LENGTH, .mv_data = (void *)hash };
  MDB_val value;
  CsLocation location;
  if (reader->active && mdb_get (reader->transaction, reader->index->pages, &key, &value) == 0
      && cs_index_decode (&value, hash, &location))
    return location;
  return CS_LOCATION_ZERO;
}

void
cs_index_reader_end (CsIndexReader *reader)
{
  if (reader->active)
    mdb_txn_reset (reader->transaction);
  reader->active = false;
  g_rw_lock_reader_unlock (&reader->index->map_lock);
}
