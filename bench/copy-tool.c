/* What writing pages into another process costs by itself: copy-tool MIB ROUNDS.  Prints, per
 * round, microseconds per MiB of process_vm_writev to single pages here and there in a process that
 * has them populated. */
#include "config.h"

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum
{
  PAGE = 4096,
  BATCH = 512,
  STRIDE = 3, /* every third page: no two are neighbours */
};

/* The other process: populated memory, and nothing to do. */
static pid_t
spawn (guint8 *memory, gsize size)
{
  pid_t pid = fork ();
  if (pid != 0)
    return pid;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  memset (memory, 1, size);
  kill (getppid (), SIGUSR1);
  for (;;)
    pause ();
}

static bool
write_pages (pid_t pid, guint8 *memory, const guint8 *data, gsize pages)
{
  struct iovec local[BATCH], remote[BATCH];
  for (gsize at = 0; at < pages; at += BATCH)
    {
      gsize n = MIN (BATCH, pages - at);
      for (gsize i = 0; i < n; i++)
        {
          local[i] = (struct iovec){ (void *)(data + (at + i) * PAGE), PAGE };
          remote[i] = (struct iovec){ memory + (at + i) * STRIDE * PAGE, PAGE };
        }
      if (process_vm_writev (pid, local, n, remote, n, 0) != (ssize_t)(n * PAGE))
        return false;
    }
  return true;
}

int
main (int argc, char **argv)
{
  guint64 mib = argc > 2 ? g_ascii_strtoull (argv[1], NULL, 10) : 0;
  guint64 rounds = argc > 2 ? g_ascii_strtoull (argv[2], NULL, 10) : 0;
  if (mib == 0 || mib > 1024 || rounds == 0)
    {
      fprintf (stderr, "usage: copy-tool MIB ROUNDS\n");
      return 2;
    }
  gsize pages = mib * (1048576 / PAGE), size = pages * STRIDE * PAGE;
  g_autofree guint8 *data = g_malloc (pages * PAGE);
  memset (data, 2, pages * PAGE);
  guint8 *memory =
      mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  sigset_t ready;
  int got;
  sigemptyset (&ready);
  sigaddset (&ready, SIGUSR1);
  sigprocmask (SIG_BLOCK, &ready, NULL);
  pid_t pid = memory != MAP_FAILED ? spawn (memory, size) : -1;
  if (pid < 0 || sigwait (&ready, &got) != 0)
    return 1;
  bool ok = true;
  for (guint64 i = 0; ok && i < rounds; i++)
    {
      gint64 begin = g_get_monotonic_time ();
      ok = write_pages (pid, memory, data, pages);
      printf ("%.0f\n", (double)(g_get_monotonic_time () - begin) / (double)mib);
    }
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  return ok ? 0 : 1;
}
