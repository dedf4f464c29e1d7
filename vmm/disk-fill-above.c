/* Fills a qcow2 image above a backing image.
 *
 * What the backing image holds as well is left out, whole clusters only, so that the image stays as
 * thin as it was.  The backing image's content is compared now, byte by byte: nothing is assumed of
 * what it was when the snapshot was taken, and where it differs the image gets the snapshot's own.
 * Nobody may change it from now on, as for any image that has images above it. */
#include "config.h"

#include "vmm/disk-fill.h"

#include "common/error.h"
#include "vmm/disk-file.h"

#include <string.h>

/* The largest cluster of qcow2, so a multiple of all. */
#define STEP (2u << 20)

typedef struct
{
  const CsDisk *disk;
  CsNbd *top, *backing;
  CsImage *image;
  guint volume;
  char *wanted, *below; /* STEP bytes each */
  GArray *requests;     /* gint64, in flight on top */
  guint64 put;          /* bytes of the present step */
} Above;

typedef enum
{
  SAME,
  ZERO,
  DATA,
} Kind;

static bool
read_backing (Above *above, guint64 offset, guint64 length, GError **error)
{
  guint64 size = cs_nbd_size (above->backing);
  guint64 there = offset < size ? MIN (length, size - offset) : 0;
  memset (above->below + there, 0, STEP - there);
  if (there == 0)
    return true;
  gint64 number = cs_nbd_read (above->backing, above->below, there, offset, error);
  return number > 0 && cs_nbd_wait (above->backing, number, error);
}

static Kind
kind_of (const Above *above, guint64 at, guint64 length)
{
  if (memcmp (above->wanted + at, above->below + at, length) == 0)
    return SAME;
  return above->wanted[at] == 0
                 && memcmp (above->wanted + at, above->wanted + at + 1, length - 1) == 0
             ? ZERO
             : DATA;
}

static bool
put (Above *above, Kind kind, guint64 offset, guint64 at, guint64 length, GError **error)
{
  if (kind == SAME || length == 0)
    return true;
  gint64 number = kind == ZERO
                      ? cs_nbd_zero (above->top, length, offset + at, error)
                      : cs_nbd_write (above->top, above->wanted + at, length, offset + at, error);
  if (number > 0)
    g_array_append_val (above->requests, number);
  above->put += kind == DATA ? length : 0;
  return number > 0;
}

/* Neighbours of a kind go together. */
static bool
put_differences (Above *above, guint64 offset, guint64 length, GError **error)
{
  guint64 unit = MAX (above->disk->cluster_size, CS_PAGE_SIZE), begin = 0;
  Kind kind = SAME;
  for (guint64 at = 0; at < length; at += unit)
    {
      Kind next = kind_of (above, at, MIN (unit, length - at));
      if (next == kind)
        continue;
      if (!put (above, kind, offset, begin, at - begin, error))
        return false;
      kind = next;
      begin = at;
    }
  return put (above, kind, offset, begin, length - begin, error);
}

/* All are waited for, also after a failure: they read the buffer. */
static bool
wait_all (Above *above, GError **error)
{
  bool ok = true;
  for (guint i = 0; i < above->requests->len; i++)
    {
      gint64 number = g_array_index (above->requests, gint64, i);
      ok = cs_nbd_wait (above->top, number, ok ? error : NULL) && ok;
    }
  g_array_set_size (above->requests, 0);
  return ok;
}

static bool
fill_step (Above *above, guint64 offset, GError **error)
{
  guint64 length = MIN (STEP, above->disk->size - offset);
  guint64 pages = (length + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE;
  if (!cs_image_read (above->image, above->volume, offset / CS_PAGE_SIZE, pages, above->wanted,
                      error)
      || !read_backing (above, offset, length, error))
    return false;
  above->put = 0;
  bool put_ok = put_differences (above, offset, length, error);
  return wait_all (above, put_ok ? error : NULL) && put_ok;
}

static bool
fill (Above *above, CsDiskFillControl *control, GError **error)
{
  guint64 size = above->disk->size, *position = control->written;
  for (guint64 offset = *position; offset < size; offset = MIN (offset + STEP, size))
    {
      if (g_cancellable_is_cancelled (control->cancellable))
        {
          g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "cancelled");
          return false;
        }
      if (!fill_step (above, offset, error))
        return false;
      __atomic_store_n (position, MIN (offset + STEP, size), __ATOMIC_RELAXED);
      cs_pace_keep (&control->pace, above->put, control->cancellable);
    }
  gint64 number = cs_nbd_flush (above->top, error);
  return number > 0 && cs_nbd_wait (above->top, number, error);
}

/* As QEMU takes it: a relative name is meant from where the image lies, "nbd:..." or "json:..." is
 * no file's. */
static char *
backing_name (const CsDisk *disk, const char *path)
{
  const char *name = disk->backing_file;
  g_autofree char *directory = g_path_get_dirname (path);
  if (g_path_is_absolute (name) || cs_disk_file_has_protocol (name))
    return g_strdup (name);
  return g_build_filename (directory, name, NULL);
}

static CsNbd *
open_backing (const CsDisk *disk, const char *path, GError **error)
{
  g_autofree char *file = backing_name (disk, path);
  g_autofree char *format = g_strconcat ("--format=", disk->backing_format, NULL);
  const char *argv[] = { "qemu-nbd", "--read-only", format, "--aio=threads", "--", file, NULL };
  return cs_nbd_spawn ((char **)argv, file, error);
}

bool
cs_disk_fill_above (const CsDisk *disk, const char *path, CsNbd *top, CsImage *image, guint volume,
                    CsDiskFillControl *control, GError **error)
{
  g_autoptr (CsNbd) backing = open_backing (disk, path, error);
  if (backing == NULL)
    return false;
  g_autoptr (GArray) requests = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autofree char *wanted = g_malloc (STEP);
  g_autofree char *below = g_malloc (STEP);
  Above above = { disk, top, backing, image, volume, wanted, below, requests, 0 };
  return fill (&above, control, error);
}
