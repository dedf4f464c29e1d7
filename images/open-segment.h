/* A segment that is being filled: which pages it has so far, and its writer.
 *
 * Pages get consecutive positions, so page n's hash is the n-th of an array, and the pending
 * table (hash -> position) holds nothing but position numbers.
 * Threads: none of its own; everything under the packer's lock, but for the writer. */
#ifndef CS_IMAGES_OPEN_SEGMENT_H
#define CS_IMAGES_OPEN_SEGMENT_H

#include "images/segment-writer.h"

typedef struct
{
  guint32 number;
  CsSegmentWriter *writer;

  /* under the packer's lock */
  guint32 n_pages;
  guint8 *hashes; /* n_pages of capacity */
  guint32 capacity;
  guint32 *slots; /* open addressing: position + 1, 0 is empty */
  guint32 n_slots;
  guint64 bytes;   /* of frames that have landed */
  guint in_flight; /* frames detached and not yet landed */
  bool full;       /* takes no more pages */
  bool failed;     /* will be given up */
  bool settling;   /* one thread is sealing it or giving it up */
} CsOpenSegment;

CsOpenSegment *cs_open_segment_new (CsBackend *backend, const guint8 *store, guint32 number);
void cs_open_segment_free (CsOpenSegment *segment);

bool cs_open_segment_find (const CsOpenSegment *segment, const guint8 *hash, guint32 *position);

/* Adds a page that find did not find; returns its position. */
guint32 cs_open_segment_add (CsOpenSegment *segment, const guint8 *hash);

#endif
