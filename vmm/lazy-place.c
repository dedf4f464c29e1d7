/* Theory of operation
 *
 * A page goes into memory once: by a server that has a fault for it, or by a filler.  Who puts
 * pages first claims them: under the lock they become "placed" and part of a flight; then
 * UFFDIO_COPY, which can take long, runs without any lock.  It wakes whoever waits for the pages.
 *
 * A server that has a fault for a page of somebody else's flight has nothing to do: the copy wakes
 * its waiter.  But the fault may be a second one, after the page came and was discarded again,
 * while the flight's other pages are still being put; so it leaves a note, and at the end of the
 * flight all its waiters are woken once more, fault again and are answered.
 *
 * A fault for a page that is placed and in no flight is one for a discarded page: it reads as zero
 * (lazy-serve.c). */
#include "config.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/error.h"
#include "vmm/lazy-private.h"
#include "vmm/lazy-uffd.h"

void
cs_lazy_set_nice (int nice)
{
  setpriority (PRIO_PROCESS, (id_t)syscall (SYS_gettid), nice);
}

guint64
cs_lazy_count_content (CsLazy *lazy, const CsLazyBlock *block, guint64 page, guint64 count)
{
  guint64 n = 0;
  for (guint64 i = page; i < page + count; i++)
    n += !cs_image_page_is_zero (lazy->image, block->volume, i);
  return n;
}

bool
cs_lazy_is_placed (CsLazy *lazy, CsLazyBlock *block, guint64 page, bool *in_flight)
{
  *in_flight = false;
  if (!cs_bitmap_test (block->placed, page))
    return false;
  for (GList *link = lazy->flights.head; link != NULL; link = link->next)
    {
      CsLazyFlight *flight = link->data;
      if (flight->block == block && page >= flight->page && page - flight->page < flight->count)
        *in_flight = flight->asked = true;
    }
  return true;
}

/* Lock held.  Claims the first run of pages from *@at on that nobody has; false: there is none. */
static bool
claim (CsLazy *lazy, CsLazyFlight *flight, CsLazyBlock *block, guint64 *at, guint64 end)
{
  while (*at < end && cs_bitmap_test (block->placed, *at))
    ++*at;
  guint64 first = *at;
  while (*at < end && !cs_bitmap_test (block->placed, *at))
    ++*at;
  *flight = (CsLazyFlight){ .block = block, .page = first, .count = *at - first };
  if (flight->count == 0 || block->gone)
    return false;
  flight->link.data = flight;
  cs_bitmap_set_range (block->placed, first, flight->count);
  g_queue_push_tail_link (&lazy->flights, &flight->link);
  return true;
}

/* Lock held.  @put pages have arrived, the others are given back. */
static void
land (CsLazy *lazy, CsLazyFlight *flight, guint64 put, int failed)
{
  CsLazyBlock *block = flight->block;
  g_queue_unlink (&lazy->flights, &flight->link);
  lazy->done += cs_lazy_count_content (lazy, block, flight->page, put);
  cs_bitmap_clear_range (block->placed, flight->page + put, flight->count - put);
  if (failed == ENOENT)
    block->gone = true;
  g_cond_broadcast (&lazy->changed);
}

/* Returns 0 or an errno; *@put pages have arrived. */
static int
put_pages (CsLazy *lazy, const CsLazyFlight *flight, const guint8 *data, guint64 *put)
{
  guint64 host = flight->block->info.host + flight->page * CS_PAGE_SIZE;
  *put = 0;
  while (*put < flight->count)
    {
      guint64 copied;
      int failed = cs_uffd_copy (lazy->uffd, host + *put * CS_PAGE_SIZE, data + *put * CS_PAGE_SIZE,
                                 (flight->count - *put) * CS_PAGE_SIZE, &copied);
      *put += copied / CS_PAGE_SIZE;
      if (failed == EEXIST)
        {
          /* It is there: who waited for it may have missed that. */
          cs_uffd_wake (lazy->uffd, host + *put * CS_PAGE_SIZE, CS_PAGE_SIZE);
          ++*put;
        }
      else if (failed != 0)
        return failed;
    }
  return 0;
}

bool
cs_lazy_place (CsLazy *lazy, CsLazyBlock *block, guint64 page, guint64 count, const void *data,
               GError **error)
{
  const guint8 *bytes = data;
  for (guint64 at = page, end = page + count; at < end;)
    {
      CsLazyFlight flight;
      guint64 put;
      g_mutex_lock (&lazy->lock);
      bool claimed = claim (lazy, &flight, block, &at, end);
      g_mutex_unlock (&lazy->lock);
      if (!claimed)
        break;
      int failed = put_pages (lazy, &flight, bytes + (flight.page - page) * CS_PAGE_SIZE, &put);
      g_mutex_lock (&lazy->lock);
      land (lazy, &flight, put, failed);
      g_mutex_unlock (&lazy->lock);
      if (flight.asked)
        cs_uffd_wake (lazy->uffd, block->info.host + flight.page * CS_PAGE_SIZE,
                      flight.count * CS_PAGE_SIZE);
      if (failed != 0 && failed != ENOENT)
        return cs_error_set_errno (error, failed, "cannot put a page of RAM block '%s'",
                                   block->info.name);
    }
  return true;
}
