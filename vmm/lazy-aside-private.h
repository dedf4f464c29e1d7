/* What the files of lazy-aside.h share: lazy-aside.c (files and their names), lazy-aside-fill.c
 * (what we write), lazy-aside-export.c (through QEMU), lazy-aside-insert.c and lazy-aside-step.c
 * (what QEMU does; lazy-aside-look.c, lazy-aside-bitmaps.c), lazy-aside-libvirt.c (the same of a
 * domain), lazy-aside-offline.c (when it has ended). */
#ifndef CS_VMM_LAZY_ASIDE_PRIVATE_H
#define CS_VMM_LAZY_ASIDE_PRIVATE_H

#include <gio/gio.h>

#include "vmm/disk-nbd.h"
#include "vmm/disk-server.h"
#include "vmm/lazy-aside.h"

typedef enum
{
  ASIDE_EMPTY,
  ASIDE_FILLING,
  ASIDE_FILLED,
  ASIDE_FAILED,
} CsLazyAsideState;

struct CsLazyAside
{
  /* immutable */
  CsLazyAsideDisk disk;
  char *path, *fill_path, *overlay; /* symbolic links resolved */
  char *node, *hold, *job, *export; /* QEMU's names */

  CsDiskServer *server; /* and its export are in QEMU; NULL: no */
  CsNbd *nbd;           /* the filler's, while there is one */

  GThread *filler;           /* NULL: none; joined when @state tells that it has ended */
  GCancellable *cancellable; /* its end */
  GError *error;             /* of the filler, once it has ended */
  bool begun;                /* the job, which nobody has held since */
  bool both;                 /* writes that begin go to both images, and none is older */

  /* atomic */
  gint state;      /* CsLazyAsideState */
  guint64 written; /* bytes */
  guint64 content; /* bytes that are not zero; 0: not known yet */
};

/* Whether the image has its name. */
bool cs_lazy_aside_is_named (const CsLazyAside *aside);
/* Whether it lacks nothing but that: the guest has left the overlay, which is gone. */
bool cs_lazy_aside_has_changed_over (const CsLazyAside *aside);
/* It takes its name, durably; EXISTS: somebody put another file there. */
bool cs_lazy_aside_take_name (CsLazyAside *aside, GError **error);
/* And loses it. */
bool cs_lazy_aside_drop_name (CsLazyAside *aside, GError **error);
/* The path leads to the image for a moment, without being it. */
bool cs_lazy_aside_link (CsLazyAside *aside, GError **error);
void cs_lazy_aside_unlink (CsLazyAside *aside);

/* The thread that writes the image, through @nbd (taken) unless that is NULL.  Its state
 * afterwards; a failure is told once and then forgotten. */
void cs_lazy_aside_start_fill (CsLazyAside *aside, CsNbd *nbd);
CsLazyAsideState cs_lazy_aside_end_fill (CsLazyAside *aside, GError **error);
void cs_lazy_aside_stop_fill (CsLazyAside *aside);
/* The same in this thread, to the file at @path, unbounded. */
bool cs_lazy_aside_write (CsLazyAside *aside, const char *path, GError **error);

/* QEMU's devices and nodes at one moment. */
typedef struct
{
  CsLazyAside *aside;
  CsMonitor *monitor;
  CsBlockGraph *graph;
  json_object *blocks; /* query-block's */
} CsLazyAsideLook;

bool cs_lazy_aside_look (CsLazyAsideLook *look, GError **error);
void cs_lazy_aside_look_clear (CsLazyAsideLook *look);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CsLazyAsideLook, cs_lazy_aside_look_clear)
/* The node that the device of an entry of @blocks has. */
const char *cs_lazy_aside_top_of (json_object *block);

/* The dirty bitmaps of node @from that a capture trusts go on at node @to, which has the same
 * content from now on. */
bool cs_lazy_aside_copy_bitmaps (const CsLazyAsideLook *look, const char *from, const char *to,
                                 GError **error);
/* Its job has gone before its end.  False. */
bool cs_lazy_aside_tell_failure (const CsLazyAside *aside, GError **error);

/* The domain has ended: takes libvirt's notes from the image, and gives it the owner that they
 * tell. */
void cs_lazy_aside_forget_libvirt (const CsLazyAside *aside);

/* Whether a bare VM's image can be written through QEMU only, which has it open. */
bool cs_lazy_aside_needs_export (const CsLazyAside *aside);
/* Exports the image's node @image and connects. */
CsNbd *cs_lazy_aside_export (CsLazyAside *aside, CsMonitor *monitor, const char *image,
                             GError **error);
void cs_lazy_aside_end_export (CsLazyAside *aside, CsMonitor *monitor);

#endif
