/* Content of pages, read from images ahead of the pause in which it is written.
 *
 * All of it lies in one mapping of fixed size, a slot for each page; what is dropped makes room for
 * others.  What is held belongs to the image that it was last read from or retargeted to.  Not
 * thread-safe: one owner at a time. */
#ifndef CS_VMM_HELD_PAGES_H
#define CS_VMM_HELD_PAGES_H

#include "common/bitmap.h"
#include "images/image.h"

typedef struct CsHeldPages CsHeldPages;
typedef struct CsHeldVolume CsHeldVolume;

/* Holds at most @budget bytes; maps them, which costs nothing until they are used. */
CsHeldPages *cs_held_pages_new (guint64 budget, GError **error);
void cs_held_pages_free (CsHeldPages *held);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsHeldPages, cs_held_pages_free)

/* Bytes of memory in use: never fewer than before. */
guint64 cs_held_pages_size (const CsHeldPages *held);
/* How many more pages the budget allows. */
guint64 cs_held_pages_room (const CsHeldPages *held);

/* What was @from's content becomes @to's: drops what is not known to be the same in both. */
void cs_held_pages_retarget (CsHeldPages *held, const CsImage *from, const CsImage *to);

/* The RAM block @name of @pages pages, made on first mention (or when it had another size).
 * Borrowed until then. */
CsHeldVolume *cs_held_pages_volume (CsHeldPages *held, const char *name, guint64 pages);
/* The pages of it whose content is held. */
const CsBitmap *cs_held_volume_set (const CsHeldVolume *volume);
/* Drops those that are not in @wanted (NULL: all). */
void cs_held_volume_retain (CsHeldVolume *volume, const CsBitmap *wanted);
/* Reads the pages of @wanted, none of them zero or held, from volume @number of @image, as many as
 * the budget allows: takes those it could not read out of @wanted. */
bool cs_held_volume_read (CsHeldVolume *volume, CsImage *image, guint number, CsBitmap *wanted,
                          GError **error);
/* The content of a page that is held. */
const void *cs_held_volume_page (const CsHeldVolume *volume, guint64 page);

#endif
