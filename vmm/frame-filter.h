/* A socket filter in the kernel that drops all frames until a moment, and counts them.
 *
 * Source: bpf(2), Documentation/bpf/instruction-set.rst; tun's TUNSETFILTEREBPF. */
#ifndef CS_VMM_FRAME_FILTER_H
#define CS_VMM_FRAME_FILTER_H

#include <glib.h>
#include <stdbool.h>

typedef struct
{
  int program; /* to be attached to any number of taps and sockets */
  int map;
} CsFrameFilter;

/* @until: CLOCK_MONOTONIC in us.  After it the filter lets everything pass, so that nobody need
 * be there to take it away. */
bool cs_frame_filter_make (CsFrameFilter *filter, gint64 until, GError **error);
guint64 cs_frame_filter_dropped (const CsFrameFilter *filter);
/* What is attached stays so. */
void cs_frame_filter_close (CsFrameFilter *filter);

#endif
