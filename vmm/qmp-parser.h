/* Cuts a byte stream of QMP into messages: one JSON object per line.
 *
 * Format: QEMU's docs/interop/qmp-spec.rst.  Incremental: bytes may come in any pieces.  The
 * first violation ends the stream for good (after it nothing can be trusted to be a
 * message's beginning). */
#ifndef CS_VMM_QMP_PARSER_H
#define CS_VMM_QMP_PARSER_H

#include <glib.h>
#include <json.h>
#include <stdbool.h>

/* The longest line: query-named-block-nodes of a VM with many disks has some MiB. */
#define CS_QMP_LINE_MAX (64u << 20)

typedef struct CsQmpParser CsQmpParser;

CsQmpParser *cs_qmp_parser_new (gsize line_max);
void cs_qmp_parser_free (CsQmpParser *parser);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsQmpParser, cs_qmp_parser_free)

/* Appends @length bytes.  INVALID with the reason for what is no QMP: bad JSON, not an object, a
 * line longer than the limit, a NUL byte. */
bool cs_qmp_parser_feed (CsQmpParser *parser, const char *data, gsize length, GError **error);

/* The next whole message (passes to the caller), or NULL. */
json_object *cs_qmp_parser_next (CsQmpParser *parser);

#endif
