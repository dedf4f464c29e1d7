/* libFuzzer: the parser of image files.  The input is taken as it is, and again as header and
 * uncompressed body, for which lengths and checksum are made right. */
#include "config.h"

#include "images/image-file.h"

#include <string.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize length);

static void
try_decode (const void *data, gsize length)
{
  g_autoptr (CsImageFile) file = cs_image_file_decode (data, length, "fuzzed", NULL);
  if (file == NULL)
    return;
  /* What was accepted must come out as it went in. */
  g_autoptr (GBytes) encoded = cs_image_file_encode (file, NULL);
  gsize n;
  const void *bytes = g_bytes_get_data (encoded, &n);
  g_autoptr (CsImageFile) again = cs_image_file_decode (bytes, n, "encoded", NULL);
  g_assert (again != NULL && again->volumes->len == file->volumes->len);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize length)
{
  CsImageHeader header;
  try_decode (data, length);
  if (length < sizeof header)
    return 0;
  gsize body = length - sizeof header;
  gsize room = ZSTD_compressBound (body);
  g_autofree guint8 *file = g_malloc (sizeof header + room);
  gsize n = ZSTD_compress (file + sizeof header, room, data + sizeof header, body, 1);
  memcpy (&header, data, sizeof header);
  memcpy (header.magic, CS_IMAGE_MAGIC, sizeof header.magic);
  header.version = GUINT32_TO_LE (CS_IMAGE_VERSION);
  header.raw_length = GUINT64_TO_LE (body);
  header.length = GUINT64_TO_LE (n);
  header.checksum = GUINT64_TO_LE (cs_image_checksum (&header, file + sizeof header, n));
  memcpy (file, &header, sizeof header);
  try_decode (file, sizeof header + n);
  return 0;
}
