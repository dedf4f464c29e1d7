/* Raw images are written directly; qcow2 images through a qemu-nbd of our own, which knows the
 * format.  The store hands pages over in its own order: neighbours are gathered into pieces of up
 * to 1 MiB, and with qemu-nbd several pieces are in flight.  An image above a backing image:
 * disk-fill-above.c. */
#include "config.h"

#include "vmm/disk-fill.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/disk-nbd.h"
#include "vmm/qemu-img.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PIECE_PAGES 256
#define PIECES 8
#define HEAD_PAGES 16

typedef struct
{
  char *data;
  guint64 page, count; /* gathered so far */
  gint64 number;       /* NBD request in flight, or 0 */
} Piece;

typedef struct
{
  const CsDisk *disk;
  const char *path;
  int fd;     /* raw */
  CsNbd *nbd; /* qcow2; NULL for raw */
  CsDiskFillControl *control;
  Piece pieces[PIECES];
  guint current;
} Filler;

static bool
wait_piece (Filler *filler, Piece *piece, GError **error)
{
  gint64 number = piece->number;
  piece->number = 0;
  piece->count = 0;
  return number == 0 || cs_nbd_wait (filler->nbd, number, error);
}

/* Writes what the current piece has gathered, and takes the next one. */
static bool
write_piece (Filler *filler, GError **error)
{
  Piece *piece = &filler->pieces[filler->current];
  if (piece->count == 0)
    return true;
  guint64 offset = piece->page * CS_PAGE_SIZE;
  guint64 length = MIN (piece->count * CS_PAGE_SIZE, filler->disk->size - offset);
  CsDiskFillControl *control = filler->control;
  if (control->written != NULL)
    __atomic_fetch_add (control->written, length, __ATOMIC_RELAXED);
  /* That it was cancelled the next page tells. */
  cs_pace_keep (&control->pace, length, control->cancellable);
  if (filler->nbd == NULL)
    {
      piece->count = 0;
      return cs_fd_write_all (filler->fd, piece->data, length, (off_t)offset, filler->path, error);
    }
  piece->number = cs_nbd_write (filler->nbd, piece->data, length, offset, error);
  if (piece->number < 0)
    return false;
  filler->current = (filler->current + 1) % PIECES;
  return wait_piece (filler, &filler->pieces[filler->current], error);
}

static bool
take_page (guint64 page, const void *data, void *user_data, GError **error)
{
  Filler *filler = user_data;
  Piece *piece = &filler->pieces[filler->current];
  if (g_cancellable_is_cancelled (filler->control->cancellable))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "cancelled");
      return false;
    }
  if (piece->count > 0 && (piece->count == PIECE_PAGES || page != piece->page + piece->count))
    {
      if (!write_piece (filler, error))
        return false;
      piece = &filler->pieces[filler->current];
    }
  if (piece->count == 0)
    piece->page = page;
  memcpy (piece->data + piece->count * CS_PAGE_SIZE, data, CS_PAGE_SIZE);
  piece->count++;
  return true;
}

/* All pages that are not zero. */
static bool
copy (Filler *filler, CsImage *image, guint volume, GError **error)
{
  g_autofree char *data = g_malloc (PIECES * PIECE_PAGES * CS_PAGE_SIZE);
  for (guint i = 0; i < PIECES; i++)
    filler->pieces[i].data = data + i * PIECE_PAGES * CS_PAGE_SIZE;
  bool ok =
      cs_image_foreach (image, volume, take_page, filler, error) && write_piece (filler, error);
  for (guint i = 0; ok && i < PIECES; i++)
    ok = wait_piece (filler, &filler->pieces[i], error);
  if (ok && filler->nbd != NULL)
    {
      gint64 number = cs_nbd_flush (filler->nbd, error);
      ok = number > 0 && cs_nbd_wait (filler->nbd, number, error);
    }
  /* After a failure requests in flight still read the pieces: they end before, or with the
   * connection. */
  g_autoptr (GError) local = NULL;
  for (guint i = 0; filler->nbd != NULL && i < PIECES; i++)
    if (!g_error_matches (local, CS_ERROR, CS_ERROR_DEADLINE))
      {
        g_clear_error (&local);
        wait_piece (filler, &filler->pieces[i], &local);
      }
  g_clear_pointer (&filler->nbd, cs_nbd_free);
  return ok;
}

static bool
fill_raw (Filler *filler, bool block_device, CsImage *image, guint volume, GError **error)
{
  off_t size = (off_t)filler->disk->size;
  if (block_device
      && fallocate (filler->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, size) < 0)
    return cs_error_set_errno (error, errno, "cannot zero '%s'", filler->path);
  if (!block_device && ftruncate (filler->fd, size) < 0)
    return cs_error_set_errno (error, errno, "cannot make '%s' that large", filler->path);
  return copy (filler, image, volume, error);
}

bool
cs_disk_create_raw (const CsDisk *disk, const char *path, int fd, CsImage *image, guint volume,
                    GError **error)
{
  guint64 length = MIN (HEAD_PAGES * CS_PAGE_SIZE, disk->size);
  g_autofree char *data = g_malloc (HEAD_PAGES * CS_PAGE_SIZE);
  if (ftruncate (fd, (off_t)disk->size) < 0)
    return cs_error_set_errno (error, errno, "cannot make '%s' that large", path);
  return cs_image_read (image, volume, 0, (length + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE, data, error)
         && cs_fd_write_all (fd, data, length, 0, path, error);
}

bool
cs_disk_create_qcow2 (const CsDisk *disk, const char *lazy_backing, const char *path,
                      GError **error)
{
  g_autofree char *options =
      g_strdup_printf ("cluster_size=%" G_GUINT64_FORMAT, disk->cluster_size);
  g_autofree char *size = g_strdup_printf ("%" G_GUINT64_FORMAT, disk->size);
  const char *argv[16] = { "create", "-q", "-f", "qcow2", "-o", options };
  guint n = 6;
  if (lazy_backing != NULL)
    {
      argv[n++] = "-u";
      argv[n++] = "-b";
      argv[n++] = lazy_backing;
      argv[n++] = "-F";
      argv[n++] = "raw";
    }
  else if (disk->backing_file != NULL)
    {
      argv[n++] = "-b";
      argv[n++] = disk->backing_file;
      argv[n++] = "-F";
      argv[n++] = disk->backing_format;
    }
  argv[n++] = "--";
  argv[n++] = path;
  argv[n++] = size;
  if (cs_qemu_img_run (argv, error))
    return true;
  g_prefix_error (error, "cannot create '%s': ", path);
  return false;
}

static bool
fill_qcow2 (Filler *filler, CsImage *image, guint volume, GError **error)
{
  if (!cs_disk_create_qcow2 (filler->disk, NULL, filler->path, error))
    return false;
  /* Flushing is for commit: the old image is kept until then. */
  const char *argv[] = { "qemu-nbd",       "--format=qcow2",
                         "--cache=unsafe", "--discard=unmap",
                         "--aio=threads",  "--",
                         filler->path,     NULL };
  filler->nbd = cs_nbd_spawn ((char **)argv, filler->path, error);
  if (filler->nbd == NULL)
    return false;
  if (filler->disk->backing_file == NULL)
    return copy (filler, image, volume, error);
  guint64 position = 0;
  CsDiskFillControl control = *filler->control;
  if (control.written == NULL)
    control.written = &position;
  bool ok =
      cs_disk_fill_above (filler->disk, filler->path, filler->nbd, image, volume, &control, error);
  g_clear_pointer (&filler->nbd, cs_nbd_free);
  return ok;
}

bool
cs_disk_fill (const CsDisk *disk, const char *path, int fd, bool block_device, CsImage *image,
              guint volume, CsDiskFillControl *control, GError **error)
{
  Filler filler = { .disk = disk, .path = path, .fd = fd, .control = control };
  if (strcmp (disk->format, "raw") == 0)
    return fill_raw (&filler, block_device, image, volume, error);
  return fill_qcow2 (&filler, image, volume, error);
}
