/* Runs a fuzz target over its checked-in corpus, $srcdir/tests/fuzz/CORPUS, without libFuzzer. */
#include "config.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

int
main (void)
{
  const char *source = g_getenv ("srcdir");
  g_autofree char *path =
      g_build_filename (source != NULL ? source : ".", "tests/fuzz", CORPUS, NULL);
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  guint count = 0;
  const char *name;
  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);
      g_autofree char *data = NULL;
      gsize size;
      if (!g_file_get_contents (file, &data, &size, NULL))
        continue;
      /* A copy of just that size, so that a sanitizer sees what reads past it; never NULL. */
      g_autofree guint8 *exact = g_malloc (MAX (size, 1));
      memcpy (exact, data, size);
      LLVMFuzzerTestOneInput (exact, size);
      count++;
    }
  printf ("%u inputs\n", count);
  return count > 0 ? 0 : 1;
}
