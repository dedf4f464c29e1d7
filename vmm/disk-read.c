/* Which extents of a disk are read, and how.
 *
 * Theory of operation.  Two sets of 4 KiB pages are made from block status: the wanted ones (the
 * dirty bitmap's extents, grown to whole pages) and the ones with data (what base:allocation
 * does not call zero, grown as well).  Wanted pages without data are handed on as zero, unread. The
 * rest is read in pieces of up to 1 MiB, several of them in flight, and handed on in rising order.
 *
 * The export shows the disk as it was at the cut, but block status, unlike read and write, is
 * not serialized with the copying of what the guest overwrites: QEMU may find a range absent from
 * the scratch image, then the guest's discard may copy it there and finish, then QEMU finds it
 * zero in the disk: a wrong zero.  Therefore each range is asked for twice, one after the other,
 * and zero is only what both call zero: if the first answer was wrong that way, the copy was in the
 * scratch image before that answer came, so the second one sees it. */
#include "config.h"

#include "vmm/disk-read.h"

#include "common/error.h"
#include "images/image.h"
#include "vmm/disk-nbd.h"
#include "vmm/disk-private.h"

#include <string.h>

#define PIECE_PAGES 256
#define IN_FLIGHT 8
#define STATUS_MAX (G_GUINT64_CONSTANT (1) << 30)

/* From NBD's and QEMU's protocol documents: base:allocation's NBD_STATE_ZERO and
 * qemu:dirty-bitmap's NBD_STATE_DIRTY. */
#define STATE_ZERO 2
#define STATE_DIRTY 1

/* Guests write to the scratch file system meanwhile: stop while they still can. */
#define SPACE_LOW (G_GUINT64_CONSTANT (64) << 20)
#define SPACE_EVERY 64 /* pieces */

typedef struct
{
  CsNbd *nbd;
  guint64 size;
  CsBitmap *wanted;
  CsBitmap *data;
  CsDiskScratch *scratch;
  CsDiskExtentFunc func;
  void *user_data;
} Reader;

typedef struct
{
  char *buffer;
  gint64 number; /* of the request; 0 for a zero piece */
  guint64 offset, length;
} Slot;

typedef struct
{
  Slot slots[IN_FLIGHT];
  guint first, used; /* a ring */
} Ring;

/* The pages that [offset, offset + length) touches. */
static void
set_touched (CsBitmap *set, guint64 offset, guint64 length)
{
  guint64 first = offset / CS_PAGE_SIZE;
  guint64 end = (offset + length + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE;
  cs_bitmap_set_range (set, first, MIN (end, cs_bitmap_size (set)) - first);
}

static void
take_dirty (guint64 offset, guint64 length, guint32 flags, void *set)
{
  if (flags & STATE_DIRTY)
    set_touched (set, offset, length);
}

static void
take_allocation (guint64 offset, guint64 length, guint32 flags, void *set)
{
  if (!(flags & STATE_ZERO))
    set_touched (set, offset, length);
}

bool
cs_disk_load_dirty (CsNbd *nbd, guint64 size, CsBitmap *set, GError **error)
{
  for (guint64 at = 0; at < size;)
    if (!cs_nbd_block_status (nbd, at, MIN (STATUS_MAX, size - at), take_dirty, set, &at, error))
      return false;
  return true;
}

bool
cs_disk_load_allocated (CsNbd *nbd, guint64 begin, guint64 end, CsBitmap *set, GError **error)
{
  for (guint64 at = begin; at < end;)
    if (!cs_nbd_block_status (nbd, at, MIN (STATUS_MAX, end - at), take_allocation, set, &at,
                              error))
      return false;
  return true;
}

static bool
load_wanted (Reader *reader, const char *path, const char *export, const char *bitmap,
             GError **error)
{
  if (bitmap == NULL)
    {
      cs_bitmap_set_range (reader->wanted, 0, cs_bitmap_size (reader->wanted));
      return true;
    }
  g_autofree char *context = g_strconcat ("qemu:dirty-bitmap:", bitmap, NULL);
  g_autoptr (CsNbd) nbd = cs_nbd_connect (path, export, context, error);
  return nbd != NULL && cs_disk_load_dirty (nbd, reader->size, reader->wanted, error);
}

/* Asks only where something is wanted. */
static bool
load_data (Reader *reader, GError **error)
{
  guint64 page = 0, count;
  while (cs_bitmap_next_run (reader->wanted, page, &page, &count))
    {
      guint64 begin = page * CS_PAGE_SIZE;
      guint64 end = MIN (begin + STATUS_MAX, reader->size);
      if (!cs_disk_load_allocated (reader->nbd, begin, end, reader->data, error)
          || !cs_disk_load_allocated (reader->nbd, begin, end, reader->data, error))
        return false;
      page = (end + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE;
    }
  return true;
}

bool
cs_disk_next_piece (const CsBitmap *wanted, const CsBitmap *data, guint64 max, guint64 *page,
                    guint64 *count, bool *zero)
{
  guint64 data_first, data_count;
  if (!cs_bitmap_next_run (wanted, *page, page, count))
    return false;
  bool any = cs_bitmap_next_run (data, *page, &data_first, &data_count);
  *zero = !any || data_first > *page;
  if (*zero)
    *count = any ? MIN (*count, data_first - *page) : *count;
  else
    *count = MIN (MIN (*count, data_count), max);
  return true;
}

/* Hands the oldest piece on. */
static bool
finish_piece (Reader *reader, Ring *ring, GError **error)
{
  Slot *slot = &ring->slots[ring->first];
  ring->first = (ring->first + 1) % IN_FLIGHT;
  ring->used--;
  if (slot->number == 0)
    return reader->func (slot->offset, slot->length, NULL, reader->user_data, error);
  if (!cs_nbd_wait (reader->nbd, slot->number, error))
    return false;
  gsize tail = slot->length % CS_PAGE_SIZE;
  if (tail != 0)
    memset (slot->buffer + slot->length, 0, CS_PAGE_SIZE - tail);
  return reader->func (slot->offset, slot->length, slot->buffer, reader->user_data, error);
}

static bool
start_piece (Reader *reader, Ring *ring, guint64 page, guint64 count, bool zero, GError **error)
{
  Slot *slot = &ring->slots[(ring->first + ring->used) % IN_FLIGHT];
  ring->used++;
  slot->offset = page * CS_PAGE_SIZE;
  slot->length = MIN (count * CS_PAGE_SIZE, reader->size - slot->offset);
  slot->number = 0;
  if (!zero)
    slot->number = cs_nbd_read (reader->nbd, slot->buffer, slot->length, slot->offset, error);
  return slot->number >= 0;
}

static bool
read_pieces (Reader *reader, Ring *ring, GError **error)
{
  guint64 page = 0, count = 0;
  bool zero;
  for (guint64 n = 0;
       cs_disk_next_piece (reader->wanted, reader->data, PIECE_PAGES, &page, &count, &zero);
       page += count, n++)
    {
      if (ring->used == IN_FLIGHT && !finish_piece (reader, ring, error))
        return false;
      if (n % SPACE_EVERY == 0 && !cs_disk_scratch_check_space (reader->scratch, SPACE_LOW, error))
        return false;
      if (!start_piece (reader, ring, page, count, zero, error))
        return false;
    }
  while (ring->used > 0)
    if (!finish_piece (reader, ring, error))
      return false;
  return true;
}

static bool
run (Reader *reader, GError **error)
{
  Ring ring = { 0 };
  g_autofree char *buffers = g_malloc (IN_FLIGHT * PIECE_PAGES * CS_PAGE_SIZE);
  for (guint i = 0; i < IN_FLIGHT; i++)
    ring.slots[i].buffer = buffers + i * PIECE_PAGES * CS_PAGE_SIZE;
  bool ok = load_data (reader, error) && read_pieces (reader, &ring, error);
  /* Requests still in flight write into the buffers: the connection goes first. */
  g_clear_pointer (&reader->nbd, cs_nbd_free);
  return ok;
}

bool
cs_disk_read (const char *path, const char *export, const char *bitmap, guint64 size,
              CsDiskScratch *scratch, CsDiskExtentFunc func, void *user_data, GError **error)
{
  guint64 pages = (size + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE;
  g_autoptr (CsBitmap) wanted = cs_bitmap_new (pages);
  g_autoptr (CsBitmap) data = cs_bitmap_new (pages);
  g_autoptr (CsNbd) nbd = cs_nbd_connect (path, export, "base:allocation", error);
  if (nbd == NULL)
    return false;
  if (cs_nbd_size (nbd) != size)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_STATE,
                   "the disk was resized to %" G_GUINT64_FORMAT " bytes just before the cut",
                   cs_nbd_size (nbd));
      return false;
    }
  Reader reader = { g_steal_pointer (&nbd), size, wanted, data, scratch, func, user_data };
  bool ok = load_wanted (&reader, path, export, bitmap, error) && run (&reader, error);
  g_clear_pointer (&reader.nbd, cs_nbd_free);
  return ok;
}
