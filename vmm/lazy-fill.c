/* Puts the rest of a lazily restored VM's memory, in the order in which the store holds it. */
#include "config.h"

#include <string.h>

#include "common/error.h"
#include "common/fault.h"
#include "vmm/lazy-private.h"
#include "vmm/lazy-uffd.h"

#define BATCH_PAGES 64
/* How long faults may hold the filler back for one batch: under a storm of them it still gets on.
 */
#define STAND_BACK_US 5000

/* A run of pages that follow each other in the store's order and in memory. */
typedef struct
{
  CsLazy *lazy;
  CsLazyBlock *block;
  guint64 page, count;
  guint8 *data; /* BATCH_PAGES pages */
} Batch;

static bool
flush (Batch *batch, GError **error)
{
  CsLazy *lazy = batch->lazy;
  if (!cs_fault_point ("fill", error))
    return false;
  gint64 until = g_get_monotonic_time () + STAND_BACK_US;
  g_mutex_lock (&lazy->lock);
  while (lazy->serving && !lazy->stop_filler
         && g_cond_wait_until (&lazy->changed, &lazy->lock, until))
    ;
  bool ok = true;
  if (lazy->stop_filler)
    {
      g_set_error_literal (error, CS_ERROR, CS_ERROR_CANCELLED, "stopped");
      ok = false;
    }
  else if (batch->count > 0)
    ok = cs_lazy_place (lazy, batch->block, batch->page, batch->count, batch->data, error);
  g_mutex_unlock (&lazy->lock);
  batch->count = 0;
  return ok;
}

static bool
fill_page (guint64 page, const void *data, void *user_data, GError **error)
{
  Batch *batch = user_data;
  bool follows = page == batch->page + batch->count && batch->count < BATCH_PAGES;
  if (!follows && !flush (batch, error))
    return false;
  if (batch->count == 0)
    batch->page = page;
  memcpy (batch->data + batch->count * CS_PAGE_SIZE, data, CS_PAGE_SIZE);
  batch->count++;
  return true;
}

static bool
fill_block (CsLazy *lazy, CsLazyBlock *block, guint8 *buffer, GError **error)
{
  Batch batch = { .lazy = lazy, .block = block, .data = buffer };
  return cs_image_foreach (lazy->image, block->volume, fill_page, &batch, error)
         && flush (&batch, error);
}

/* Pages of a block that QEMU has unmapped need not be placed any more. */
static void
forget_gone (CsLazy *lazy)
{
  for (guint i = 0; i < lazy->blocks->len; i++)
    {
      CsLazyBlock *block = g_ptr_array_index (lazy->blocks, i);
      if (!block->gone || !block->lazy)
        continue;
      for (guint64 page = 0; page < cs_bitmap_size (block->placed); page++)
        lazy->done += !cs_bitmap_test (block->placed, page)
                      && !cs_image_page_is_zero (lazy->image, block->volume, page);
      block->lazy = false;
    }
}

static gpointer
filler_main (gpointer data)
{
  CsLazy *lazy = data;
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *buffer = g_malloc (BATCH_PAGES * CS_PAGE_SIZE);
  bool ok = true;
  for (guint i = 0; ok && i < lazy->blocks->len; i++)
    {
      CsLazyBlock *block = g_ptr_array_index (lazy->blocks, i);
      if (block->lazy)
        ok = fill_block (lazy, block, buffer, &error);
    }

  g_mutex_lock (&lazy->lock);
  forget_gone (lazy);
  lazy->filling = false;
  if (!ok && !lazy->stop_filler)
    cs_lazy_fail (lazy, g_steal_pointer (&error));
  g_cond_broadcast (&lazy->changed);
  g_mutex_unlock (&lazy->lock);
  return NULL;
}

/* After an error: who waits for a page faults again. */
static void
try_again (CsLazy *lazy)
{
  g_mutex_lock (&lazy->lock);
  g_clear_error (&lazy->error);
  g_mutex_unlock (&lazy->lock);
  for (guint i = 0; i < lazy->blocks->len; i++)
    {
      const CsLazyBlock *block = g_ptr_array_index (lazy->blocks, i);
      if (block->lazy)
        cs_uffd_wake (lazy->uffd, block->info.host, block->info.used_length);
    }
}

void
cs_lazy_start_fill (CsLazy *lazy)
{
  g_mutex_lock (&lazy->lock);
  bool underway = lazy->filling;
  bool failed = lazy->error != NULL;
  g_mutex_unlock (&lazy->lock);
  if (underway && !failed)
    return;
  cs_lazy_stop_fill (lazy);
  if (failed)
    try_again (lazy);
  lazy->filling = true;
  lazy->stop_filler = false;
  lazy->filler = g_thread_new ("lazy-filler", filler_main, lazy);
}

void
cs_lazy_stop_fill (CsLazy *lazy)
{
  if (lazy->filler == NULL)
    return;
  g_mutex_lock (&lazy->lock);
  lazy->stop_filler = true;
  g_cond_broadcast (&lazy->changed);
  g_mutex_unlock (&lazy->lock);
  g_thread_join (g_steal_pointer (&lazy->filler));
}

void
cs_lazy_progress (CsLazy *lazy, guint64 *done, guint64 *total)
{
  g_mutex_lock (&lazy->lock);
  *done = lazy->done;
  *total = lazy->total;
  g_mutex_unlock (&lazy->lock);
}

bool
cs_lazy_is_filled (CsLazy *lazy)
{
  g_mutex_lock (&lazy->lock);
  bool filled = lazy->error != NULL || (!lazy->filling && lazy->done == lazy->total);
  g_mutex_unlock (&lazy->lock);
  return filled;
}

static void
wake_waiter (GCancellable *cancellable, gpointer data)
{
  CsLazy *lazy = data;
  g_mutex_lock (&lazy->lock);
  g_cond_broadcast (&lazy->changed);
  g_mutex_unlock (&lazy->lock);
}

bool
cs_lazy_wait_filled (CsLazy *lazy, GCancellable *cancellable, GError **error)
{
  gulong handler = 0;
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (wake_waiter), lazy, NULL);

  g_mutex_lock (&lazy->lock);
  while (lazy->filling && lazy->error == NULL && !g_cancellable_is_cancelled (cancellable))
    g_cond_wait (&lazy->changed, &lazy->lock);
  bool ok = !lazy->filling && lazy->error == NULL;
  if (lazy->error != NULL)
    g_propagate_error (error, g_error_copy (lazy->error));
  else if (!ok)
    g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "%s: waiting for its memory was cancelled",
                 lazy->name);
  g_mutex_unlock (&lazy->lock);
  g_cancellable_disconnect (cancellable, handler);
  return ok;
}
