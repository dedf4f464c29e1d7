/* Reading most of a volume, each frame of the store once: a list of the frames that hold its pages.
 *
 * At first in the store's order; what is wanted sooner can be put in front.  Frames may then be
 * read in any order and by any number of threads at once; each reads and decompresses a frame by
 * itself and hands out the pages in it, without the cache in between. */
#ifndef CS_IMAGES_READ_PLAN_H
#define CS_IMAGES_READ_PLAN_H

#include <gio/gio.h>

#include "images/image.h"

typedef struct CsReadPlan CsReadPlan;

/* @image outlives the plan. */
CsReadPlan *cs_read_plan_new (CsImage *image, guint volume);
void cs_read_plan_free (CsReadPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsReadPlan, cs_read_plan_free)

guint cs_read_plan_n_frames (const CsReadPlan *plan);

/* Puts the frames that hold pages @pages[0] ... in front, in this order, and returns how many
 * frames that are; zero pages are in none.  Not while others read. */
guint cs_read_plan_prefer (CsReadPlan *plan, const guint64 *pages, gsize n);

/* Page @k of frame @i; @k from 0 to below cs_read_plan_n_pages. */
guint cs_read_plan_n_pages (const CsReadPlan *plan, guint i);
guint64 cs_read_plan_page (const CsReadPlan *plan, guint i, guint k);

/* Calls @func for the pages of frame @i, in runs that follow each other in the volume.  @func
 * returns false with @error set to stop. */
typedef bool (*CsPageRunFunc) (guint64 page, guint64 count, const void *data, void *user_data,
                               GError **error);
bool cs_read_plan_read (CsReadPlan *plan, guint i, CsPageRunFunc func, void *user_data,
                        GError **error);

/* Reads all frames, by as many threads as there are processors but at most @threads.  @func is
 * called from all of them.  The first error stops all; CANCELLED by @cancellable (or NULL). */
bool cs_read_plan_read_all (CsReadPlan *plan, guint threads, CsPageRunFunc func, void *user_data,
                            GCancellable *cancellable, GError **error);

#endif
