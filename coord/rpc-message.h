/* One line of what clusnapd sends (docs/rpc.md), validated at the door.
 *
 *   {"id": N, "result": {…}}
 *   {"id": N, "error": {"code": NAME, "message": TEXT}}
 *   {"event": NAME, …}
 *
 * Members that are not known are ignored. */
#ifndef CS_COORD_RPC_MESSAGE_H
#define CS_COORD_RPC_MESSAGE_H

#include "common/json.h"

#define CS_RPC_MAX_LINE (16u * 1024 * 1024)

typedef enum
{
  CS_RPC_RESULT,
  CS_RPC_ERROR,
  CS_RPC_EVENT,
} CsRpcKind;

typedef struct
{
  CsRpcKind kind;
  guint64 id;        /* RESULT, ERROR */
  json_object *body; /* RESULT: the result; EVENT: the whole line; ERROR: NULL */
  GError *error;     /* ERROR: in domain CS_ERROR, the peer's code and text */
} CsRpcMessage;

/* Parses a line of @length bytes without its newline.  Errors: INVALID, with the
 * reason. */
CsRpcMessage *cs_rpc_message_parse (const char *line, gsize length, GError **error);
void cs_rpc_message_free (CsRpcMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRpcMessage, cs_rpc_message_free)

#endif
