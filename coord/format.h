/* Numbers as people read them, in tables.  New strings (g_free). */
#ifndef CS_COORD_FORMAT_H
#define CS_COORD_FORMAT_H

#include <glib.h>

char *cs_format_size (guint64 bytes); /* "512 B", "1.5 KiB", "12.0 MiB", "3.2 GiB" */
char *cs_format_time (guint64 us);    /* "0.4 ms", "12.3 ms", "812.0 ms", "3.25 s" */
char *cs_format_ratio (double ratio); /* "3.2x" */
/* @text without bytes that a terminal would act upon: control characters become '?'. */
char *cs_format_text (const char *text);

#endif
