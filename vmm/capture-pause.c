/* PAUSE, CAPTURE, RESUME: the pause is one function, which ends with cont on every path. */
#include "config.h"

#include "common/error.h"
#include "common/fault.h"
#include "vmm/capture-private.h"

#include <string.h>

/* Runs a step of the pause: records its time in *@us. */
#define TIMED(us, step)                                                                            \
  ({                                                                                               \
    gint64 timed_begin = g_get_monotonic_time ();                                                  \
    bool timed_done = (step);                                                                      \
    *(us) = g_get_monotonic_time () - timed_begin;                                                 \
    timed_done;                                                                                    \
  })

static bool
capture_paused (CsCapture *capture, GError **error)
{
  CsCaptureStats *stats = &capture->stats;
  if (!TIMED (&stats->devices, cs_device_state_save (capture->devices, error)))
    return false;
  if (capture->disk_capture != NULL
      && !TIMED (&stats->disks, cs_disk_capture_cut (capture->disk_capture, error)))
    return false;
  /* Last, so that what QEMU itself wrote to guest memory meanwhile belongs to the same cut. */
  if (!TIMED (&stats->scan, cs_pages_scan (capture->pages, error)))
    return false;
  stats->cut_pages = cs_pages_pending (capture->pages);
  return TIMED (&stats->copy, cs_pages_copy_reserved (capture->pages, error))
         && cs_fault_point ("capture", error);
}

/* Until every VM of the cluster stands. */
static bool
wait_permission (CsCapture *capture, gint64 deadline, GError **error)
{
  gint64 begin = g_get_monotonic_time ();
  bool in_time = true;
  g_mutex_lock (&capture->lock);
  while (!capture->permitted && !capture->cancelled && in_time)
    in_time = g_cond_wait_until (&capture->changed, &capture->lock, deadline);
  bool permitted = capture->permitted, cancelled = capture->cancelled;
  g_mutex_unlock (&capture->lock);
  capture->stats.wait = g_get_monotonic_time () - begin;
  if (permitted)
    return true;
  if (cancelled)
    g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "the snapshot was cancelled");
  else
    g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE,
                 "VM '%s' was not allowed to resume within %.0f ms (the coordinator or another VM "
                 "is stuck): it runs again, the snapshot is given up",
                 capture->vm->ref->name, (double)capture->pause_deadline / 1000);
  return false;
}

static bool
pause_and_capture (CsCapture *capture, gint64 deadline, GError **error)
{
  if (!TIMED (&capture->stats.stop, cs_monitor_stop (capture->monitor, error)))
    return false;
  capture->stats.paused_at = g_get_monotonic_time ();
  cs_capture_raise (capture, &capture->paused);
  return cs_fault_point ("pause", error) && capture_paused (capture, error)
         && wait_permission (capture, deadline, error);
}

/* Hot-plugged memory must not be in the device state without its pages. */
static bool
check_blocks_unchanged (CsCapture *capture, GError **error)
{
  g_autoptr (GPtrArray) blocks = cs_ram_blocks_query (capture->monitor, error);
  if (blocks == NULL)
    return false;
  bool same = blocks->len == capture->blocks->len;
  for (guint i = 0; same && i < blocks->len; i++)
    {
      const CsRamBlock *a = g_ptr_array_index (blocks, i);
      const CsRamBlock *b = g_ptr_array_index (capture->blocks, i);
      same =
          strcmp (a->name, b->name) == 0 && a->host == b->host && a->used_length == b->used_length;
    }
  if (!same)
    g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                 "memory or a device with memory was plugged into or out of VM '%s' during the "
                 "snapshot: try again",
                 capture->vm->ref->name);
  return same;
}

bool
cs_capture_pause (CsCapture *capture, GError **error)
{
  gint64 begin = g_get_monotonic_time ();
  gint64 deadline = begin + capture->pause_deadline;
  cs_monitor_set_deadline (capture->monitor, deadline);
  bool captured =
      cs_capture_check_cancelled (capture, error) && pause_and_capture (capture, deadline, error);
  g_autoptr (GError) cont_error = NULL;
  gint64 cont = g_get_monotonic_time ();
  bool resumed = cs_capture_cont (capture, &cont_error);
  capture->stats.resumed_at =
      resumed ? cs_monitor_resumed_at (capture->monitor) : g_get_monotonic_time ();
  capture->stats.cont = capture->stats.resumed_at - cont;
  if (resumed)
    cs_agent_resume (capture->agent);
  capture->stats.pause = capture->stats.resumed_at - begin;
  if (captured && !resumed)
    g_propagate_prefixed_error (error, g_steal_pointer (&cont_error),
                                "cannot resume VM '%s': ", capture->vm->ref->name);
  bool complete = captured && resumed && check_blocks_unchanged (capture, error);
  cs_capture_raise (capture, &capture->ended);
  return complete;
}

bool
cs_capture_wait_paused (CsCapture *capture)
{
  g_mutex_lock (&capture->lock);
  while (!capture->paused && !capture->ended)
    g_cond_wait (&capture->changed, &capture->lock);
  bool paused = capture->paused;
  g_mutex_unlock (&capture->lock);
  return paused;
}

void
cs_capture_permit_resume (CsCapture *capture)
{
  cs_capture_raise (capture, &capture->permitted);
}

void
cs_capture_cancel (CsCapture *capture)
{
  cs_capture_raise (capture, &capture->cancelled);
  cs_agent_cancel (capture->agent);
}
