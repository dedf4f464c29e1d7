/* PRECOPY: preparing disks and device state, and the micro-pauses that shrink what the pause must
 * copy. */
#include "config.h"

#include "common/error.h"
#include "vmm/capture-private.h"

enum
{
  SETTLED_PAGES = 512,   /* a remainder that copies in well under a millisecond */
  TOGETHER_PAGES = 1024, /* the same, and what a guest wrote while another one's was copied */
  RESERVE_PAGES = 4096,  /* at least this much room for the pause */
};

/* stop, @func, cont; records how long it took.  A stop that is slow here would be as slow in the
 * pause: then the snapshot ends before any barrier. */
static bool
micro_pause (CsCapture *capture, bool (*func) (CsCapture *, GError **), GError **error)
{
  gint64 begin = g_get_monotonic_time ();
  cs_monitor_set_deadline (capture->monitor, begin + capture->pause_deadline);
  bool stopped = cs_monitor_stop (capture->monitor, error);
  gint64 latency = g_get_monotonic_time () - begin;
  bool done = stopped && func (capture, error);
  /* A stop that timed out may still come into force: cont in any case. */
  g_autoptr (GError) cont_error = NULL;
  if (!cs_capture_cont (capture, &cont_error) && done)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&cont_error), "cannot resume: ");
      return false;
    }
  capture->stats.stop_latency = MAX (capture->stats.stop_latency, latency);
  gint64 end = MAX (cs_monitor_resumed_at (capture->monitor), begin);
  capture->stats.micro_pause = MAX (capture->stats.micro_pause, end - begin);
  if (done && latency > capture->pause_deadline / 2)
    {
      g_set_error (
          error, CS_ERROR, CS_ERROR_DEADLINE,
          "stopping VM '%s' takes %.0f ms, more than half of the pause deadline (a slow disk "
          "request in flight?): try later, or allow a longer pause",
          capture->vm->ref->name, (double)latency / 1000);
      return false;
    }
  return done;
}

static bool
scan_pages (CsCapture *capture, GError **error)
{
  return cs_pages_scan (capture->pages, error);
}

static bool
protect_blocks (CsCapture *capture, GError **error)
{
  return cs_tracker_set_blocks (capture->tracker, capture->blocks, NULL, error);
}

/* Takes the blocks that are not tracked as they are now out of the base: they must be read as a
 * whole, also if this snapshot fails after it has begun to track them.  True when there are any. */
static bool
forget_untracked_blocks (CsCapture *capture)
{
  bool any = cs_tracker_n_blocks (capture->tracker) != capture->blocks->len;
  for (guint i = 0; i < capture->blocks->len; i++)
    {
      const CsRamBlock *block = g_ptr_array_index (capture->blocks, i);
      const CsRamBlock *known = NULL;
      guint number;
      if (cs_tracker_find_block (capture->tracker, block->name, &number))
        known = cs_tracker_block (capture->tracker, number);
      if (known != NULL && known->host == block->host && known->used_length == block->used_length)
        continue;
      any = true;
      if (capture->vm->base != NULL)
        g_hash_table_remove (capture->vm->base->blocks, block->name);
    }
  return any;
}

static bool
prepare_pages (CsCapture *capture, GError **error)
{
  CsVm *vm = capture->vm;
  if (capture->tracker == NULL)
    {
      vm->tracker = cs_tracker_new (capture->monitor, error);
      capture->tracker = vm->tracker;
      if (capture->tracker == NULL)
        return false;
      vm->pid = cs_monitor_pid (capture->monitor);
      vm->start_time = cs_process_start_time (vm->pid);
    }
  if (forget_untracked_blocks (capture) && !micro_pause (capture, protect_blocks, error))
    return false;
  capture->writer =
      cs_image_writer_new (capture->store, capture->incremental ? vm->base->image : NULL, error);
  if (capture->writer == NULL)
    return false;
  capture->pages = cs_pages_new (capture->tracker, capture->writer,
                                 capture->incremental ? vm->base->blocks : NULL, error);
  return capture->pages != NULL;
}

static bool
prepare_disks (CsCapture *capture, GError **error)
{
  if (capture->disks->len == 0)
    return true;
  const CsVmBase *base = capture->incremental ? capture->vm->base : NULL;
  const char *previous = base && cs_vm_base_has_disks (base, capture->disks) ? base->bitmap : NULL;
  capture->bitmap = g_strdup_printf ("clusnap-%08x%08x", g_random_int (), g_random_int ());
  capture->disk_capture =
      cs_disk_capture_new (capture->monitor, capture->disks, capture->scratch_directory, previous,
                           capture->bitmap, error);
  return capture->disk_capture != NULL && cs_disk_capture_preflush (capture->disk_capture, error);
}

/* One micro-pause, and the copy of what it found. */
static bool
round_once (CsCapture *capture, GError **error)
{
  if (!cs_capture_check_cancelled (capture, error) || !micro_pause (capture, scan_pages, error))
    return false;
  capture->stats.rounds++;
  return cs_pages_copy (capture->pages, error);
}

/* Rounds until the remainder is small, or no longer shrinks, or there were enough. */
static bool
shrink_remainder (CsCapture *capture, GError **error)
{
  guint64 last = G_MAXUINT64, remainder;
  for (guint round = 0; round < capture->max_rounds; round++)
    {
      if (!cs_pages_peek (capture->pages, &remainder, error))
        return false;
      if (remainder <= SETTLED_PAGES || remainder > last - last / 4)
        break;
      last = remainder;
      if (!round_once (capture, error))
        return false;
    }
  if (!cs_pages_peek (capture->pages, &remainder, error))
    return false;
  cs_pages_reserve (capture->pages, MAX (2 * remainder, RESERVE_PAGES));
  return true;
}

bool
cs_capture_precopy (CsCapture *capture, GError **error)
{
  if (!prepare_pages (capture, error) || !prepare_disks (capture, error))
    return false;
  capture->devices = cs_device_state_new (capture->monitor, error);
  if (capture->devices == NULL)
    return false;
  /* What is pending already: a complete read, or what a failed snapshot left. */
  if (!cs_pages_copy (capture->pages, error))
    return false;
  return shrink_remainder (capture, error);
}

bool
cs_capture_settle (CsCapture *capture, GError **error)
{
  if (capture->disk_capture != NULL && !cs_disk_capture_preflush (capture->disk_capture, error))
    return false;
  return shrink_remainder (capture, error);
}

bool
cs_capture_is_settled (CsCapture *capture, bool *settled, GError **error)
{
  guint64 remainder;
  if (!cs_pages_peek (capture->pages, &remainder, error))
    return false;
  cs_pages_reserve (capture->pages, MAX (2 * remainder, RESERVE_PAGES));
  *settled = remainder <= TOGETHER_PAGES;
  return true;
}
