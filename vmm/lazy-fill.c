/* Theory of operation
 *
 * Puts the rest of a lazily restored VM's memory, frame by frame of the store, so that each is read
 * and decompressed once: first those that an earlier restore touched (prefetch), then the others in
 * the store's order.
 *
 * Both begin when all VMs of the cluster run.  Before, whatever the priority, they took time from
 * QEMUs that were still starting, since the kernel weighs groups of threads before it looks at nice
 * values; what the loading of devices touches is served as any fault.  The prefetch takes all
 * processors that nobody else wants, and the fill begins with what is left of it.
 *
 * The fill must not be felt by the guest.  Three things see to that:
 *
 *   - it runs at a low priority (nice), as the prefetch does, servers at a high one: on a busy host
 *     vCPUs come first;
 *   - between two frames it stands back while a fault is being answered;
 *   - how fast it goes: with a bound of so many MiB/s, no faster; by default, when faults came of
 *     late, for a quarter of the time: a guest that faults is one that needs its memory and the
 *     processors itself.  Unbounded, it takes several threads and neither bound nor low priority.
 *
 * A run begins with the first frame again, whatever was done before: frames all of whose pages are
 * placed are not read. */
#include "config.h"

#include <time.h>

#include "common/error.h"
#include "common/fault.h"
#include "vmm/lazy-private.h"
#include "vmm/lazy-uffd.h"

/* How long faults may hold the filler back for one frame: under a storm of them it still gets on.
 */
#define STAND_BACK_US 5000
/* A fault is of late for so long; then the fill rests so many times as long as it worked. */
#define QUIET_US 20000
#define REST_FACTOR 3
/* Of the prefetch. */
#define PREFETCH_NICE 19
/* Of the prefetch, 32 MiB: more would take the time that it is to save.  Other touched frames come
 * first in the fill. */
#define PREFETCH_FRAMES 256
#define THREADS_MAX 4

/* One thread's. */
typedef struct
{
  CsLazy *lazy;
  CsLazyBlock *block;
  guint64 put; /* pages, of the present frame */
  bool prefetch;
} Filler;

/* --- what is to be done --- */

static void
add_work (CsLazy *lazy, CsLazyBlock *block, guint from, guint end)
{
  for (guint i = from; i < end; i++)
    {
      CsLazyWork work = { block, i };
      g_array_append_val (lazy->work, work);
    }
}

/* Plans @block; returns how many of its frames hold touched pages. */
static guint
plan_block (CsLazy *lazy, CsLazyBlock *block)
{
  if (!block->lazy)
    return 0;
  g_autoptr (GArray) pages = g_array_new (FALSE, FALSE, sizeof (guint64));
  for (guint i = 0; lazy->hint != NULL && i < lazy->hint->len; i++)
    {
      const CsTouch *touch = &g_array_index (lazy->hint, CsTouch, i);
      if (touch->volume == block->volume)
        g_array_append_val (pages, touch->page);
    }
  block->plan = cs_read_plan_new (lazy->image, block->volume);
  return cs_read_plan_prefer (block->plan, (const guint64 *)(void *)pages->data, pages->len);
}

static void
plan_all (CsLazy *lazy)
{
  lazy->work = g_array_new (FALSE, FALSE, sizeof (CsLazyWork));
  g_autofree guint *preferred = g_new0 (guint, lazy->blocks->len + 1);
  for (guint i = 0; i < lazy->blocks->len; i++)
    {
      preferred[i] = plan_block (lazy, lazy->blocks->pdata[i]);
      add_work (lazy, lazy->blocks->pdata[i], 0, preferred[i]);
    }
  lazy->urgent = MIN (lazy->work->len, PREFETCH_FRAMES);
  for (guint i = 0; i < lazy->blocks->len; i++)
    {
      CsLazyBlock *block = lazy->blocks->pdata[i];
      if (block->plan != NULL)
        add_work (lazy, block, preferred[i], cs_read_plan_n_frames (block->plan));
    }
}

/* Sorting hundreds of thousands of pages would delay the answer to whoever restores: the first
 * thread that needs the plan makes it, others wait for it. */
static void
need_plan (CsLazy *lazy)
{
  if (!g_once_init_enter (&lazy->planned))
    return;
  plan_all (lazy);
  g_once_init_leave (&lazy->planned, 1);
}

/* False: there is none left, or the fill is to stop. */
static bool
take_work (Filler *self, const CsLazyWork **work)
{
  CsLazy *lazy = self->lazy;
  g_mutex_lock (&lazy->lock);
  bool any = !lazy->stop_filler && lazy->next < (self->prefetch ? lazy->urgent : lazy->work->len);
  if (any)
    *work = &g_array_index (lazy->work, CsLazyWork, lazy->next++);
  g_mutex_unlock (&lazy->lock);
  return any;
}

static bool
is_needed (CsLazy *lazy, const CsLazyWork *work)
{
  bool needed = false;
  guint n = cs_read_plan_n_pages (work->block->plan, work->frame);
  g_mutex_lock (&lazy->lock);
  for (guint k = 0; k < n && !needed && !work->block->gone; k++)
    needed = !cs_bitmap_test (work->block->placed,
                              cs_read_plan_page (work->block->plan, work->frame, k));
  g_mutex_unlock (&lazy->lock);
  return needed;
}

/* --- how fast --- */

void
cs_lazy_set_fill_rate (CsLazy *lazy, int rate)
{
  g_atomic_int_set (&lazy->rate, rate);
}

static gint64
thread_time (void)
{
  struct timespec now;
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

/* Lock held.  Waits until @until, or until the fill is to stop. */
static void
rest (CsLazy *lazy, gint64 until)
{
  while (!lazy->stop_filler && g_cond_wait_until (&lazy->changed, &lazy->lock, until))
    ;
}

/* After a frame of self->put pages that took @took us. */
static void
keep_pace (Filler *self, gint64 took)
{
  CsLazy *lazy = self->lazy;
  int rate = g_atomic_int_get (&lazy->rate);
  if (self->prefetch || rate == 0)
    return;
  g_mutex_lock (&lazy->lock);
  gint64 now = g_get_monotonic_time ();
  if (rate > 0)
    {
      lazy->pace.rate = (guint64)rate << 20;
      rest (lazy, cs_pace_take (&lazy->pace, self->put * CS_PAGE_SIZE, now));
    }
  else if (now - lazy->last_fault < QUIET_US)
    rest (lazy, now + REST_FACTOR * took);
  g_mutex_unlock (&lazy->lock);
}

static void
stand_back (CsLazy *lazy)
{
  gint64 until = g_get_monotonic_time () + STAND_BACK_US;
  g_mutex_lock (&lazy->lock);
  while (lazy->serving > 0 && !lazy->stop_filler
         && g_cond_wait_until (&lazy->changed, &lazy->lock, until))
    ;
  g_mutex_unlock (&lazy->lock);
}

/* --- the threads --- */

static bool
put_run (guint64 page, guint64 count, const void *data, void *user_data, GError **error)
{
  Filler *self = user_data;
  CsLazy *lazy = self->lazy;
  g_mutex_lock (&lazy->lock);
  bool stop = lazy->stop_filler;
  g_mutex_unlock (&lazy->lock);
  if (stop)
    {
      g_set_error_literal (error, CS_ERROR, CS_ERROR_CANCELLED, "stopped");
      return false;
    }
  self->put += count;
  g_autoptr (GError) problem = NULL;
  if (cs_lazy_place (lazy, self->block, page, count, data, &problem))
    return true;
  if (self->prefetch)
    {
      /* The fill may have passed by meanwhile, taking the page for placed. */
      g_mutex_lock (&lazy->lock);
      cs_lazy_fail (lazy, g_error_copy (problem));
      g_mutex_unlock (&lazy->lock);
    }
  g_propagate_error (error, g_steal_pointer (&problem));
  return false;
}

static bool
fill_frame (Filler *self, const CsLazyWork *work, GError **error)
{
  CsLazy *lazy = self->lazy;
  if (!is_needed (lazy, work))
    return true;
  if (!cs_fault_point (self->prefetch ? "prefetch" : "fill", error))
    return false;
  if (!self->prefetch)
    stand_back (lazy);
  gint64 begin = thread_time ();
  self->block = work->block;
  self->put = 0;
  bool ok = cs_read_plan_read (work->block->plan, work->frame, put_run, self, error);
  keep_pace (self, thread_time () - begin);
  return ok;
}

/* Zero pages are in no frame, and not put by the fill; but those that the VM will touch are. */
static void
prefetch_zeros (CsLazy *lazy)
{
  static const guint8 zeros[CS_PAGE_SIZE];
  for (guint i = 0; i < lazy->hint->len; i++)
    {
      const CsTouch *touch = &g_array_index (lazy->hint, CsTouch, i);
      for (guint k = 0; k < lazy->blocks->len; k++)
        {
          CsLazyBlock *block = lazy->blocks->pdata[k];
          if (block->lazy && block->volume == touch->volume
              && touch->page < cs_bitmap_size (block->placed)
              && cs_image_page_is_zero (lazy->image, block->volume, touch->page))
            cs_lazy_place (lazy, block, touch->page, 1, zeros, NULL);
        }
    }
}

/* An error of the store stops it: the fill meets the same one, if it lasts. */
static gpointer
prefetcher_main (gpointer data)
{
  CsLazy *lazy = data;
  Filler self = { .lazy = lazy, .prefetch = true };
  const CsLazyWork *work;
  guint64 pages = 0;
  /* The fill may wait for the plan. */
  cs_lazy_set_nice (CS_LAZY_FILL_NICE);
  need_plan (lazy);
  cs_lazy_set_nice (PREFETCH_NICE);
  if (g_atomic_int_compare_and_exchange (&lazy->zeros_begun, false, true))
    prefetch_zeros (lazy);
  while (take_work (&self, &work) && fill_frame (&self, work, NULL))
    pages += self.put;
  g_mutex_lock (&lazy->lock);
  lazy->prefetched += pages;
  lazy->prefetching--;
  g_cond_broadcast (&lazy->changed);
  g_mutex_unlock (&lazy->lock);
  return NULL;
}

/* Pages of a block that QEMU has unmapped need not be placed any more. */
static void
forget_gone (CsLazy *lazy)
{
  for (guint i = 0; i < lazy->blocks->len; i++)
    {
      CsLazyBlock *block = g_ptr_array_index (lazy->blocks, i);
      if (!block->gone || !block->lazy)
        continue;
      for (guint64 page = 0; page < cs_bitmap_size (block->placed); page++)
        lazy->done += !cs_bitmap_test (block->placed, page)
                      && !cs_image_page_is_zero (lazy->image, block->volume, page);
      block->lazy = false;
    }
}

static gpointer
filler_main (gpointer data)
{
  CsLazy *lazy = data;
  Filler self = { .lazy = lazy };
  const CsLazyWork *work;
  g_autoptr (GError) error = NULL;
  if (g_atomic_int_get (&lazy->rate) != 0)
    cs_lazy_set_nice (CS_LAZY_FILL_NICE);
  need_plan (lazy);
  while (error == NULL && take_work (&self, &work))
    fill_frame (&self, work, &error);

  g_mutex_lock (&lazy->lock);
  if (error != NULL && !lazy->stop_filler)
    {
      lazy->next = lazy->work->len;
      cs_lazy_fail (lazy, g_steal_pointer (&error));
    }
  if (--lazy->filling == 0)
    forget_gone (lazy);
  g_cond_broadcast (&lazy->changed);
  g_mutex_unlock (&lazy->lock);
  return NULL;
}

static void
start_threads (CsLazy *lazy, guint n, guint *count, const char *name, GThreadFunc func)
{
  g_mutex_lock (&lazy->lock);
  lazy->next = 0;
  *count += n;
  g_mutex_unlock (&lazy->lock);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (lazy->fillers, g_thread_new (name, func, lazy));
}

static guint
all_threads (void)
{
  return MIN (THREADS_MAX, g_get_num_processors ());
}

void
cs_lazy_prefetch (CsLazy *lazy, const GArray *touches)
{
  g_return_if_fail (lazy->fillers->len == 0);
  lazy->hint = g_array_sized_new (FALSE, FALSE, sizeof (CsTouch), touches->len);
  g_array_append_vals (lazy->hint, touches->data, touches->len);
  start_threads (lazy, all_threads (), &lazy->prefetching, "lazy-prefetch", prefetcher_main);
}

/* After an error: who waits for a page faults again. */
static void
try_again (CsLazy *lazy)
{
  g_mutex_lock (&lazy->lock);
  g_clear_error (&lazy->error);
  g_mutex_unlock (&lazy->lock);
  for (guint i = 0; i < lazy->blocks->len; i++)
    {
      const CsLazyBlock *block = g_ptr_array_index (lazy->blocks, i);
      if (block->lazy)
        cs_uffd_wake (lazy->uffd, block->info.host, block->info.used_length);
    }
}

void
cs_lazy_start_fill (CsLazy *lazy)
{
  g_mutex_lock (&lazy->lock);
  bool underway = lazy->filling > 0;
  bool failed = lazy->error != NULL;
  g_mutex_unlock (&lazy->lock);
  if (underway && !failed)
    return;
  if (failed)
    cs_lazy_stop_fill (lazy);
  if (failed)
    try_again (lazy);
  start_threads (lazy, g_atomic_int_get (&lazy->rate) == 0 ? all_threads () : 1, &lazy->filling,
                 "lazy-filler", filler_main);
}

void
cs_lazy_stop_fill (CsLazy *lazy)
{
  g_mutex_lock (&lazy->lock);
  lazy->stop_filler = true;
  g_cond_broadcast (&lazy->changed);
  g_mutex_unlock (&lazy->lock);
  for (guint i = 0; i < lazy->fillers->len; i++)
    g_thread_join (lazy->fillers->pdata[i]);
  g_ptr_array_set_size (lazy->fillers, 0);
  lazy->stop_filler = false;
}

void
cs_lazy_progress (CsLazy *lazy, guint64 *done, guint64 *total)
{
  g_mutex_lock (&lazy->lock);
  *done = lazy->done;
  *total = lazy->total;
  g_mutex_unlock (&lazy->lock);
}

bool
cs_lazy_is_filled (CsLazy *lazy)
{
  g_mutex_lock (&lazy->lock);
  bool filled = lazy->error != NULL || (lazy->filling == 0 && lazy->done == lazy->total);
  g_mutex_unlock (&lazy->lock);
  return filled;
}

static void
wake_waiter (GCancellable *cancellable, gpointer data)
{
  CsLazy *lazy = data;
  g_mutex_lock (&lazy->lock);
  g_cond_broadcast (&lazy->changed);
  g_mutex_unlock (&lazy->lock);
}

bool
cs_lazy_wait_filled (CsLazy *lazy, GCancellable *cancellable, GError **error)
{
  gulong handler = 0;
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (wake_waiter), lazy, NULL);

  g_mutex_lock (&lazy->lock);
  /* A server, too, may be putting the last pages. */
  while ((lazy->filling > 0 || !g_queue_is_empty (&lazy->flights)) && lazy->error == NULL
         && !g_cancellable_is_cancelled (cancellable))
    g_cond_wait (&lazy->changed, &lazy->lock);
  bool ok = lazy->filling == 0 && g_queue_is_empty (&lazy->flights) && lazy->error == NULL;
  if (lazy->error != NULL)
    g_propagate_error (error, g_error_copy (lazy->error));
  else if (!ok)
    g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "%s: waiting for its memory was cancelled",
                 lazy->name);
  g_mutex_unlock (&lazy->lock);
  g_cancellable_disconnect (cancellable, handler);
  return ok;
}
