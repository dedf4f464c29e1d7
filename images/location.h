/* Where the content of a page lies: 64 bits, segment << 32 | frame << 5 | slot.
 *
 * A location never changes while anything refers to it: garbage collection
 * rewrites segments under the same number and with the same frames and slots. */
#ifndef CS_IMAGES_LOCATION_H
#define CS_IMAGES_LOCATION_H

#include <glib.h>

#define CS_PAGE_LENGTH 4096u
#define CS_HASH_LENGTH 32u
#define CS_FRAME_PAGES 32u
#define CS_SEGMENT_MAX_FRAMES 65535u
#define CS_SEGMENT_MAX_POSITIONS (CS_SEGMENT_MAX_FRAMES * CS_FRAME_PAGES)
/* Segment numbers start at 1 and have 8 decimal digits in object names. */
#define CS_SEGMENT_MAX_NUMBER 99999999u

typedef guint64 CsLocation;

/* A page of zeros: stored nowhere. */
#define CS_LOCATION_ZERO ((CsLocation)0)

/* @position: frame * CS_FRAME_PAGES + slot. */
static inline CsLocation
cs_location (guint32 segment, guint32 position)
{
  return (CsLocation)segment << 32 | position;
}

static inline guint32
cs_location_segment (CsLocation location)
{
  return (guint32)(location >> 32);
}

static inline guint32
cs_location_position (CsLocation location)
{
  return (guint32)location;
}

static inline guint32
cs_location_frame (CsLocation location)
{
  return cs_location_position (location) / CS_FRAME_PAGES;
}

static inline guint32
cs_location_slot (CsLocation location)
{
  return cs_location_position (location) % CS_FRAME_PAGES;
}

/* Pages that @length bytes need. */
static inline guint64
cs_pages_of_length (guint64 length)
{
  return length / CS_PAGE_LENGTH + (length % CS_PAGE_LENGTH != 0);
}

#endif
