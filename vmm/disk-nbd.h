/* One connection to an NBD export, with libnbd: several requests in flight, no wait without end.
 *
 * Not thread-safe.  Errors name the export; a server that is silent for a minute is DEADLINE, one
 * that is gone GONE. */
#ifndef CS_VMM_DISK_NBD_H
#define CS_VMM_DISK_NBD_H

#include <glib.h>
#include <stdbool.h>

typedef struct CsNbd CsNbd;

/* Connects to @export at the unix socket @path; @context is the meta context to ask
 * block status of, or NULL. */
CsNbd *cs_nbd_connect (const char *path, const char *export, const char *context, GError **error);

/* Starts @argv (an NBD server that knows systemd's socket activation, as qemu-nbd does) and
 * connects to it.  It ends with the connection. @name is what errors call it. */
CsNbd *cs_nbd_spawn (char **argv, const char *name, GError **error);

void cs_nbd_free (CsNbd *nbd);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsNbd, cs_nbd_free)

guint64 cs_nbd_size (CsNbd *nbd);

/* Calls @func for each extent of the context from @offset on, and sets *@end to where the server's
 * answer ended: after @offset, at most @offset + @count. */
typedef void (*CsNbdExtentFunc) (guint64 offset, guint64 length, guint32 flags, void *data);
bool cs_nbd_block_status (CsNbd *nbd, guint64 offset, guint64 count, CsNbdExtentFunc func,
                          void *data, guint64 *end, GError **error);

/* Start a request and return its number (> 0), or -1.  @buffer stays the caller's and untouched
 * until cs_nbd_wait. */
gint64 cs_nbd_read (CsNbd *nbd, void *buffer, gsize length, guint64 offset, GError **error);
gint64 cs_nbd_write (CsNbd *nbd, const void *buffer, gsize length, guint64 offset, GError **error);
/* Makes the range read as zeros, without allocating where the format can. */
gint64 cs_nbd_zero (CsNbd *nbd, guint64 length, guint64 offset, GError **error);
/* What was written before leaves the server for the file. */
gint64 cs_nbd_flush (CsNbd *nbd, GError **error);

/* Waits until request @number is done. */
bool cs_nbd_wait (CsNbd *nbd, gint64 number, GError **error);

#endif
