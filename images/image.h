/* An image: what one VM becomes in the store.
 *
 * An image is a list of volumes; a volume is a name, a kind, a length in bytes and
 * for each 4 KiB page either "zero" or the place of its content in a segment.
 * RAM blocks, disks and the device state are all volumes.  An image may have a
 * parent: pages of a volume that were not put come from the parent's volume of
 * the same kind and name.  The chain is bounded: a writer whose parent is too deep
 * writes a complete map by itself (only maps are copied, not pages).
 */
#ifndef CS_IMAGES_IMAGE_H
#define CS_IMAGES_IMAGE_H

#include "common/bitmap.h"
#include "images/store.h"

#define CS_PAGE_SIZE 4096

/* On disk: numbers are added at the end and never reused. */
typedef enum
{
  CS_VOLUME_RAM = 1,
  CS_VOLUME_DISK = 2,
  CS_VOLUME_DEVICE_STATE = 3,
} CsVolumeKind;

typedef struct
{
  guint64 pages_put;    /* handed in, a page put twice counts twice */
  guint64 pages_zero;   /* of those: all zero, nothing stored */
  guint64 pages_shared; /* of those: content was in the store already */
  guint64 pages_stored; /* of those: new */
  guint64 bytes_stored; /* compressed bytes of the new ones.  Frames are shared among
                           writers: a frame's bytes are split by its pages' owners; frames not
                           yet written when the image is finished count like the others' mean */
} CsImageStats;

typedef struct CsImageWriter CsImageWriter;

/* Begins an image; @parent is the id of a published image or NULL. */
CsImageWriter *cs_image_writer_new (CsStore *store, const char *parent, GError **error);

/* Gives the image up unless it was finished; pages already put become garbage. */
void cs_image_writer_free (CsImageWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsImageWriter, cs_image_writer_free)

/* Adds a volume and sets *@volume to its number.  With @inherit the pages not put
 * come from the parent (where it has such a volume: its pages past @length are
 * dropped, pages it lacks are zero); without it they are zero. */
bool cs_image_writer_add_volume (CsImageWriter *writer, CsVolumeKind kind, const char *name,
                                 guint64 length, bool inherit, guint *volume, GError **error);

/* Puts @count pages beginning with number @page; the last put of a page wins.  Hashes,
 * looks up and copies; a full frame is compressed and appended here. */
bool cs_image_writer_put (CsImageWriter *writer, guint volume, guint64 page, guint64 count,
                          const void *data, GError **error);

/* The same for pages known to be zero, without their bytes. */
bool cs_image_writer_put_zero (CsImageWriter *writer, guint volume, guint64 page, guint64 count,
                               GError **error);

/* Puts a whole volume of any length (the last page is filled up with zeros). */
bool cs_image_writer_put_bytes (CsImageWriter *writer, guint volume, const void *data, gsize length,
                                GError **error);

/* Completes the image.  It is published by the next cs_store_commit; before that it
 * can be neither opened nor named by a manifest.  Returns its id (g_free). */
char *cs_image_writer_finish (CsImageWriter *writer, CsImageStats *stats, GError **error);

typedef struct CsImage CsImage;

/* Opens a published image with its chain merged: 8 bytes of memory per page.
 * Usable from any thread; pins the image until it is freed.  Errors: NOT_FOUND (also for one
 * that garbage collection found in no snapshot), CORRUPT. */
CsImage *cs_image_open (CsStore *store, const char *id, GError **error);
void cs_image_free (CsImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsImage, cs_image_free)

typedef struct
{
  CsVolumeKind kind;
  const char *name;      /* owned by the image */
  guint64 length;        /* bytes */
  guint64 pages_present; /* not zero */
} CsVolumeInfo;

const char *cs_image_id (const CsImage *image);
const char *cs_image_parent (const CsImage *image); /* NULL: none, or its map is complete */
guint cs_image_n_volumes (const CsImage *image);
void cs_image_volume_info (const CsImage *image, guint volume, CsVolumeInfo *info);
/* False when there is none. */
bool cs_image_find_volume (const CsImage *image, CsVolumeKind kind, const char *name,
                           guint *volume);

bool cs_image_page_is_zero (const CsImage *image, guint volume, guint64 page);

/* Whether page @page of @volume has the same stored content in @other's volume
 * @other_volume; true only when certain (same place, or both zero). */
bool cs_image_page_same (const CsImage *image, guint volume, const CsImage *other,
                         guint other_volume, guint64 page);

/* Reads @count pages into @data, frames verified against their checksums. */
bool cs_image_read (CsImage *image, guint volume, guint64 page, guint64 count, void *data,
                    GError **error);

/* Which pages around @page are as cheap to have as itself, for the store reads them with it: the
 * pages *@first to below *@first + *@count, @page among them, of the aligned group of @window pages
 * that it is in.  Either all of them are zero, or none is. */
void cs_image_neighbours (const CsImage *image, guint volume, guint64 page, guint64 window,
                          guint64 *first, guint64 *count);

/* Adds to @pages (a bit for each page of @volume) those that lie in the same frames: who needs them
 * later has read and decompressed them already. */
void cs_image_add_frame_mates (const CsImage *image, guint volume, CsBitmap *pages);

/* Reads a whole volume, cut to its length. */
GBytes *cs_image_read_bytes (CsImage *image, guint volume, GError **error);

/* Calls @func for every page that is not zero, in the order in which the store
 * holds them, so that each frame is read and decompressed once.  @func returns
 * false with @error set to stop. */
typedef bool (*CsImagePageFunc) (guint64 page, const void *data, void *user_data, GError **error);
bool cs_image_foreach (CsImage *image, guint volume, CsImagePageFunc func, void *user_data,
                       GError **error);

/* The same for the @n pages of @pages, whatever their order (zero ones are left out). */
bool cs_image_read_pages (CsImage *image, guint volume, const guint64 *pages, gsize n,
                          CsImagePageFunc func, void *user_data, GError **error);

/* Reads everything back: every frame's checksum and every page's SHA-256.  Names the damaged
 * object. *@pages is the number of pages checked.  Pages are read once even where
 * many volumes share them. */
bool cs_image_verify (CsImage *image, CsProgressFunc progress, void *data, guint64 *pages,
                      GError **error);

#endif
