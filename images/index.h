/* The dedup index: SHA-256 of a page -> its location.  Only a cache.
 *
 * It never has an entry that leads to a page which is not published: entries are added
 * after a segment is, and removed before a page is taken away.  Every entry carries a
 * check of its own, so that a flipped bit makes a miss and no wrong hit.
 *
 * Threads: any.  A CsIndexReader has one owner.
 */
#ifndef CS_IMAGES_INDEX_H
#define CS_IMAGES_INDEX_H

#include "images/segment-table.h"

typedef struct CsIndex CsIndex;
typedef struct CsIndexReader CsIndexReader;

/* Opens or makes the index in @directory.  One that is damaged, or that a crash of the
 * host may have torn, is emptied.  Where even that fails (full disk), the index finds
 * nothing and remembers nothing. */
CsIndex *cs_index_open (const char *directory);
void cs_index_close (CsIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsIndex, cs_index_close)

/* Brings the index in line with the segments of @table: adds those it does not have,
 * starts afresh when it knows segments that are gone or have become others.  A damaged
 * segment is left out. */
bool cs_index_match (CsIndex *index, CsSegmentTable *table, GError **error);

/* Adds page i of @hashes (@n of 32 bytes; blank ones are passed over) as position i of segment
 * @number.  An older entry of the same hash is replaced. */
bool cs_index_add_segment (CsIndex *index, guint32 number, guint64 nonce, const guint8 *hashes,
                           guint32 n, GError **error);

/* Removes the segment from the index; of its pages those given: @hashes with @locations,
 * where an entry is removed only if it leads there. */
bool cs_index_remove (CsIndex *index, guint32 number, const guint8 *hashes,
                      const CsLocation *locations, guint32 n, GError **error);

/* Notes that what is left of segment @number's entries belongs to version @nonce. */
bool cs_index_set_segment (CsIndex *index, guint32 number, guint64 nonce, GError **error);

/* For who cannot write the index but must (before taking pages away): forgets all of it,
 * frees its space; the next opening builds it anew. */
void cs_index_give_up (CsIndex *index);

CsIndexReader *cs_index_reader_new (CsIndex *index);
void cs_index_reader_free (CsIndexReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsIndexReader, cs_index_reader_free)

/* Look-ups between begin and end see the index as it was at begin. */
void cs_index_reader_begin (CsIndexReader *reader);
/* CS_LOCATION_ZERO: not there. */
CsLocation cs_index_reader_find (CsIndexReader *reader, const guint8 hash[CS_HASH_LENGTH]);
void cs_index_reader_end (CsIndexReader *reader);

#endif
