/* Spans of time as the user writes them. */
#ifndef CS_COORD_DURATION_H
#define CS_COORD_DURATION_H

#include <glib.h>
#include <stdbool.h>

/* Parses "1500us", "500ms" or "2s" (1 us to 1 hour) into microseconds.  Errors: INVALID. */
bool cs_duration_parse (const char *text, guint64 *us, GError **error);

#endif
