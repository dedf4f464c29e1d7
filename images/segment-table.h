/* The published segments of a store, and a bounded number of them kept open.
 *
 * Threads: any; one lock inside, never held across I/O. */
#ifndef CS_IMAGES_SEGMENT_TABLE_H
#define CS_IMAGES_SEGMENT_TABLE_H

#include "images/segment.h"

typedef struct CsSegmentTable CsSegmentTable;

typedef struct
{
  guint32 number;
  guint64 nonce;
  guint64 size;   /* bytes */
  guint32 pages;  /* not blank */
  bool damaged;   /* header, footer or a frame was found damaged */
  bool condemned; /* garbage collection is at it: no new reference may be made */
} CsSegmentInfo;

/* Lists the segments of @backend.  A segment that cannot be read is damaged, which is
 * no error here. */
CsSegmentTable *cs_segment_table_new (CsBackend *backend, const guint8 *store, GError **error);
void cs_segment_table_free (CsSegmentTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsSegmentTable, cs_segment_table_free)

/* A table of a store that another process changes: it lists nothing, and knows every segment that
 * is there at the moment of opening it. */
CsSegmentTable *cs_segment_table_new_reader (CsBackend *backend, const guint8 *store);

/* The segment open for reading (a reference), or NULL with CORRUPT. */
CsSegment *cs_segment_table_open (CsSegmentTable *table, guint32 number, GError **error);

/* Adds a published segment, or replaces what is known about it; an older version that is open
 * stays usable for those who hold it. */
void cs_segment_table_set (CsSegmentTable *table, const CsSegmentInfo *info);
void cs_segment_table_remove (CsSegmentTable *table, guint32 number);

/* Whether new references to its pages may be made: known, not damaged, not condemned. */
bool cs_segment_table_usable (CsSegmentTable *table, guint32 number);
void cs_segment_table_condemn (CsSegmentTable *table, guint32 number, bool condemned);
void cs_segment_table_note_damage (CsSegmentTable *table, guint32 number);

/* GArray of CsSegmentInfo by number (g_array_unref). */
GArray *cs_segment_table_list (CsSegmentTable *table);

guint32 cs_segment_table_highest (CsSegmentTable *table); /* 0: none */

#endif
