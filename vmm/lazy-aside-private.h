/* What the files of lazy-aside.h share: lazy-aside.c (files and their names), lazy-aside-fill.c
 * (what is written without QEMU), lazy-aside-qemu.c (what QEMU does). */
#ifndef CS_VMM_LAZY_ASIDE_PRIVATE_H
#define CS_VMM_LAZY_ASIDE_PRIVATE_H

#include <gio/gio.h>

#include "vmm/lazy-aside.h"

struct CsLazyAside
{
  /* immutable */
  CsLazyAsideDisk disk;
  char *path, *fill_path, *overlay; /* symbolic links resolved */
  char *node, *hold, *job;          /* QEMU's names */

  GThread *filler;           /* NULL: none; joined when @state tells that it has ended */
  GCancellable *cancellable; /* its end */
  GError *error;             /* of the filler, once it has ended */
  bool begun;                /* the job, which nobody has held since */

  /* atomic */
  gint state;      /* CsLazyAsideState */
  guint64 written; /* bytes */
  guint64 content; /* bytes that are not zero; 0: not known yet */
};

typedef enum
{
  ASIDE_EMPTY,
  ASIDE_FILLING,
  ASIDE_FILLED,
  ASIDE_FAILED,
} CsLazyAsideState;

/* Whether the image has its name. */
bool cs_lazy_aside_is_named (const CsLazyAside *aside);
/* It takes its name, durably; EXISTS: somebody put another file there. */
bool cs_lazy_aside_take_name (CsLazyAside *aside, GError **error);
/* And loses it. */
bool cs_lazy_aside_drop_name (CsLazyAside *aside, GError **error);
/* The path leads to the image for a moment, without being it. */
bool cs_lazy_aside_link (CsLazyAside *aside, GError **error);
void cs_lazy_aside_unlink (CsLazyAside *aside);

/* The thread that writes the image.  *@filled: it has. */
bool cs_lazy_aside_fill (CsLazyAside *aside, bool *filled, GError **error);
void cs_lazy_aside_stop_fill (CsLazyAside *aside);
/* The same in this thread, to the file at @path. */
bool cs_lazy_aside_write (CsLazyAside *aside, const char *path, GError **error);

#endif
