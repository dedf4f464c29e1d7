#include "config.h"

#include "common/pace.h"

#define BURST_US 50000

gint64
cs_pace_take (CsPace *pace, guint64 bytes, gint64 now)
{
  if (pace->rate == 0)
    return now;
  pace->due = MAX (pace->due, now - BURST_US) + (gint64)(bytes * G_USEC_PER_SEC / pace->rate);
  return pace->due;
}

bool
cs_pace_keep (CsPace *pace, guint64 bytes, GCancellable *cancellable)
{
  gint64 now = g_get_monotonic_time (), due = cs_pace_take (pace, bytes, now);
  GPollFD poll;
  if (due <= now)
    return true;
  if (!g_cancellable_make_pollfd (cancellable, &poll))
    {
      g_usleep ((gulong)(due - now));
      return true;
    }
  bool cancelled = false;
  for (; !cancelled && now < due; now = g_get_monotonic_time ())
    cancelled = g_poll (&poll, 1, (gint)MIN ((due - now) / 1000 + 1, G_MAXINT)) > 0;
  g_cancellable_release_fd (cancellable);
  return !cancelled;
}
