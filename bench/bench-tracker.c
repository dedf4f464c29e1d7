/* What the memory tracker costs, measured on a child process with 256 MiB of anonymous memory:
 *
 *   bench-tracker [ROUNDS]
 *
 * Medians.  The child writes pages when told; the tracker works on it as on a QEMU. */
#include "config.h"

#include "vmm/inject.h"
#include "vmm/tracker-private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define MIB 256
#define PAGES ((guint64)MIB * 256)
#define MAX_ROUNDS 1000

static char *memory;
static int control;
static pid_t child;
static guint rounds = 15;

static gint64
now (void)
{
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return time.tv_sec * G_GINT64_CONSTANT (1000000000) + time.tv_nsec;
}

static int
compare (const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double
median (double *values, guint n)
{
  qsort (values, n, sizeof *values, compare);
  return values[n / 2];
}

static void G_GNUC_NORETURN
die (const char *what, const GError *error)
{
  fprintf (stderr, "bench-tracker: %s: %s\n", what, error ? error->message : g_strerror (errno));
  exit (1);
}

/* Writes every @step-th page for each number that arrives. */
static void
run_child (int fd)
{
  struct pollfd descriptor = { fd, POLLIN, 0 };
  guint64 step;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  while (ppoll (&descriptor, 1, NULL, NULL) == 1 && read (fd, &step, sizeof step) == sizeof step)
    {
      for (guint64 page = 0; page < PAGES; page += step)
        ((volatile char *)memory)[page * PAGE + 8] += 1;
      if (write (fd, "x", 1) != 1)
        break;
    }
  _exit (0);
}

static void
start_child (void)
{
  int pair[2];
  memory = mmap (NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    die ("start", NULL);
  madvise (memory, PAGES * PAGE, MADV_NOHUGEPAGE);
  child = fork ();
  if (child == 0)
    run_child (pair[1]);
  control = pair[0];
}

static void
store_every (guint64 step)
{
  char answer;
  if (write (control, &step, sizeof step) != sizeof step || read (control, &answer, 1) != 1)
    die ("child", NULL);
}

static CsTracker *
new_tracker (void)
{
  g_autoptr (GError) error = NULL;
  int uffd = cs_inject_userfaultfd (child, NULL, CS_TRACKER_FEATURES, NULL, &error);
  CsTracker *tracker = uffd < 0 ? NULL : cs_tracker_new_from_fd (child, uffd, &error);
  if (tracker == NULL)
    die ("tracker", error);
  return tracker;
}

static void
protect (CsTracker *tracker)
{
  g_autoptr (GError) error = NULL;
  CsRamBlock block = { .name = (char *)"ram",
                       .host = (guint64)(guintptr)memory,
                       .used_length = PAGES * PAGE,
                       .max_length = PAGES * PAGE,
                       .page_size = PAGE };
  g_autoptr (GPtrArray) blocks = g_ptr_array_new ();
  g_ptr_array_add (blocks, &block);
  if (!cs_tracker_set_blocks (tracker, blocks, NULL, &error))
    die ("protect", error);
}

static void
bench_inject (void)
{
  static const unsigned long arguments[6];
  double *times = g_new (double, rounds * 10);
  for (guint i = 0; i < rounds * 10; i++)
    {
      g_autoptr (GError) error = NULL;
      long result;
      gint64 begin = now ();
      if (!cs_inject_syscall (child, SYS_getpid, arguments, &result, &error))
        die ("inject", error);
      times[i] = (double)(now () - begin) / 1e6;
    }
  printf ("inject one system call           %8.3f ms\n", median (times, rounds * 10));
  for (guint i = 0; i < rounds; i++)
    {
      gint64 begin = now ();
      g_autoptr (CsTracker) tracker = new_tracker ();
      times[i] = (double)(now () - begin) / 1e6;
    }
  printf ("make a tracker                   %8.3f ms\n", median (times, rounds));
  g_free (times);
}

static void
bench_protect (const char *what)
{
  double times[MAX_ROUNDS];
  for (guint i = 0; i < rounds; i++)
    {
      g_autoptr (CsTracker) tracker = new_tracker ();
      gint64 begin = now ();
      protect (tracker);
      times[i] = (double)(now () - begin) / 1e6;
    }
  printf ("protect %d MiB, %-16s %8.3f ms\n", MIB, what, median (times, rounds));
}

typedef bool (*LookFunc) (CsTracker *, guint, CsBitmap *, GError **);

static void
bench_look (CsTracker *tracker, const char *name, LookFunc func, guint64 step)
{
  double times[MAX_ROUNDS];
  guint64 count = 0;
  g_autoptr (CsBitmap) pages = cs_bitmap_new (PAGES);
  for (guint i = 0; i < rounds; i++)
    {
      g_autoptr (GError) error = NULL;
      if (step != 0)
        store_every (step);
      cs_bitmap_clear (pages);
      gint64 begin = now ();
      if (!func (tracker, 0, pages, &error))
        die (name, error);
      times[i] = (double)(now () - begin) / 1e6;
      count = cs_bitmap_count (pages);
    }
  printf ("%-8s %d MiB, %6" G_GUINT64_FORMAT " pages    %8.3f ms\n", name, MIB, count,
          median (times, rounds));
}

static double
bench_copy (CsTracker *tracker, guint64 run_pages, char *buffer)
{
  double times[MAX_ROUNDS];
  gsize n = PAGES / run_pages / 2;
  g_autofree CsPageRun *runs = g_new (CsPageRun, n);
  for (gsize i = 0; i < n; i++)
    runs[i] = (CsPageRun){ i * run_pages * 2, run_pages };
  for (guint i = 0; i < rounds; i++)
    {
      g_autoptr (GError) error = NULL;
      gint64 begin = now ();
      if (!cs_tracker_read (tracker, 0, runs, n, buffer, &error))
        die ("read", error);
      times[i] = (double)(n * run_pages * PAGE) / (double)(now () - begin);
    }
  return median (times, rounds);
}

/* Plain memcpy of the same amount, from memory of ours. */
static double
bench_memcpy (char *buffer)
{
  double times[MAX_ROUNDS];
  gsize length = PAGES / 2 * PAGE;
  g_autofree char *source = g_malloc (length);
  memset (source, 1, length);
  for (guint i = 0; i < rounds; i++)
    {
      gint64 begin = now ();
      memcpy (buffer, source, length);
      __asm__ volatile("" ::"r"(buffer) : "memory");
      times[i] = (double)length / (double)(now () - begin);
    }
  return median (times, rounds);
}

static void
bench_read (CsTracker *tracker)
{
  g_autofree char *buffer = g_malloc (PAGES / 2 * PAGE);
  memset (buffer, 1, PAGES / 2 * PAGE);
  double plain = bench_memcpy (buffer);
  printf ("memcpy                           %8.2f GB/s\n", plain);
  for (guint64 run = 1; run <= 512; run *= 8)
    {
      double rate = bench_copy (tracker, run, buffer);
      printf ("read, runs of %3" G_GUINT64_FORMAT " pages          %8.2f GB/s (%.2f of memcpy)\n",
              run, rate, rate / plain);
    }
}

int
main (int argc, char **argv)
{
  guint64 n;
  g_autoptr (GError) error = NULL;
  if (argc > 1 && g_ascii_string_to_unsigned (argv[1], 10, 1, MAX_ROUNDS / 10, &n, NULL))
    rounds = (guint)n;
  if (!cs_tracker_probe (&error))
    die ("this host", error);
  start_child ();
  bench_inject ();
  bench_protect ("untouched");
  store_every (1);
  bench_protect ("populated");

  g_autoptr (CsTracker) tracker = new_tracker ();
  protect (tracker);
  bench_look (tracker, "scan", cs_tracker_scan, 0);
  bench_look (tracker, "scan", cs_tracker_scan, 1000);
  bench_look (tracker, "scan", cs_tracker_scan, 10);
  bench_look (tracker, "scan", cs_tracker_scan, 1);
  bench_look (tracker, "resident", cs_tracker_resident, 0);
  bench_read (tracker);
  kill (child, SIGKILL);
  waitpid (child, NULL, 0);
  return 0;
}
