#include "config.h"

#include "store-fixture.h"

#include "unit.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>

char *
fixture_directory (void)
{
  g_autoptr (GError) error = NULL;
  char *path = g_dir_make_tmp ("clusnap-images-XXXXXX", &error);
  unit_assert_no_error (error);
  return path;
}

static int
remove_one (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  return remove (path);
}

void
fixture_remove (char *directory)
{
  nftw (directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  g_free (directory);
}

char *
fixture_init (const char *directory)
{
  g_autoptr (GError) error = NULL;
  char *path = g_build_filename (directory, "store", NULL);
  cs_store_init (path, &error);
  unit_assert_no_error (error);
  return path;
}

CsStore *
fixture_open (const char *path)
{
  g_autoptr (GError) error = NULL;
  CsStore *store = cs_store_open (path, &error);
  unit_assert_no_error (error);
  return store;
}

void
fixture_page (guint32 seed, guint8 page[CS_PAGE_SIZE])
{
  memset (page, 0, CS_PAGE_SIZE);
  guint32 state = seed;
  for (guint i = 0; seed != 0 && i < CS_PAGE_SIZE / 2; i += sizeof state)
    {
      state = state * 1664525u + 1013904223u;
      memcpy (page + i, &state, sizeof state);
    }
}

void
fixture_check_page (guint32 seed, const guint8 *page)
{
  guint8 expected[CS_PAGE_SIZE];
  fixture_page (seed, expected);
  ck_assert_msg (memcmp (page, expected, CS_PAGE_SIZE) == 0, "page with seed %u is another one",
                 seed);
}

char *
fixture_write (CsStore *store, const char *parent, const guint32 *seeds, guint n,
               CsImageStats *stats)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, parent, &error);
  unit_assert_no_error (error);
  guint volume;
  guint8 page[CS_PAGE_SIZE];
  cs_image_writer_add_volume (writer, CS_VOLUME_RAM, "ram", (guint64)n * CS_PAGE_SIZE, true,
                              &volume, &error);
  unit_assert_no_error (error);
  for (guint i = 0; i < n; i++)
    if (seeds[i] != FIXTURE_KEEP)
      {
        fixture_page (seeds[i], page);
        cs_image_writer_put (writer, volume, i, 1, page, &error);
        unit_assert_no_error (error);
      }
  char *id = cs_image_writer_finish (writer, stats, &error);
  unit_assert_no_error (error);
  return id;
}

typedef struct
{
  const guint32 *seeds;
  guint seen;
} Expected;

static bool
check_one (guint64 page, const void *data, void *user_data, GError **error)
{
  Expected *expected = user_data;
  fixture_check_page (expected->seeds[page], data);
  expected->seen++;
  return true;
}

CsImage *
fixture_image (CsStore *store, const guint32 *seeds, guint n)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *id = fixture_write (store, NULL, seeds, n, NULL);
  ck_assert (cs_store_commit (store, &error));
  CsImage *image = cs_image_open (store, id, &error);
  unit_assert_no_error (error);
  return image;
}

void
fixture_check (CsStore *store, const char *id, const guint32 *seeds, guint n)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsImage) image = cs_image_open (store, id, &error);
  unit_assert_no_error (error);
  guint volume;
  CsVolumeInfo info;
  ck_assert (cs_image_find_volume (image, CS_VOLUME_RAM, "ram", &volume));
  cs_image_volume_info (image, volume, &info);
  ck_assert_uint_eq (info.length, (guint64)n * CS_PAGE_SIZE);
  g_autofree guint8 *data = g_malloc ((gsize)n * CS_PAGE_SIZE + 1);
  cs_image_read (image, volume, 0, n, data, &error);
  unit_assert_no_error (error);
  guint present = 0;
  for (guint i = 0; i < n; i++)
    {
      fixture_check_page (seeds[i], data + (gsize)i * CS_PAGE_SIZE);
      ck_assert (cs_image_page_is_zero (image, volume, i) == (seeds[i] == 0));
      present += seeds[i] != 0;
    }
  ck_assert_uint_eq (info.pages_present, present);
  Expected expected = { .seeds = seeds };
  cs_image_foreach (image, volume, check_one, &expected, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (expected.seen, present);
  guint64 pages;
  cs_image_verify (image, NULL, NULL, &pages, &error);
  unit_assert_no_error (error);
  ck_assert_uint_le (pages, present);
}

void
fixture_name (CsStore *store, const char *snapshot, const char *image)
{
  g_autoptr (GError) error = NULL;
  json_object *manifest = json_object_new_object ();
  json_object *images = json_object_new_array ();
  if (image != NULL)
    json_object_array_add (images, json_object_new_string (image));
  json_object_object_add (manifest, "images", images);
  cs_store_manifest_put (store, "c", snapshot, manifest, &error);
  json_object_put (manifest);
  unit_assert_no_error (error);
}

guint64
fixture_count_segments (CsStore *store)
{
  g_autoptr (GError) error = NULL;
  CsStoreStats stats;
  cs_store_stats (store, &stats, &error);
  unit_assert_no_error (error);
  return stats.segments;
}
