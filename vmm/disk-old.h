/* One disk's rollback: which pages are written, and their old content, as far as it is read ahead.
 * Private to disk-rollback.c. */
#ifndef CS_VMM_DISK_OLD_H
#define CS_VMM_DISK_OLD_H

#include "common/bitmap.h"
#include "images/image.h"

typedef struct CsDiskOld CsDiskOld;

/* Volume @volume of @target (borrowed) is what the disk becomes. */
CsDiskOld *cs_disk_old_new (CsImage *target, guint volume);
void cs_disk_old_free (CsDiskOld *old);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDiskOld, cs_disk_old_free)

/* The pages to write: more are added any time, also after reading ahead; the empty set at first. */
CsBitmap *cs_disk_old_wanted (CsDiskOld *old);
void cs_disk_old_want_all (CsDiskOld *old);
/* Those where the target's content is not certainly that of @base's volume. */
void cs_disk_old_want_difference (CsDiskOld *old, const CsImage *base, guint base_volume);
/* Gives up the pages that are zero in the target and not in @nonzero: nothing is to do there. */
void cs_disk_old_drop_zero (CsDiskOld *old, const CsBitmap *nonzero);

/* Reads content of pages wanted so far, at most *@budget bytes, which is lessened by what it took.
 * Once. */
bool cs_disk_old_read_ahead (CsDiskOld *old, guint64 *budget, GError **error);

/* What is written next. */
typedef struct
{
  guint64 page, count;
  bool zero;
  const void *data; /* read ahead, or NULL: @zero, or still to be read */
} CsDiskPiece;

/* The pieces in rising order, at most @max pages of data each.  Begin with a zeroed *@piece; false
 * after the last. */
bool cs_disk_old_next (CsDiskOld *old, guint64 max, CsDiskPiece *piece);
/* The content of a piece that was not read ahead. */
bool cs_disk_old_read (CsDiskOld *old, const CsDiskPiece *piece, void *buffer, GError **error);

#endif
