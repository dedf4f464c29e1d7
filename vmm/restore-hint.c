/* What a VM touches first after its restore is much the same each time (Ustiugov et al.,
 * ASPLOS'21): the order is kept beside the image and prefetched in at the next restore.
 *
 * It is recorded while the fill is under way, so what the fill brought in time is not in it: the
 * later, the less.  Therefore later restores add what they missed. */
#include "config.h"

#include "common/error.h"
#include "vmm/restore-private.h"

/* Rewritten when at least 1 / so many of its touches are new. */
#define WORTH_SHARE 8

void
cs_restore_use_hint (CsRestore *restore)
{
  g_autoptr (GError) error = NULL;
  restore->hint = cs_hint_get (restore->image, &error);
  if (restore->hint != NULL)
    cs_lazy_prefetch (restore->lazy, restore->hint);
  else if (!g_error_matches (error, CS_ERROR, CS_ERROR_NOT_FOUND))
    g_warning ("VM '%s': what it touched first at an earlier restore is ignored: %s",
               restore->document->name, error->message);
}

static guint64
key_of (const CsTouch *touch)
{
  return (guint64)touch->volume << 48 | touch->page;
}

/* Appends to @touches those of @more that it does not have. */
static void
add_new (GArray *touches, GHashTable *seen, const GArray *more)
{
  for (guint i = 0; more != NULL && i < more->len && touches->len < CS_HINT_MAX_TOUCHES; i++)
    {
      const CsTouch *touch = &g_array_index (more, CsTouch, i);
      guint64 key = key_of (touch);
      if (g_hash_table_add (seen, g_memdup2 (&key, sizeof key)))
        g_array_append_val (touches, *touch);
    }
}

void
cs_restore_save_hint (CsRestore *restore)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) now = cs_lazy_touches (restore->lazy);
  g_autoptr (GArray) touches = g_array_new (FALSE, FALSE, sizeof (CsTouch));
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  guint known = restore->hint != NULL ? restore->hint->len : 0;
  add_new (touches, seen, restore->hint);
  add_new (touches, seen, now);
  if (touches->len == known || (touches->len - known) * WORTH_SHARE < known)
    return;
  if (!cs_hint_put (restore->image, touches, &error))
    g_warning ("VM '%s': what it touched first is not kept: %s", restore->document->name,
               error->message);
}
