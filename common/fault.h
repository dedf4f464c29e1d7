/* Fault points: deliberate failures, for the tests of what a failure leaves behind.
 *
 * CLUSNAP_FAULT=POINT:KIND[,POINT:KIND...] in the environment arms them; docs/testing.md
 * lists the points.  KIND is
 *
 *   error   the point fails with FAILED ("injected fault")
 *   crash   the process ends as by kill -9
 *   hang    the calling thread sleeps for good (deadlines must cope)
 *   slow    the calling thread sleeps for 0.1 s and goes on
 *   hold    the calling thread sleeps until the point is no longer armed (below), and goes on
 *
 * CLUSNAP_FAULT=@FILE takes the list from FILE whenever a point is reached (no such file: nothing
 * is armed), so that a process can be well before and after.  Without the variable a point costs
 * one load. */
#ifndef CS_COMMON_FAULT_H
#define CS_COMMON_FAULT_H

#include <glib.h>
#include <stdbool.h>

/* True when @point is not armed. */
bool cs_fault_point (const char *point, GError **error);

#endif
