/* What the store costs: MB/s for new, known and zero pages, beside what could be had without it
 * from the same data in the same run: a plain copy, and reading - zstd -1 - writing.
 * Elapsed time, and processor time of all threads: the latter tells on a busy machine, too.
 *
 *   bench-store DIRECTORY [MIB]     DIRECTORY: on the disk to measure */
#include "config.h"

#include "images/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#define BLOCK (128u << 10)

static G_NORETURN void
die (const char *what, const GError *error)
{
  fprintf (stderr, "bench-store: %s: %s\n", what,
           error != NULL ? error->message : g_strerror (errno));
  exit (1);
}

/* Like a guest's memory: a quarter of each page is random, the rest words of a small vocabulary;
 * zstd -1 halves it. */
static guint8 *
make_data (gsize length)
{
  static const char *const words[] = { "struct ", "page ", "\0\0\0\0\0\0\0\0", "return ",
                                       "0x0000" };
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  guint8 *data = g_malloc (length);
  for (gsize at = 0; at < length;)
    {
      const char *word = words[g_rand_int_range (random, 0, G_N_ELEMENTS (words))];
      guint32 value = g_rand_int (random);
      gsize n = MIN (6, length - at);
      memcpy (data + at, word, n);
      at += n;
      n = MIN (sizeof value, length - at);
      memcpy (data + at, &value, n);
      at += n;
    }
  return data;
}

typedef struct
{
  gint64 elapsed;
  gint64 processor;
} Clock;

/* MB/s */
typedef struct
{
  double elapsed;
  double processor;
} Rate;

static Clock
now (void)
{
  struct timespec used;
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &used);
  return (Clock){ g_get_monotonic_time (), used.tv_sec * G_USEC_PER_SEC + used.tv_nsec / 1000 };
}

static Rate
rate (gsize length, Clock begin)
{
  Clock end = now ();
  return (Rate){ (double)length / (double)(end.elapsed - begin.elapsed),
                 (double)length / (double)(end.processor - begin.processor) };
}

static void
print (const char *what, Rate speed, Rate base)
{
  printf ("%-36s %6.0f MB/s %6.2f x   %6.0f MB/s of processor %6.2f x\n", what, speed.elapsed,
          speed.elapsed / base.elapsed, speed.processor, speed.processor / base.processor);
}

static int
create (const char *path)
{
  int fd = open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    die (path, NULL);
  return fd;
}

static void
put (int fd, const void *data, gsize length)
{
  for (const char *next = data; length > 0;)
    {
      ssize_t n = write (fd, next, length);
      if (n < 0)
        die ("write", NULL);
      next += n;
      length -= (gsize)n;
    }
}

/* cat FILE | zstd -1 >OUT (or without zstd), and fsync: what `cat` does plus what a store must. */
static Rate
copy (const char *directory, gsize length, bool compress, double *ratio)
{
  g_autofree char *from = g_build_filename (directory, "plain", NULL);
  g_autofree char *to = g_build_filename (directory, "copy", NULL);
  g_autofree guint8 *block = g_malloc (BLOCK);
  g_autofree guint8 *packed = g_malloc (ZSTD_COMPRESSBOUND (BLOCK));
  ZSTD_CCtx *context = ZSTD_createCCtx ();
  int in = open (from, O_RDONLY | O_CLOEXEC), out = create (to);
  Clock begin = now ();
  gsize written = 0;
  for (ssize_t n; (n = read (in, block, BLOCK)) > 0;)
    {
      gsize m = compress ? ZSTD_compressCCtx (context, packed, ZSTD_COMPRESSBOUND (BLOCK), block,
                                              (gsize)n, 1)
                         : (gsize)n;
      put (out, compress ? packed : block, m);
      written += m;
    }
  if (fsync (out) < 0)
    die (to, NULL);
  Rate speed = rate (length, begin);
  *ratio = (double)length / (double)written;
  close (in);
  close (out);
  unlink (to);
  ZSTD_freeCCtx (context);
  return speed;
}

typedef struct
{
  CsStore *store;
  const guint8 *data;
  gsize length;
  char *id;
  CsImageStats stats;
} Job;

static gpointer
write_image (gpointer user_data)
{
  Job *job = user_data;
  g_autoptr (GError) error = NULL;
  guint volume;
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (job->store, NULL, &error);
  if (writer == NULL
      || !cs_image_writer_add_volume (writer, CS_VOLUME_RAM, "ram", job->length, true, &volume,
                                      &error))
    die ("image", error);
  /* In pieces, as a tracker reads them. */
  for (gsize at = 0; at < job->length; at += 1 << 20)
    if (!cs_image_writer_put (writer, volume, at / CS_PAGE_SIZE,
                              MIN (1 << 20, job->length - at) / CS_PAGE_SIZE, job->data + at,
                              &error))
      die ("put", error);
  job->id = cs_image_writer_finish (writer, &job->stats, &error);
  if (job->id == NULL)
    die ("finish", error);
  return NULL;
}

static Rate
store_images (Job *jobs, guint n)
{
  g_autoptr (GError) error = NULL;
  GThread *threads[8];
  Clock begin = now ();
  for (guint i = 0; i < n; i++)
    threads[i] = g_thread_new ("writer", write_image, &jobs[i]);
  for (guint i = 0; i < n; i++)
    g_thread_join (threads[i]);
  if (!cs_store_commit (jobs[0].store, &error))
    die ("commit", error);
  return rate (jobs[0].length * n, begin);
}

static bool
ignore_page (guint64 page, const void *data, void *user_data, GError **error)
{
  return true;
}

static Rate
read_image (const Job *job)
{
  g_autoptr (GError) error = NULL;
  Clock begin = now ();
  g_autoptr (CsImage) image = cs_image_open (job->store, job->id, &error);
  if (image == NULL || !cs_image_foreach (image, 0, ignore_page, NULL, &error))
    die ("read", error);
  return rate (job->length, begin);
}

static double
fault_pages (const Job *job, guint count)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GRand) random = g_rand_new_with_seed (2);
  guint8 page[CS_PAGE_SIZE];
  g_autoptr (CsImage) image = cs_image_open (job->store, job->id, &error);
  gint64 begin = g_get_monotonic_time ();
  for (guint i = 0; i < count; i++)
    if (image == NULL
        || !cs_image_read (
            image, 0, (guint64)g_rand_int_range (random, 0, (gint32)(job->length / CS_PAGE_SIZE)),
            1, page, &error))
      die ("read", error);
  return (double)(g_get_monotonic_time () - begin) / count;
}

static void
measure (CsStore *store, const char *directory, const guint8 *data, gsize length)
{
  double ratio;
  Rate plain = copy (directory, length, false, &ratio);
  Rate base = copy (directory, length, true, &ratio);
  g_autofree guint8 *zeros = g_malloc0 (length);
  Job fresh = { .store = store, .data = data, .length = length };
  Job half[2] = { { .store = store, .data = data, .length = length / 2 },
                  { .store = store, .data = data + length / 2, .length = length / 2 } };
  Job zero = { .store = store, .data = zeros, .length = length };
  print ("cat (copy, fsync)", plain, base);
  print ("cat | zstd -1 (fsync)", base, base);
  print ("new pages, one writer", store_images (&fresh, 1), base);
  printf ("    %.2f : 1 (zstd alone %.2f : 1)\n",
          (double)fresh.stats.pages_stored * CS_PAGE_SIZE / (double)fresh.stats.bytes_stored,
          ratio);
  print ("known pages, one writer", store_images (&fresh, 1), base);
  print ("known pages, two writers", store_images (half, 2), base);
  print ("zero pages, one writer", store_images (&zero, 1), base);
  print ("reading in storage order, verified", read_image (&fresh), base);
  printf ("%-36s %6.0f us\n", "one random page (as a fault reads it)", fault_pages (&fresh, 2000));
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  gsize length = (argc > 2 ? (gsize)g_ascii_strtoull (argv[2], NULL, 10) : 256) << 20;
  if (argc < 2 || length == 0)
    {
      fprintf (stderr, "usage: bench-store DIRECTORY [MIB]\n");
      return 2;
    }
  g_autofree char *path = g_build_filename (argv[1], "store", NULL);
  g_autofree char *plain = g_build_filename (argv[1], "plain", NULL);
  g_autofree guint8 *data = make_data (length);
  int fd = create (plain);
  put (fd, data, length);
  fsync (fd);
  close (fd);
  if (!cs_store_init (path, &error))
    die ("init", error);
  g_autoptr (CsStore) store = cs_store_open (path, &error);
  if (store == NULL)
    die ("open", error);
  measure (store, argv[1], data, length);
  unlink (plain);
  return 0;
}
