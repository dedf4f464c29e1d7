/* Keeps a stream of bytes to a rate: a bucket that holds what comes in 50 ms.  One thread at a
 * time.
 */
#ifndef CS_COMMON_PACE_H
#define CS_COMMON_PACE_H

#include <gio/gio.h>
#include <stdbool.h>

typedef struct
{
  guint64 rate; /* bytes/s, 0: unbounded */
  gint64 due;   /* g_get_monotonic_time () when more may follow */
} CsPace;

/* @bytes have come at @now (g_get_monotonic_time ()).  Until when nothing may follow; not after
 * @now: it may at once. */
gint64 cs_pace_take (CsPace *pace, guint64 bytes, gint64 now);
/* The same now, and waits until then; false: @cancellable (may be NULL) ended the wait. */
bool cs_pace_keep (CsPace *pace, guint64 bytes, GCancellable *cancellable);

#endif
