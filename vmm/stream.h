/* Writes the migration stream that a waiting QEMU (-incoming defer) loads.
 *
 * Format: QEMU's docs/devel/migration/main.rst and migration/{savevm,ram}.c; the exact
 * sequence is in DESIGN.md section 2 and at the top of stream.c.  Big-endian. */
#ifndef CS_VMM_STREAM_H
#define CS_VMM_STREAM_H

#include <glib.h>
#include <stdbool.h>

typedef struct CsStream CsStream;

/* Writes to descriptor @fd (borrowed, may be non-blocking).  @machine: QOM type without "-machine".
 */
CsStream *cs_stream_new (int fd, const char *machine);
void cs_stream_free (CsStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsStream, cs_stream_free)

/* In this order: every block once, then pages, then the end. */
void cs_stream_add_block (CsStream *stream, const char *name, guint64 used_length);
bool cs_stream_begin (CsStream *stream, GError **error);
bool cs_stream_page (CsStream *stream, guint block, guint64 page, const void *data, GError **error);
bool cs_stream_zero_page (CsStream *stream, guint block, guint64 page, GError **error);
/* @device_state: as saved (with its QEVM header, which is left out, to its final 0x00). */
bool cs_stream_end (CsStream *stream, const void *device_state, gsize length, GError **error);

#endif
