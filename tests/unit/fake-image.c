#include "config.h"

#include "fake-image.h"

#include "common/error.h"

struct CsImage
{
  guint64 pages;
  GMutex lock;
  GCond changed;
  /* Under the lock: */
  guint64 bad, hold, delivered;
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

/* The store's order: the upper half before the lower one. */
bool
cs_image_foreach (CsImage *image, guint volume, CsImagePageFunc func, void *user_data,
                  GError **error)
{
  guint64 words[CS_PAGE_SIZE / sizeof (guint64)];
  for (guint64 i = 0, n = 0; i < image->pages; i++)
    {
      guint64 page = (i + image->pages / 2) % image->pages;
      if (fake_image_word (page) == 0)
        continue;
      g_mutex_lock (&image->lock);
      while (n == image->hold)
        g_cond_wait (&image->changed, &image->lock);
      g_mutex_unlock (&image->lock);
      if (!make_page (image, page, words, error) || !func (page, words, user_data, error))
        return false;
      n++;
      g_mutex_lock (&image->lock);
      image->delivered = n;
      g_mutex_unlock (&image->lock);
    }
  return true;
}
