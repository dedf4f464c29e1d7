/* What is to be stored of memory dumps, counted without clusnap's store: all pages of 4 KiB, those
 * that are not zero, and how many of these differ from each other.
 *
 *   count-pages FILE...      prints "PAGES NON-ZERO DISTINCT" */
#include "config.h"

#include <glib.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
  PAGE = 4096,
};

static guint64 pages, non_zero;

static guint
digest_hash (gconstpointer key)
{
  guint value;
  memcpy (&value, key, sizeof value);
  return value;
}

static gboolean
digest_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, SHA256_DIGEST_LENGTH) == 0;
}

static void
count_page (GHashTable *distinct, const unsigned char *page)
{
  static const unsigned char zeros[PAGE];
  unsigned char digest[SHA256_DIGEST_LENGTH];
  pages++;
  if (memcmp (page, zeros, PAGE) == 0)
    return;
  non_zero++;
  SHA256 (page, PAGE, digest);
  if (!g_hash_table_contains (distinct, digest))
    g_hash_table_add (distinct, g_memdup2 (digest, sizeof digest));
}

static bool
count_file (GHashTable *distinct, const char *path)
{
  unsigned char page[PAGE];
  FILE *file = fopen (path, "rb");
  if (file == NULL)
    return false;
  while (fread (page, 1, PAGE, file) == PAGE)
    count_page (distinct, page);
  bool good = !ferror (file);
  fclose (file);
  return good;
}

int
main (int argc, char **argv)
{
  g_autoptr (GHashTable) distinct = g_hash_table_new_full (digest_hash, digest_equal, g_free, NULL);
  for (int i = 1; i < argc; i++)
    if (!count_file (distinct, argv[i]))
      {
        fprintf (stderr, "count-pages: cannot read '%s'\n", argv[i]);
        return EXIT_FAILURE;
      }
  printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %u\n", pages, non_zero,
          g_hash_table_size (distinct));
  return EXIT_SUCCESS;
}
