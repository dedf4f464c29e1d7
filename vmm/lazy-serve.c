/* Answers the faults of a lazily restored VM.
 *
 * A few threads, before all others (nice -20), so that a fault whose frame is slow to read holds up
 * no other one.  Each takes one message at a time; the kernel wakes one of them per message
 * (EPOLLEXCLUSIVE).  With the page comes what the store reads with it anyway
 * (cs_image_neighbours): a guest that touches a page soon touches those beside it. */
#include "config.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/error.h"
#include "common/fd.h"
#include "vmm/lazy-mapping.h"
#include "vmm/lazy-private.h"
#include "vmm/lazy-uffd.h"
#include "vmm/process.h"

#define SERVERS 2
#define SERVER_NICE (-20)
/* An aligned group of so many pages comes at once, where the store reads them at once. */
#define WINDOW_PAGES 16

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

/* It was placed and is asked for again.  Either the asker was late, or QEMU discarded it. */
static bool
answer_placed (CsLazy *lazy, CsLazyBlock *block, guint64 page, GError **error)
{
  static const guint8 zeros[CS_PAGE_SIZE];
  guint64 at = block->info.host + page * CS_PAGE_SIZE, copied;
  int failed = cs_uffd_copy (lazy->uffd, at, zeros, CS_PAGE_SIZE, &copied);
  if (failed == EEXIST)
    cs_uffd_wake (lazy->uffd, at, CS_PAGE_SIZE);
  else if (failed == ENOENT)
    {
      g_mutex_lock (&lazy->lock);
      block->gone = true;
      g_mutex_unlock (&lazy->lock);
    }
  else if (failed != 0)
    return cs_error_set_errno (error, failed, "cannot put a page of RAM block '%s'",
                               block->info.name);
  return true;
}

static bool
answer_missing (CsLazy *lazy, CsLazyBlock *block, guint64 page, GError **error)
{
  guint8 data[WINDOW_PAGES * CS_PAGE_SIZE];
  guint64 first, count;
  cs_image_neighbours (lazy->image, block->volume, page, WINDOW_PAGES, &first, &count);
  return cs_image_read (lazy->image, block->volume, first, count, data, error)
         && cs_lazy_place (lazy, block, first, count, data, error);
}

/* Lock held. */
static void
record (CsLazy *lazy, const CsLazyBlock *block, guint64 page)
{
  CsTouch touch = { block->volume, page };
  if (lazy->touches->len < CS_HINT_MAX_TOUCHES)
    g_array_append_val (lazy->touches, touch);
}

static bool
answer (CsLazy *lazy, CsLazyBlock *block, guint64 page, GError **error)
{
  bool in_flight;
  g_mutex_lock (&lazy->lock);
  bool placed = cs_lazy_is_placed (lazy, block, page, &in_flight);
  if (!placed)
    record (lazy, block, page);
  g_mutex_unlock (&lazy->lock);
  if (in_flight)
    return true;
  return placed ? answer_placed (lazy, block, page, error)
                : answer_missing (lazy, block, page, error);
}

/* How a fault ended. */
static void
account (CsLazy *lazy, gint64 since, GError *error)
{
  g_mutex_lock (&lazy->lock);
  lazy->last_fault = g_get_monotonic_time ();
  gint64 took = lazy->last_fault - since;
  lazy->fault_time += took;
  lazy->fault_longest = MAX (lazy->fault_longest, took);
  bool end_it = error != NULL && lazy->kill_on_failure;
  if (error != NULL)
    cs_lazy_fail (lazy, error);
  g_mutex_unlock (&lazy->lock);
  if (end_it && cs_process_start_time (lazy->pid) == lazy->start_time)
    kill (lazy->pid, SIGKILL);
}

static void
serve (CsLazy *lazy, const struct uffd_msg *message)
{
  gint64 since = g_get_monotonic_time ();
  if (message->event != UFFD_EVENT_PAGEFAULT)
    return;
  g_autoptr (GError) error = NULL;
  guint64 address = message->arg.pagefault.address & ~(guint64)(CS_PAGE_SIZE - 1);

  g_mutex_lock (&lazy->lock);
  CsLazyBlock *block = find_block (lazy, address);
  lazy->faults += block != NULL;
  lazy->serving++;
  g_mutex_unlock (&lazy->lock);
  if (block == NULL)
    cs_uffd_wake (lazy->uffd, address, CS_PAGE_SIZE); /* not ours any more: try again */
  else
    {
      answer (lazy, block, (address - block->info.host) / CS_PAGE_SIZE, &error);
      account (lazy, since, g_steal_pointer (&error));
    }
  g_mutex_lock (&lazy->lock);
  if (--lazy->serving == 0)
    g_cond_broadcast (&lazy->changed);
  g_mutex_unlock (&lazy->lock);
}

/* An epoll descriptor for one server's waiting: @stop is its data where it is to end. */
static int
watch (CsLazy *lazy)
{
  int epoll = epoll_create1 (EPOLL_CLOEXEC);
  struct epoll_event fault = { .events = EPOLLIN | EPOLLEXCLUSIVE };
  struct epoll_event stop = { .events = EPOLLIN, .data.ptr = lazy };
  g_assert (epoll >= 0);
  int failed = epoll_ctl (epoll, EPOLL_CTL_ADD, lazy->uffd, &fault)
               | epoll_ctl (epoll, EPOLL_CTL_ADD, lazy->stop_server, &stop);
  g_assert (failed == 0);
  return epoll;
}

static gpointer
server_main (gpointer data)
{
  CsLazy *lazy = data;
  struct uffd_msg message;
  cs_autofd int epoll = watch (lazy);
  cs_lazy_set_nice (SERVER_NICE);
  for (;;)
    {
      struct epoll_event event;
      int n = epoll_wait (epoll, &event, 1, -1);
      if (n < 0 && errno != EINTR)
        break;
      if (n > 0 && event.data.ptr != NULL)
        break;
      /* EAGAIN: another server has it, or the fault was answered meanwhile. */
      if (n > 0 && read (lazy->uffd, &message, sizeof message) == sizeof message)
        serve (lazy, &message);
    }
  return NULL;
}

void
cs_lazy_start_server (CsLazy *lazy)
{
  if (lazy->servers->len > 0)
    return;
  lazy->stop_server = eventfd (0, EFD_CLOEXEC);
  g_assert (lazy->stop_server >= 0);
  for (guint i = 0; i < SERVERS; i++)
    g_ptr_array_add (lazy->servers, g_thread_new ("lazy-server", server_main, lazy));
}

void
cs_lazy_stop_server (CsLazy *lazy)
{
  if (lazy->servers->len == 0)
    return;
  guint64 one = 1;
  while (write (lazy->stop_server, &one, sizeof one) < 0 && errno == EINTR)
    ;
  for (guint i = 0; i < lazy->servers->len; i++)
    g_thread_join (lazy->servers->pdata[i]);
  g_ptr_array_set_size (lazy->servers, 0);
  close (lazy->stop_server);
  lazy->stop_server = -1;
}

void
cs_lazy_faults (CsLazy *lazy, CsLazyFaults *faults)
{
  g_mutex_lock (&lazy->lock);
  faults->count = lazy->faults;
  faults->prefetched = lazy->prefetched;
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

GArray *
cs_lazy_touches (CsLazy *lazy)
{
  g_mutex_lock (&lazy->lock);
  GArray *touches = g_array_copy (lazy->touches);
  g_mutex_unlock (&lazy->lock);
  return touches;
}

void
cs_lazy_set_kill_on_failure (CsLazy *lazy, bool kill_it)
{
  g_mutex_lock (&lazy->lock);
  lazy->kill_on_failure = kill_it;
  g_mutex_unlock (&lazy->lock);
}
