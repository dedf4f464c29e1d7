#include "config.h"

#include "images/read-plan.h"

#include "common/error.h"
#include "images/image-private.h"

/* What one thread reads with. */
typedef struct
{
  CsFrameCodec *codec;
  CsFrame frame;
} Reader;

typedef struct
{
  guint first, count; /* of pages */
} Frame;

struct CsReadPlan
{
  /* immutable */
  CsImage *image;
  guint volume;
  GArray *pages; /* of CsPlacedPage, by location, then page */

  /* immutable while anybody reads */
  GArray *frames; /* of Frame, in the order wanted */

  GMutex lock;
  GPtrArray *readers; /* idle; under lock */
};

static gint
by_location_and_page (gconstpointer a, gconstpointer b)
{
  const CsPlacedPage *left = a, *right = b;
  if (left->location != right->location)
    return left->location > right->location ? 1 : -1;
  return (left->page > right->page) - (left->page < right->page);
}

static const CsPlacedPage *
placed (const CsReadPlan *plan, guint i)
{
  return &g_array_index (plan->pages, CsPlacedPage, i);
}

static const Frame *
frame_at (const CsReadPlan *plan, guint i)
{
  return &g_array_index (plan->frames, Frame, i);
}

static bool
same_frame (CsLocation a, CsLocation b)
{
  return a / CS_FRAME_PAGES == b / CS_FRAME_PAGES;
}

CsReadPlan *
cs_read_plan_new (CsImage *image, guint volume)
{
  CsReadPlan *plan = g_new0 (CsReadPlan, 1);
  plan->image = image;
  plan->volume = volume;
  g_mutex_init (&plan->lock);
  plan->readers = g_ptr_array_new ();
  plan->pages = g_array_new (FALSE, FALSE, sizeof (CsPlacedPage));
  plan->frames = g_array_new (FALSE, FALSE, sizeof (Frame));
  cs_image_volume_list (cs_image_volume (image, volume), plan->pages);
  g_array_sort (plan->pages, by_location_and_page);
  Frame frame = { 0, 0 };
  for (guint i = 0; i < plan->pages->len; i++)
    {
      if (frame.count > 0
          && !same_frame (placed (plan, i)->location, placed (plan, i - 1)->location))
        {
          g_array_append_val (plan->frames, frame);
          frame = (Frame){ i, 0 };
        }
      frame.count++;
    }
  if (frame.count > 0)
    g_array_append_val (plan->frames, frame);
  return plan;
}

static void
reader_free (CsReadPlan *plan, Reader *reader)
{
  cs_frame_cache_return_codec (plan->image->store->cache, reader->codec);
  g_free (reader);
}

void
cs_read_plan_free (CsReadPlan *plan)
{
  if (plan == NULL)
    return;
  for (guint i = 0; i < plan->readers->len; i++)
    reader_free (plan, plan->readers->pdata[i]);
  g_ptr_array_unref (plan->readers);
  g_array_unref (plan->pages);
  g_array_unref (plan->frames);
  g_mutex_clear (&plan->lock);
  g_free (plan);
}

guint
cs_read_plan_n_frames (const CsReadPlan *plan)
{
  return plan->frames->len;
}

guint
cs_read_plan_n_pages (const CsReadPlan *plan, guint i)
{
  return frame_at (plan, i)->count;
}

guint64
cs_read_plan_page (const CsReadPlan *plan, guint i, guint k)
{
  return placed (plan, frame_at (plan, i)->first + k)->page;
}

/* --- order --- */

/* The number of the frame that holds @location; it is there. */
static guint
find_frame (const GArray *frames, const CsReadPlan *plan, CsLocation location)
{
  guint low = 0, high = frames->len;
  while (high - low > 1)
    {
      guint middle = low + (high - low) / 2;
      const Frame *frame = &g_array_index (frames, Frame, middle);
      if (placed (plan, frame->first)->location / CS_FRAME_PAGES <= location / CS_FRAME_PAGES)
        low = middle;
      else
        high = middle;
    }
  return low;
}

static gint
by_first (gconstpointer a, gconstpointer b)
{
  const Frame *left = a, *right = b;
  return (left->first > right->first) - (left->first < right->first);
}

guint
cs_read_plan_prefer (CsReadPlan *plan, const guint64 *pages, gsize n)
{
  const CsPageMap *map = cs_image_volume (plan->image, plan->volume)->map;
  g_array_sort (plan->frames, by_first);
  guint count = plan->frames->len;
  GArray *ordered = g_array_sized_new (FALSE, FALSE, sizeof (Frame), count);
  g_autofree bool *taken = g_new0 (bool, count + 1);
  for (gsize i = 0; i < n; i++)
    {
      CsLocation location =
          pages[i] < cs_page_map_size (map) ? cs_page_map_get (map, pages[i]) : CS_LOCATION_ZERO;
      if (location == CS_LOCATION_ZERO)
        continue;
      guint found = find_frame (plan->frames, plan, location);
      if (!taken[found])
        g_array_append_val (ordered, g_array_index (plan->frames, Frame, found));
      taken[found] = true;
    }
  guint preferred = ordered->len;
  for (guint i = 0; i < count; i++)
    if (!taken[i])
      g_array_append_val (ordered, g_array_index (plan->frames, Frame, i));
  g_array_unref (plan->frames);
  plan->frames = ordered;
  return preferred;
}

/* --- reading --- */

static Reader *
take_reader (CsReadPlan *plan)
{
  Reader *reader = NULL;
  g_mutex_lock (&plan->lock);
  if (plan->readers->len > 0)
    reader = g_ptr_array_steal_index_fast (plan->readers, plan->readers->len - 1);
  g_mutex_unlock (&plan->lock);
  if (reader != NULL)
    return reader;
  reader = g_new (Reader, 1);
  reader->codec = cs_frame_cache_take_codec (plan->image->store->cache);
  return reader;
}

static void
return_reader (CsReadPlan *plan, Reader *reader)
{
  g_mutex_lock (&plan->lock);
  g_ptr_array_add (plan->readers, reader);
  g_mutex_unlock (&plan->lock);
}

static bool
deliver (const CsReadPlan *plan, const Frame *frame, const CsFrame *content, CsPageRunFunc func,
         void *user_data, GError **error)
{
  for (guint at = frame->first, end = at + frame->count, n; at < end; at += n)
    {
      const CsPlacedPage *first = placed (plan, at);
      const guint8 *data = cs_frame_page (content, first->location, error);
      bool more = data != NULL;
      for (n = 1; more && at + n < end; n += more)
        more = placed (plan, at + n)->page == first->page + n
               && placed (plan, at + n)->location == first->location + n
               && cs_frame_page (content, first->location + n, NULL) != NULL;
      if (data == NULL)
        {
          cs_image_prefix_error (plan->image, plan->volume, error);
          return false;
        }
      if (!func (first->page, n, data, user_data, error))
        return false;
    }
  return true;
}

bool
cs_read_plan_read (CsReadPlan *plan, guint i, CsPageRunFunc func, void *user_data, GError **error)
{
  const Frame *frame = frame_at (plan, i);
  Reader *reader = take_reader (plan);
  bool ok = cs_image_read_frame (plan->image->store, placed (plan, frame->first)->location,
                                 reader->codec, &reader->frame, error);
  if (!ok)
    cs_image_prefix_error (plan->image, plan->volume, error);
  ok = ok && deliver (plan, frame, &reader->frame, func, user_data, error);
  return_reader (plan, reader);
  return ok;
}

/* --- all of it --- */

typedef struct
{
  CsReadPlan *plan;
  CsPageRunFunc func;
  void *user_data;
  GCancellable *cancellable;
  gint next; /* atomic */
  GMutex lock;
  GError *error; /* the first; under lock */
} All;

static bool
read_next (All *all, GError **error)
{
  guint i = (guint)g_atomic_int_add (&all->next, 1);
  if (i >= all->plan->frames->len)
    return false;
  if (g_cancellable_is_cancelled (all->cancellable))
    {
      g_set_error_literal (error, CS_ERROR, CS_ERROR_CANCELLED, "reading was cancelled");
      return false;
    }
  return cs_read_plan_read (all->plan, i, all->func, all->user_data, error);
}

static gpointer
read_some (gpointer data)
{
  All *all = data;
  g_autoptr (GError) error = NULL;
  while (read_next (all, &error))
    ;
  if (error == NULL)
    return NULL;
  g_atomic_int_set (&all->next, G_MAXINT / 2);
  g_mutex_lock (&all->lock);
  if (all->error == NULL)
    all->error = g_steal_pointer (&error);
  g_mutex_unlock (&all->lock);
  return NULL;
}

bool
cs_read_plan_read_all (CsReadPlan *plan, guint threads, CsPageRunFunc func, void *user_data,
                       GCancellable *cancellable, GError **error)
{
  All all = { .plan = plan, .func = func, .user_data = user_data, .cancellable = cancellable };
  guint n = MIN (MIN (threads, g_get_num_processors ()), plan->frames->len);
  g_autoptr (GPtrArray) others = g_ptr_array_new ();
  g_mutex_init (&all.lock);
  for (guint i = 1; i < n; i++)
    g_ptr_array_add (others, g_thread_new ("read-plan", read_some, &all));
  read_some (&all);
  for (guint i = 0; i < others->len; i++)
    g_thread_join (others->pdata[i]);
  g_mutex_clear (&all.lock);
  if (all.error != NULL)
    g_propagate_error (error, all.error);
  return all.error == NULL;
}
