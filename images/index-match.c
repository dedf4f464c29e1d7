/* Brings the dedup index in line with the segments that are there (index.c tells why
 * the rows of "segments" are enough to know). */
#include "config.h"

#include "images/index-private.h"

#include <string.h>

static int
empty (CsIndex *index, MDB_txn *transaction, const void *arguments)
{
  int status = mdb_drop (transaction, index->pages, 0);
  return status != 0 ? status : mdb_drop (transaction, index->segments, 0);
}

/* Adds the rows to GHashTable @arguments: number -> nonce (g_malloc'ed). */
static int
read_rows (CsIndex *index, MDB_txn *transaction, const void *arguments)
{
  GHashTable *rows = (GHashTable *)arguments;
  MDB_cursor *cursor;
  MDB_val key, value;
  g_hash_table_remove_all (rows);
  int status = mdb_cursor_open (transaction, index->segments, &cursor);
  if (status != 0)
    return status;
  while ((status = mdb_cursor_get (cursor, &key, &value, MDB_NEXT)) == 0)
    {
      guint32 number;
      if (key.mv_size != sizeof number || value.mv_size != sizeof (guint64))
        {
          status = MDB_CORRUPTED;
          break;
        }
      memcpy (&number, key.mv_data, sizeof number);
      g_hash_table_insert (rows, GUINT_TO_POINTER (number),
                           g_memdup2 (value.mv_data, sizeof (guint64)));
    }
  mdb_cursor_close (cursor);
  return status == MDB_NOTFOUND ? 0 : status;
}

/* Whether every row means a segment that is still there, as it was. */
static bool
rows_are_true (GHashTable *rows, const GArray *segments)
{
  guint found = 0;
  for (guint i = 0; i < segments->len; i++)
    {
      const CsSegmentInfo *info = &g_array_index (segments, CsSegmentInfo, i);
      const guint64 *nonce = g_hash_table_lookup (rows, GUINT_TO_POINTER (info->number));
      /* The nonce of a damaged one may be unreadable; look-ups pass it over anyway. */
      if (nonce != NULL && *nonce != info->nonce && !info->damaged)
        return false;
      found += nonce != NULL;
    }
  return found == g_hash_table_size (rows);
}

static bool
add_from_segment (CsIndex *index, CsSegmentTable *table, guint32 number, GError **error)
{
  g_autoptr (CsSegment) segment = cs_segment_table_open (table, number, NULL);
  if (segment == NULL)
    return true;
  guint32 frames = cs_segment_n_frames (segment);
  gsize frame_hashes = CS_FRAME_PAGES * CS_HASH_LENGTH;
  g_autofree guint8 *hashes = g_malloc0 (frames * frame_hashes);
  g_autofree CsFrame *frame = g_new (CsFrame, 1);
  for (guint32 i = 0; i < frames; i++)
    {
      if (cs_segment_frame_pages (segment, i) == 0)
        continue;
      if (cs_segment_read_hashes (segment, i, frame, NULL))
        memcpy (hashes + i * frame_hashes, frame->hashes, frame->pages * CS_HASH_LENGTH);
      else
        cs_segment_table_note_damage (table, number);
    }
  return cs_index_add_segment (index, number, cs_segment_nonce (segment), hashes,
                               frames * CS_FRAME_PAGES, error);
}

bool
cs_index_match (CsIndex *index, CsSegmentTable *table, GError **error)
{
  g_autoptr (GHashTable) rows = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  g_autoptr (GArray) segments = cs_segment_table_list (table);
  if (index->given_up) /* nobody else has the index yet */
    return true;
  if (!cs_index_write (index, read_rows, rows, error))
    return false;
  if (!rows_are_true (rows, segments))
    {
      if (!cs_index_write (index, empty, NULL, error))
        return false;
      g_hash_table_remove_all (rows);
    }
  for (guint i = 0; i < segments->len; i++)
    {
      const CsSegmentInfo *info = &g_array_index (segments, CsSegmentInfo, i);
      if (!info->damaged && !g_hash_table_contains (rows, GUINT_TO_POINTER (info->number))
          && !add_from_segment (index, table, info->number, error))
        return false;
    }
  return true;
}
