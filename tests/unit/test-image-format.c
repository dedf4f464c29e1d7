/* The layouts on disk: golden files that every version must read, and the bytes that this one
 * writes.  Also the small containers. */
#include "config.h"

#include "backend-double.h"
#include "unit.h"

#include "common/error.h"
#include "images/image-file.h"
#include "images/page-map.h"
#include "images/segment-format.h"
#include "images/segment-writer.h"
#include "images/segment.h"
#include "images/uuid.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char store_uuid[] = "00010203-0405-0607-0809-0a0b0c0d0e0f";
static const char image_id[] = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf";
static const char parent_id[] = "b0b1b2b3-b4b5-b6b7-b8b9-babbbcbdbebf";

static guint32
get32 (const guint8 *bytes)
{
  return (guint32)bytes[0] | (guint32)bytes[1] << 8 | (guint32)bytes[2] << 16
         | (guint32)bytes[3] << 24;
}

static guint64
get64 (const guint8 *bytes)
{
  return get32 (bytes) | (guint64)get32 (bytes + 4) << 32;
}

/* 40 pages: all bytes of page i are i + 1; frame 0 has 32 of them, frame 1 has 8. */
static void
make_frame (CsFrame *frame, guint32 ordinal, guint32 pages)
{
  frame->pages = pages;
  for (guint32 i = 0; i < pages; i++)
    {
      memset (frame->data + i * CS_PAGE_LENGTH, (int)(ordinal * CS_FRAME_PAGES + i + 1),
              CS_PAGE_LENGTH);
      memset (frame->hashes[i], (int)(i + 1), CS_HASH_LENGTH);
    }
}

static void
write_segment (CsBackend *backend)
{
  g_autoptr (GError) error = NULL;
  guint8 uuid[16];
  ck_assert (cs_uuid_parse (store_uuid, uuid));
  g_autoptr (CsSegmentWriter) writer = cs_segment_writer_new (backend, uuid, 7);
  g_autoptr (CsFrameCodec) codec = cs_frame_codec_new ();
  g_autofree CsFrame *frame = g_new (CsFrame, 1);
  gsize length;
  /* Out of order, and frame 2 is blank. */
  make_frame (frame, 1, 8);
  const void *encoded = cs_frame_encode (codec, frame, 1, &length);
  ck_assert (cs_segment_writer_append (writer, 1, encoded, length, 8, &error));
  make_frame (frame, 0, 32);
  encoded = cs_frame_encode (codec, frame, 0, &length);
  ck_assert (cs_segment_writer_append (writer, 0, encoded, length, 32, &error));
  CsSealedSegment sealed;
  ck_assert (cs_segment_writer_seal (writer, 3, false, &sealed, &error));
  ck_assert_uint_eq (sealed.pages, 40);
}

static void
check_segment (CsBackend *backend)
{
  g_autoptr (GError) error = NULL;
  guint8 uuid[16];
  ck_assert (cs_uuid_parse (store_uuid, uuid));
  g_autoptr (CsSegment) segment = cs_segment_open (backend, uuid, 7, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (cs_segment_n_frames (segment), 3);
  ck_assert_uint_eq (cs_segment_n_pages (segment), 40);
  ck_assert_uint_eq (cs_segment_frame_pages (segment, 1), 8);
  ck_assert_uint_eq (cs_segment_frame_pages (segment, 2), 0);
  ck_assert_uint_eq (cs_segment_frame_pages (segment, 3), 0);
  g_autoptr (CsFrameCodec) codec = cs_frame_codec_new ();
  g_autofree CsFrame *frame = g_new (CsFrame, 1);
  for (guint32 i = 0; i < 40; i++)
    {
      ck_assert (cs_segment_read_frame (segment, i / CS_FRAME_PAGES, codec, frame, &error));
      const guint8 *page = frame->data + i % CS_FRAME_PAGES * CS_PAGE_LENGTH;
      ck_assert_uint_eq (page[0], i + 1);
      ck_assert_mem_eq (page, page + 1, CS_PAGE_LENGTH - 1);
      ck_assert_uint_eq (frame->hashes[i % CS_FRAME_PAGES][31], i % CS_FRAME_PAGES + 1);
    }
  ck_assert (!cs_segment_read_frame (segment, 2, codec, frame, &error));
  unit_assert_error (error, CS_ERROR_CORRUPT);
}

static char *
golden_name (const char *name)
{
  const char *srcdir = g_getenv ("srcdir");
  return g_build_filename (srcdir != NULL ? srcdir : ".", "tests/unit/golden", name, NULL);
}

/* Reads golden file @name; with CLUSNAP_WRITE_GOLDEN set writes it first. */
static GBytes *
golden (const char *name, const void *data, gsize length)
{
  g_autofree char *file = golden_name (name);
  char *content;
  gsize n;
  if (data != NULL && g_getenv ("CLUSNAP_WRITE_GOLDEN") != NULL)
    ck_assert (g_file_set_contents (file, data, (gssize)length, NULL));
  ck_assert_msg (g_file_get_contents (file, &content, &n, NULL), "cannot read '%s'", file);
  return g_bytes_new_take (content, n);
}

START_TEST (segment_layout)
{
  g_autoptr (CsBackend) backend = backend_memory_new ();
  write_segment (backend);
  check_segment (backend);
  g_autofree char *data = NULL;
  gsize length;
  ck_assert (cs_backend_get (backend, "segments/00000007", G_MAXUINT32, &data, &length, NULL));
  const guint8 *bytes = (const guint8 *)data;
  ck_assert_mem_eq (bytes, "CLUSNAPS", 8);
  ck_assert_uint_eq (get32 (bytes + 8), 1);
  ck_assert_uint_eq (get32 (bytes + 12), 7);
  for (guint i = 0; i < 16; i++)
    ck_assert_uint_eq (bytes[16 + i], i);
  ck_assert_uint_eq (get64 (bytes + 56), XXH3_64bits (bytes, 56));
  /* The first frame in the file: number 1, 8 pages. */
  ck_assert_mem_eq (bytes + 64, "CFRM", 4);
  ck_assert_uint_eq (get32 (bytes + 68), 1);
  ck_assert_uint_eq (get32 (bytes + 72), 8);
  guint32 frame_length = 24 + 8 * 32 + get32 (bytes + 76);
  ck_assert_uint_eq (get64 (bytes + 80), XXH3_64bits_withSeed (bytes + 88, frame_length - 24,
                                                               XXH3_64bits (bytes + 64, 16)));
  ck_assert_uint_eq (bytes[88], 1);
  ck_assert_uint_eq (get32 (bytes + 88 + 8 * 32), 0xfd2fb528); /* zstd's magic */
  const guint8 *trailer = bytes + length - 40;
  const guint8 *entries = trailer - 3 * 16;
  ck_assert_uint_eq (get64 (entries), 64 + frame_length);
  ck_assert_uint_eq (get32 (entries + 12), 32);
  ck_assert_uint_eq (get64 (entries + 16), 64);
  ck_assert_uint_eq (get32 (entries + 24), frame_length);
  ck_assert_uint_eq (get32 (entries + 28), 8);
  ck_assert_uint_eq (get32 (entries + 40), 0);
  ck_assert_uint_eq (get32 (trailer), 3);
  ck_assert_uint_eq (get32 (trailer + 4), 40);
  ck_assert_uint_eq (get32 (trailer + 8), 7);
  ck_assert_uint_eq (get64 (trailer + 16), get64 (bytes + 32));
  ck_assert_uint_eq (get64 (trailer + 24),
                     XXH3_64bits_withSeed (entries, 48, XXH3_64bits (trailer, 24)));
  ck_assert_mem_eq (trailer + 32, "CLUSNAPE", 8);
  g_autoptr (GBytes) kept = golden ("segment-1.bin", data, length);
}
END_TEST

START_TEST (golden_segment_is_read)
{
  g_autoptr (GBytes) file = golden ("segment-1.bin", NULL, 0);
  g_autoptr (CsBackend) backend = backend_memory_new ();
  gsize length;
  const void *data = g_bytes_get_data (file, &length);
  ck_assert (cs_backend_put (backend, "segments/00000007", data, length, false, NULL));
  check_segment (backend);
}
END_TEST

static CsImageFile *
make_image (void)
{
  CsImageFile *file = cs_image_file_new (image_id, parent_id, 3);
  CsImageFileVolume *ram = cs_image_file_add_volume (file, CS_VOLUME_RAM, "pc.ram", 1 << 20, true);
  for (guint32 i = 0; i < 5; i++)
    cs_image_file_volume_append (ram, 10 + i, cs_location (7, 30 + i));
  cs_image_file_volume_append (ram, 15, CS_LOCATION_ZERO);
  cs_image_file_volume_append (ram, 16, CS_LOCATION_ZERO);
  cs_image_file_volume_append (ram, 255, cs_location (8, 0));
  cs_image_file_add_volume (file, CS_VOLUME_DEVICE_STATE, "devices", 0, false);
  return file;
}

static void
check_run (const CsImageFileVolume *volume, guint i, guint64 page, guint32 count,
           CsLocation location)
{
  const CsMapRun *run = &g_array_index (volume->runs, CsMapRun, i);
  ck_assert_uint_eq (run->page, page);
  ck_assert_uint_eq (run->count, count);
  ck_assert_uint_eq (run->location, location);
}

static void
check_image (const void *data, gsize length)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsImageFile) file = cs_image_file_decode (data, length, "golden", &error);
  unit_assert_no_error (error);
  ck_assert_str_eq (file->id, image_id);
  ck_assert_str_eq (file->parent, parent_id);
  ck_assert_uint_eq (file->depth, 3);
  ck_assert (!file->retired);
  ck_assert_uint_eq (file->volumes->len, 2);
  const CsImageFileVolume *ram = file->volumes->pdata[0], *devices = file->volumes->pdata[1];
  ck_assert_int_eq (ram->kind, CS_VOLUME_RAM);
  ck_assert_str_eq (ram->name, "pc.ram");
  ck_assert_uint_eq (ram->length, 1 << 20);
  ck_assert (ram->inherit && !devices->inherit);
  ck_assert_int_eq (devices->kind, CS_VOLUME_DEVICE_STATE);
  ck_assert_uint_eq (ram->runs->len, 3);
  check_run (ram, 0, 10, 5, cs_location (7, 30));
  check_run (ram, 1, 15, 2, CS_LOCATION_ZERO);
  check_run (ram, 2, 255, 1, cs_location (8, 0));
}

START_TEST (image_layout)
{
  g_autoptr (CsImageFile) file = make_image ();
  g_autoptr (GBytes) encoded = cs_image_file_encode (file, NULL);
  gsize length;
  const guint8 *bytes = g_bytes_get_data (encoded, &length);
  check_image (bytes, length);
  ck_assert_mem_eq (bytes, "CLUSNAPI", 8);
  ck_assert_uint_eq (get32 (bytes + 8), 1);
  ck_assert_uint_eq (get32 (bytes + 12), 0);
  ck_assert_uint_eq (bytes[16], 0xa0);
  ck_assert_uint_eq (bytes[47], 0xbf);
  ck_assert_uint_eq (get32 (bytes + 48), 3);
  ck_assert_uint_eq (get32 (bytes + 52), 2);
  ck_assert_uint_eq (get64 (bytes + 56), 32 + 6 + 3 * 20 + 32 + 7);
  ck_assert_uint_eq (get64 (bytes + 64), length - 80);
  ck_assert_uint_eq (get64 (bytes + 72),
                     XXH3_64bits_withSeed (bytes + 80, length - 80, XXH3_64bits (bytes, 72)));
  ck_assert_uint_eq (get32 (bytes + 80), 0xfd2fb528);
  g_autoptr (GBytes) kept = golden ("image-1.bin", bytes, length);
}
END_TEST

START_TEST (golden_image_is_read)
{
  g_autoptr (GBytes) file = golden ("image-1.bin", NULL, 0);
  gsize length;
  const void *data = g_bytes_get_data (file, &length);
  check_image (data, length);
}
END_TEST

/* What a parser must refuse although all checksums are right. */
static void
spoil (CsImageFile *file, int how)
{
  CsImageFileVolume *ram = file->volumes->pdata[0];
  CsMapRun *run = &g_array_index (ram->runs, CsMapRun, 1);
  switch (how)
    {
    case 0:
      run->page = 14; /* overlaps */
      break;
    case 1:
      run->count = 0;
      break;
    case 2:
      g_array_index (ram->runs, CsMapRun, 2).page = 256; /* behind the end */
      break;
    case 3:
      g_array_index (ram->runs, CsMapRun, 2).count = 2;
      break;
    case 4:
      run->location = cs_location (0, 5);
      break;
    case 5:
      run->location = cs_location (CS_SEGMENT_MAX_NUMBER + 1, 0);
      break;
    case 6:
      run->location = cs_location (1, CS_SEGMENT_MAX_POSITIONS - 1);
      break;
    case 7:
      ram->kind = (CsVolumeKind)9;
      break;
    case 8:
      ram->length = CS_VOLUME_LENGTH_MAX + 1;
      break;
    case 9:
      g_free (ram->name);
      ram->name = g_strdup ("");
      break;
    case 10:
      cs_image_file_add_volume (file, CS_VOLUME_RAM, "pc.ram", 1, false);
      break;
    case 11:
      file->depth = CS_IMAGE_MAX_DEPTH + 1;
      break;
    case 12:
      file->depth = 0;
      break;
    case 13:
      g_clear_pointer (&file->parent, g_free);
      break;
    default:
      ck_abort ();
    }
}

START_TEST (bad_images_are_refused)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsImageFile) file = make_image ();
  spoil (file, _i);
  g_autoptr (GBytes) encoded = cs_image_file_encode (file, NULL);
  gsize length;
  const void *data = g_bytes_get_data (encoded, &length);
  ck_assert (cs_image_file_decode (data, length, "spoilt", &error) == NULL);
  unit_assert_error (error, CS_ERROR_CORRUPT);
  ck_assert (strstr (error->message, "'spoilt'") != NULL);
}
END_TEST

START_TEST (uuids)
{
  static const char *const bad[] = { "",
                                     "A0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf",
                                     "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaea",
                                     "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf0",
                                     "a0a1a2a3a4a5-a6a7-a8a9-aaabacadaea--",
                                     "../../../../../../../../../../../../",
                                     "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeag" };
  guint8 bytes[16];
  ck_assert (cs_uuid_parse (image_id, bytes));
  g_autofree char *text = cs_uuid_format (bytes);
  ck_assert_str_eq (text, image_id);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    ck_assert_msg (!cs_uuid_parse (bad[i], bytes), "'%s'", bad[i]);
}
END_TEST

START_TEST (page_maps)
{
  const guint64 pages = 100000;
  g_autoptr (CsPageMap) map = cs_page_map_new (pages);
  g_autofree CsLocation *model = g_new0 (CsLocation, pages);
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  guint64 count = 0, found = 0, page;
  for (guint i = 0; i < 5000; i++)
    {
      guint64 at = (guint64)g_rand_int_range (random, 0, (gint32)pages / 2) * 2;
      CsLocation location = (CsLocation)g_rand_int_range (random, 0, 4);
      cs_page_map_set (map, at, location);
      model[at] = location;
    }
  cs_page_map_clear (map, 5000, 20000);
  memset (model + 5000, 0, 15000 * sizeof *model);
  for (guint64 i = 0; i < pages; i++)
    {
      ck_assert_uint_eq (cs_page_map_get (map, i), model[i]);
      count += model[i] != 0;
    }
  ck_assert_uint_eq (cs_page_map_count (map), count);
  for (guint64 from = 0; cs_page_map_next (map, from, &page); from = page + 1, found++)
    ck_assert_uint_ne (model[page], 0);
  ck_assert_uint_eq (found, count);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("image-format");
  TCase *cases = tcase_create ("image-format");
  tcase_add_test (cases, segment_layout);
  tcase_add_test (cases, golden_segment_is_read);
  tcase_add_test (cases, image_layout);
  tcase_add_test (cases, golden_image_is_read);
  tcase_add_loop_test (cases, bad_images_are_refused, 0, 14);
  tcase_add_test (cases, uuids);
  tcase_add_test (cases, page_maps);
  suite_add_tcase (suite, cases);
  return unit_run (suite);
}
