/* What the files of the store share. */
#ifndef CS_IMAGES_STORE_PRIVATE_H
#define CS_IMAGES_STORE_PRIVATE_H

#include "images/backend.h"
#include "images/frame-cache.h"
#include "images/image.h"
#include "images/packer.h"
#include "images/roots.h"

/* An image between finish and commit. */
typedef struct
{
  char *id;
  GBytes *content; /* of the image file */
  CsPackerUser *user;
  CsImage *parent; /* pinned until then; NULL: none */
} CsFinishedImage;

void cs_finished_image_free (CsFinishedImage *finished);

/* Lock order: gc_lock, commit_lock, roots, packer; see also packer.c. */
struct CsStore
{
  /* immutable */
  bool reader; /* without lock, index and packer */
  char *path;
  char *uuid;
  guint8 uuid_bytes[16];
  int lock_fd;
  CsBackend *backend;
  CsSegmentTable *segments;
  CsIndex *index;
  CsPacker *packer;
  CsFrameCache *cache;
  CsRoots *roots;

  GMutex gc_lock;     /* one garbage collection at a time */
  GMutex commit_lock; /* one commit at a time */

  GMutex finished_lock;
  GPtrArray *finished; /* CsFinishedImage; under finished_lock */
};

/* cs_store_open over any backend (taken, also on error); @path is for the lock and the index. */
CsStore *cs_store_open_backend (const char *path, CsBackend *backend, GError **error);

CsStore *cs_store_open_reader_backend (const char *path, CsBackend *backend, GError **error);

/* What both kinds of opening begin with; takes @backend. */
CsStore *cs_store_alloc (const char *path, CsBackend *backend);
bool cs_store_check_directory (const char *path, GError **error);

/* PERMISSION for a reader. */
bool cs_store_check_writable (const CsStore *store, GError **error);

/* Published images: GPtrArray of ids. */
GPtrArray *cs_store_list_images (CsStore *store, GError **error);

#endif
