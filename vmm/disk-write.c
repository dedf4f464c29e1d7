#include "config.h"

#include "vmm/disk-write.h"

#include "common/fault.h"

#include <string.h>

#define IN_FLIGHT 16
#define PIECE_PAGES 128
#define ZERO_MAX (G_GUINT64_CONSTANT (1) << 30)
/* Zeros of less than this are written as data: an image file's metadata costs more. */
#define SMALL_ZERO_PAGES 16

struct CsDiskWriter
{
  char *buffers;            /* IN_FLIGHT * PIECE_PAGES pages */
  char *zeros;              /* SMALL_ZERO_PAGES pages */
  gint64 number[IN_FLIGHT]; /* requests, or 0 */
  guint next;
  bool fault_passed;
};

typedef struct
{
  CsDiskWriter *writer;
  CsNbd *nbd;
  guint64 size;
  bool *touched;
  guint64 *bytes;
} Run;

CsDiskWriter *
cs_disk_writer_new (void)
{
  CsDiskWriter *writer = g_new0 (CsDiskWriter, 1);
  gsize length = (gsize)IN_FLIGHT * PIECE_PAGES * CS_PAGE_SIZE;
  writer->buffers = g_malloc (length);
  /* Not calloc: the pages are to be there before the pause. */
  memset (writer->buffers, 1, length);
  writer->zeros = g_malloc (SMALL_ZERO_PAGES * CS_PAGE_SIZE);
  memset (writer->zeros, 0, SMALL_ZERO_PAGES * CS_PAGE_SIZE);
  return writer;
}

void
cs_disk_writer_free (CsDiskWriter *writer)
{
  if (writer == NULL)
    return;
  g_free (writer->buffers);
  g_free (writer->zeros);
  g_free (writer);
}

/* Waits until slot @i is free. */
static bool
finish (Run *run, guint i, GError **error)
{
  CsDiskWriter *writer = run->writer;
  gint64 number = writer->number[i];
  writer->number[i] = 0;
  if (number == 0)
    return true;
  if (!cs_nbd_wait (run->nbd, number, error))
    return false;
  if (writer->fault_passed)
    return true;
  writer->fault_passed = true;
  return cs_fault_point ("rollback-disks", error);
}

/* @data NULL: zeros. */
static bool
start (Run *run, const void *data, guint64 offset, guint64 length, GError **error)
{
  CsDiskWriter *writer = run->writer;
  *run->touched = true;
  gint64 number = data != NULL ? cs_nbd_write (run->nbd, data, length, offset, error)
                               : cs_nbd_zero (run->nbd, length, offset, error);
  writer->number[writer->next] = MAX (number, 0);
  writer->next = (writer->next + 1) % IN_FLIGHT;
  *run->bytes += length;
  return number > 0 && finish (run, writer->next, error);
}

static bool
write_zeros (Run *run, const CsDiskPiece *piece, GError **error)
{
  guint64 at = piece->page * CS_PAGE_SIZE;
  guint64 end = MIN (at + piece->count * CS_PAGE_SIZE, run->size);
  const void *data = piece->count < SMALL_ZERO_PAGES ? run->writer->zeros : NULL;
  for (guint64 length; at < end; at += length)
    {
      length = MIN (ZERO_MAX, end - at);
      if (!start (run, data, at, length, error))
        return false;
    }
  return true;
}

static bool
write_piece (Run *run, CsDiskOld *old, const CsDiskPiece *piece, GError **error)
{
  CsDiskWriter *writer = run->writer;
  if (piece->zero)
    return write_zeros (run, piece, error);
  const void *data = piece->data;
  if (data == NULL)
    {
      char *buffer = writer->buffers + (gsize)writer->next * PIECE_PAGES * CS_PAGE_SIZE;
      if (!cs_disk_old_read (old, piece, buffer, error))
        return false;
      data = buffer;
    }
  guint64 offset = piece->page * CS_PAGE_SIZE;
  return start (run, data, offset, MIN (piece->count * CS_PAGE_SIZE, run->size - offset), error);
}

bool
cs_disk_writer_run (CsDiskWriter *writer, CsNbd *nbd, guint64 size, CsDiskOld *old, bool *touched,
                    guint64 *bytes, GError **error)
{
  Run run = { writer, nbd, size, touched, bytes };
  CsDiskPiece piece = { 0 };
  memset (writer->number, 0, sizeof writer->number);
  while (cs_disk_old_next (old, PIECE_PAGES, &piece))
    if (!write_piece (&run, old, &piece, error))
      return false;
  for (guint i = 0; i < IN_FLIGHT; i++)
    if (!finish (&run, (writer->next + i) % IN_FLIGHT, error))
      return false;
  return true;
}
