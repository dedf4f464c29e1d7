#include "config.h"

#include "images/segment-writer.h"

#include "images/segment-format.h"
#include "images/segment.h"
#include "images/uuid.h"

#include <string.h>
#include <xxhash.h>

struct CsSegmentWriter
{
  /* immutable */
  CsBackend *backend;
  guint8 store[16];
  guint32 number;
  guint64 nonce;

  /* under lock */
  GMutex lock;
  CsUpload *upload; /* from the first append on */
  guint64 end;      /* where the next frame goes */
  GArray *entries;  /* CsSegmentEntry, host byte order */
};

CsSegmentWriter *
cs_segment_writer_new (CsBackend *backend, const guint8 *store, guint32 number)
{
  CsSegmentWriter *writer = g_new0 (CsSegmentWriter, 1);
  writer->backend = backend;
  memcpy (writer->store, store, sizeof writer->store);
  writer->number = number;
  cs_random_bytes (&writer->nonce, sizeof writer->nonce);
  g_mutex_init (&writer->lock);
  writer->entries = g_array_new (FALSE, TRUE, sizeof (CsSegmentEntry));
  return writer;
}

void
cs_segment_writer_free (CsSegmentWriter *writer)
{
  if (writer == NULL)
    return;
  cs_upload_abandon (writer->upload);
  g_array_unref (writer->entries);
  g_mutex_clear (&writer->lock);
  g_free (writer);
}

/* Lock held.  Held across the creation of the file: the other appenders need it too. */
static bool
begin (CsSegmentWriter *writer, GError **error)
{
  if (writer->upload != NULL)
    return true;
  g_autofree char *name = cs_segment_object_name (writer->number);
  g_autoptr (CsUpload) upload = cs_backend_begin (writer->backend, name, error);
  if (upload == NULL)
    return false;
  CsSegmentHeader header = {
    .magic = CS_SEGMENT_MAGIC,
    .version = GUINT32_TO_LE (CS_SEGMENT_VERSION),
    .number = GUINT32_TO_LE (writer->number),
    .nonce = GUINT64_TO_LE (writer->nonce),
  };
  memcpy (header.store, writer->store, sizeof header.store);
  header.checksum =
      GUINT64_TO_LE (XXH3_64bits (&header, G_STRUCT_OFFSET (CsSegmentHeader, checksum)));
  if (!cs_upload_write (upload, 0, &header, sizeof header, error))
    return false;
  writer->upload = g_steal_pointer (&upload);
  writer->end = sizeof header;
  return true;
}

bool
cs_segment_writer_append (CsSegmentWriter *writer, guint32 ordinal, const void *frame, gsize length,
                          guint32 pages, GError **error)
{
  g_mutex_lock (&writer->lock);
  bool ok = begin (writer, error);
  guint64 offset = writer->end;
  if (ok)
    {
      writer->end += length;
      if (ordinal >= writer->entries->len)
        g_array_set_size (writer->entries, ordinal + 1);
      g_array_index (writer->entries, CsSegmentEntry, ordinal) =
          (CsSegmentEntry){ .offset = offset, .length = (guint32)length, .pages = pages };
    }
  g_mutex_unlock (&writer->lock);
  return ok && cs_upload_write (writer->upload, offset, frame, length, error);
}

/* Entries (to little-endian) and the trailer behind them, as bytes (g_free). */
static void *
make_footer (CsSegmentWriter *writer, guint32 frames, guint32 *pages, gsize *length)
{
  gsize entries_length = frames * sizeof (CsSegmentEntry);
  guint8 *footer = g_malloc0 (entries_length + sizeof (CsSegmentTrailer));
  *pages = 0;
  for (guint32 i = 0; i < MIN (frames, writer->entries->len); i++)
    {
      const CsSegmentEntry *entry = &g_array_index (writer->entries, CsSegmentEntry, i);
      CsSegmentEntry stored = { .offset = GUINT64_TO_LE (entry->offset),
                                .length = GUINT32_TO_LE (entry->length),
                                .pages = GUINT32_TO_LE (entry->pages) };
      memcpy (footer + i * sizeof stored, &stored, sizeof stored);
      *pages += entry->pages;
    }
  CsSegmentTrailer trailer = {
    .frames = GUINT32_TO_LE (frames),
    .pages = GUINT32_TO_LE (*pages),
    .number = GUINT32_TO_LE (writer->number),
    .nonce = GUINT64_TO_LE (writer->nonce),
  };
  memcpy (trailer.magic, CS_SEGMENT_END_MAGIC, sizeof trailer.magic);
  XXH64_hash_t seed = XXH3_64bits (&trailer, G_STRUCT_OFFSET (CsSegmentTrailer, checksum));
  trailer.checksum = GUINT64_TO_LE (XXH3_64bits_withSeed (footer, entries_length, seed));
  memcpy (footer + entries_length, &trailer, sizeof trailer);
  *length = entries_length + sizeof trailer;
  return footer;
}

bool
cs_segment_writer_seal (CsSegmentWriter *writer, guint32 frames, bool replace,
                        CsSealedSegment *sealed, GError **error)
{
  g_mutex_lock (&writer->lock);
  bool ok = begin (writer, error);
  g_mutex_unlock (&writer->lock);
  if (!ok)
    return false;
  gsize length;
  g_autofree void *footer = make_footer (writer, frames, &sealed->pages, &length);
  sealed->nonce = writer->nonce;
  sealed->size = writer->end + length;
  return cs_upload_write (writer->upload, writer->end, footer, length, error)
         && cs_upload_publish (g_steal_pointer (&writer->upload), replace, error);
}
