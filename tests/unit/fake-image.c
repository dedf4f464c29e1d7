#include "config.h"

#include "fake-image.h"

#include "common/error.h"
#include "images/read-plan.h"

struct CsImage
{
  guint64 pages;
  GMutex lock;
  GCond changed;
  /* Under the lock: */
  guint64 bad, hold, delivered, failures;
};

CsImage *
fake_image_new (guint64 pages)
{
  CsImage *image = g_new0 (CsImage, 1);
  image->pages = pages;
  image->bad = image->hold = G_MAXUINT64;
  g_mutex_init (&image->lock);
  g_cond_init (&image->changed);
  return image;
}

void
fake_image_free (CsImage *image)
{
  g_mutex_clear (&image->lock);
  g_cond_clear (&image->changed);
  g_free (image);
}

guint64
fake_image_word (guint64 page)
{
  return page % 4 == 3 ? 0 : 0x5eed000000000000 + page;
}

void
fake_image_fail (CsImage *image, guint64 page)
{
  g_mutex_lock (&image->lock);
  image->bad = page;
  g_mutex_unlock (&image->lock);
}

void
fake_image_hold (CsImage *image, guint64 n)
{
  g_mutex_lock (&image->lock);
  image->hold = n;
  g_cond_broadcast (&image->changed);
  g_mutex_unlock (&image->lock);
}

guint64
fake_image_failures (CsImage *image)
{
  g_mutex_lock (&image->lock);
  guint64 failures = image->failures;
  g_mutex_unlock (&image->lock);
  return failures;
}

guint64
fake_image_delivered (CsImage *image)
{
  g_mutex_lock (&image->lock);
  guint64 delivered = image->delivered;
  g_mutex_unlock (&image->lock);
  return delivered;
}

static bool
make_page (CsImage *image, guint64 page, guint64 *words, GError **error)
{
  g_mutex_lock (&image->lock);
  bool bad = page == image->bad;
  image->failures += bad;
  g_mutex_unlock (&image->lock);
  for (gsize i = 0; i < CS_PAGE_SIZE / sizeof *words; i++)
    words[i] = fake_image_word (page);
  if (bad)
    g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "fake page %" G_GUINT64_FORMAT " is bad", page);
  return !bad;
}

/* --- images/image.h --- */

void
cs_image_volume_info (const CsImage *image, guint volume, CsVolumeInfo *info)
{
  *info = (CsVolumeInfo){ .kind = CS_VOLUME_RAM,
                          .name = "ram",
                          .length = image->pages * CS_PAGE_SIZE,
                          .pages_present = image->pages - image->pages / 4 };
}

bool
cs_image_find_volume (const CsImage *image, CsVolumeKind kind, const char *name, guint *volume)
{
  *volume = 0;
  return kind == CS_VOLUME_RAM && g_str_equal (name, "ram");
}

bool
cs_image_page_is_zero (const CsImage *image, guint volume, guint64 page)
{
  return fake_image_word (page) == 0;
}

bool
cs_image_read (CsImage *image, guint volume, guint64 page, guint64 count, void *data,
               GError **error)
{
  for (guint64 i = 0; i < count; i++)
    if (!make_page (image, page + i, (guint64 *)data + i * CS_PAGE_SIZE / sizeof (guint64), error))
      return false;
  return true;
}

void
cs_image_neighbours (const CsImage *image, guint volume, guint64 page, guint64 window,
                     guint64 *first, guint64 *count)
{
  *first = page;
  *count = 1;
}

/* --- images/read-plan.h: frames of one page --- */

struct CsReadPlan
{
  CsImage *image;
  GArray *pages;
  guint64 read; /* under the image's lock */
};

/* The store's order: the upper half before the lower one. */
CsReadPlan *
cs_read_plan_new (CsImage *image, guint volume)
{
  CsReadPlan *plan = g_new0 (CsReadPlan, 1);
  plan->image = image;
  plan->pages = g_array_new (FALSE, FALSE, sizeof (guint64));
  for (guint64 i = 0; i < image->pages; i++)
    {
      guint64 page = (i + image->pages / 2) % image->pages;
      if (fake_image_word (page) != 0)
        g_array_append_val (plan->pages, page);
    }
  return plan;
}

void
cs_read_plan_free (CsReadPlan *plan)
{
  if (plan == NULL)
    return;
  g_array_unref (plan->pages);
  g_free (plan);
}

guint
cs_read_plan_n_frames (const CsReadPlan *plan)
{
  return plan->pages->len;
}

guint
cs_read_plan_n_pages (const CsReadPlan *plan, guint i)
{
  return 1;
}

guint64
cs_read_plan_page (const CsReadPlan *plan, guint i, guint k)
{
  return g_array_index (plan->pages, guint64, i);
}

guint
cs_read_plan_prefer (CsReadPlan *plan, const guint64 *pages, gsize n)
{
  guint preferred = 0;
  for (gsize i = 0; i < n; i++)
    for (guint k = preferred; k < plan->pages->len; k++)
      if (g_array_index (plan->pages, guint64, k) == pages[i])
        {
          g_array_remove_index (plan->pages, k);
          g_array_insert_val (plan->pages, preferred, pages[i]);
          preferred++;
        }
  return preferred;
}

bool
cs_read_plan_read (CsReadPlan *plan, guint i, CsPageRunFunc func, void *user_data, GError **error)
{
  CsImage *image = plan->image;
  guint64 words[CS_PAGE_SIZE / sizeof (guint64)];
  guint64 page = cs_read_plan_page (plan, i, 0);
  g_mutex_lock (&image->lock);
  while (plan->read == image->hold)
    g_cond_wait (&image->changed, &image->lock);
  plan->read++;
  g_mutex_unlock (&image->lock);
  if (!make_page (image, page, words, error) || !func (page, 1, words, user_data, error))
    return false;
  g_mutex_lock (&image->lock);
  image->delivered = plan->read;
  g_mutex_unlock (&image->lock);
  return true;
}
