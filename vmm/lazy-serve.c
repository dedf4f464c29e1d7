/* Answers the faults of a lazily restored VM, in a thread of its own. */
#include "config.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/error.h"
#include "common/fd.h"
#include "vmm/lazy-mapping.h"
#include "vmm/lazy-private.h"
#include "vmm/lazy-uffd.h"
#include "vmm/process.h"

#define MESSAGES 16

/* Lock held. */
static CsLazyBlock *
find_block (CsLazy *lazy, guint64 address)
{
  for (guint i = 0; i < lazy->blocks->len; i++)
    {
      CsLazyBlock *block = g_ptr_array_index (lazy->blocks, i);
      if (block->lazy && address >= block->info.host
          && address - block->info.host < block->info.used_length)
        return block;
    }
  return NULL;
}

/* Lock held: it was placed and is asked for again.  Either the asker was late, or QEMU discarded
 * it. */
static bool
answer_placed (CsLazy *lazy, CsLazyBlock *block, guint64 page, GError **error)
{
  static const guint8 zeros[CS_PAGE_SIZE];
  guint64 at = block->info.host + page * CS_PAGE_SIZE, copied;
  int failed = cs_uffd_copy (lazy->uffd, at, zeros, CS_PAGE_SIZE, &copied);
  if (failed == EEXIST)
    cs_uffd_wake (lazy->uffd, at, CS_PAGE_SIZE);
  else if (failed == ENOENT)
    block->gone = true;
  else if (failed != 0)
    return cs_error_set_errno (error, failed, "cannot put a page of RAM block '%s'",
                               block->info.name);
  return true;
}

static bool
answer (CsLazy *lazy, CsLazyBlock *block, guint64 page, GError **error)
{
  guint8 data[CS_PAGE_SIZE];
  g_mutex_lock (&lazy->lock);
  bool placed = cs_bitmap_test (block->placed, page);
  g_mutex_unlock (&lazy->lock);
  if (!placed && !cs_image_read (lazy->image, block->volume, page, 1, data, error))
    return false;

  g_mutex_lock (&lazy->lock);
  bool ok = cs_bitmap_test (block->placed, page)
                ? answer_placed (lazy, block, page, error)
                : cs_lazy_place (lazy, block, page, 1, data, error);
  g_mutex_unlock (&lazy->lock);
  return ok;
}

static void
serve (CsLazy *lazy, const struct uffd_msg *message, gint64 since)
{
  if (message->event != UFFD_EVENT_PAGEFAULT)
    return;
  g_autoptr (GError) error = NULL;
  guint64 address = message->arg.pagefault.address & ~(guint64)(CS_PAGE_SIZE - 1);

  g_mutex_lock (&lazy->lock);
  CsLazyBlock *block = find_block (lazy, address);
  lazy->faults += block != NULL;
  g_mutex_unlock (&lazy->lock);
  if (block == NULL)
    {
      cs_uffd_wake (lazy->uffd, address, CS_PAGE_SIZE); /* not ours any more: try again */
      return;
    }
  bool ok = answer (lazy, block, (address - block->info.host) / CS_PAGE_SIZE, &error);
  gint64 took = g_get_monotonic_time () - since;

  g_mutex_lock (&lazy->lock);
  lazy->fault_time += took;
  lazy->fault_longest = MAX (lazy->fault_longest, took);
  if (!ok)
    cs_lazy_fail (lazy, g_steal_pointer (&error));
  bool end_it = !ok && lazy->kill_on_failure;
  g_mutex_unlock (&lazy->lock);
  if (end_it && cs_process_start_time (lazy->pid) == lazy->start_time)
    kill (lazy->pid, SIGKILL);
}

static void
set_serving (CsLazy *lazy, bool serving)
{
  g_mutex_lock (&lazy->lock);
  lazy->serving = serving;
  if (!serving)
    g_cond_broadcast (&lazy->changed);
  g_mutex_unlock (&lazy->lock);
}

static gpointer
server_main (gpointer data)
{
  CsLazy *lazy = data;
  struct uffd_msg messages[MESSAGES];
  struct pollfd polled[] = {
    { .fd = lazy->uffd, .events = POLLIN },
    { .fd = lazy->stop_server, .events = POLLIN },
  };
  for (;;)
    {
      if (poll (polled, G_N_ELEMENTS (polled), -1) < 0 && errno != EINTR)
        break;
      if (polled[1].revents != 0)
        break;
      gssize n = read (lazy->uffd, messages, sizeof messages);
      if (n <= 0)
        continue; /* another toucher's fault was answered meanwhile: EAGAIN */
      gint64 now = g_get_monotonic_time ();
      set_serving (lazy, true);
      for (gsize i = 0; i < (gsize)n / sizeof messages[0]; i++)
        serve (lazy, &messages[i], now);
      set_serving (lazy, false);
    }
  return NULL;
}

void
cs_lazy_start_server (CsLazy *lazy)
{
  if (lazy->server != NULL)
    return;
  lazy->stop_server = eventfd (0, EFD_CLOEXEC);
  g_assert (lazy->stop_server >= 0);
  lazy->server = g_thread_new ("lazy-server", server_main, lazy);
}

void
cs_lazy_stop_server (CsLazy *lazy)
{
  if (lazy->server == NULL)
    return;
  guint64 one = 1;
  while (write (lazy->stop_server, &one, sizeof one) < 0 && errno == EINTR)
    ;
  g_thread_join (g_steal_pointer (&lazy->server));
  close (lazy->stop_server);
  lazy->stop_server = -1;
}

void
cs_lazy_faults (CsLazy *lazy, CsLazyFaults *faults)
{
  g_mutex_lock (&lazy->lock);
  faults->count = lazy->faults;
  faults->time = lazy->fault_time;
  faults->longest = lazy->fault_longest;
  g_mutex_unlock (&lazy->lock);
}

bool
cs_lazy_check (CsLazy *lazy, GError **error)
{
  g_mutex_lock (&lazy->lock);
  bool ok = lazy->error == NULL;
  if (!ok)
    g_propagate_error (error, g_error_copy (lazy->error));
  g_mutex_unlock (&lazy->lock);
  return ok;
}

void
cs_lazy_set_kill_on_failure (CsLazy *lazy, bool kill_it)
{
  g_mutex_lock (&lazy->lock);
  lazy->kill_on_failure = kill_it;
  g_mutex_unlock (&lazy->lock);
}
