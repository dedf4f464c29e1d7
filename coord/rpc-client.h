/* A connection to one clusnapd: JSON lines over a unix socket (docs/rpc.md).
 *
 *   CsRpc           the connection: non-blocking, with queues in both directions
 *   CsRpcCall       one request under way
 *   cs_rpc_settle   waits for several calls, on one connection or on many
 *
 * Not thread-safe: one thread owns a connection and its calls. */
#ifndef CS_COORD_RPC_CLIENT_H
#define CS_COORD_RPC_CLIENT_H

#include "common/json.h"

#define CS_RPC_PROTOCOL 1

typedef struct CsRpc CsRpc;

/* Connects to the socket @path.  Errors: GONE or PERMISSION, saying how to start the daemon. */
CsRpc *cs_rpc_connect (const char *path, GError **error);

/* Closes: the daemon then aborts and undoes this connection's job. */
void cs_rpc_close (CsRpc *rpc);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRpc, cs_rpc_close)

const char *cs_rpc_path (const CsRpc *rpc);

/* Whether the connection was lost or the peer broke the protocol: calls on it fail at once. */
bool cs_rpc_is_broken (const CsRpc *rpc);

typedef struct
{
  CsRpc *rpc;          /* borrowed; NULL: this call was never made */
  guint64 id;          /* of the request */
  json_object *result; /* the answer, or NULL */
  GError *error;       /* the peer's error or the connection's */
} CsRpcCall;

/* Queues request @method with @params (taken; NULL for none); cs_rpc_settle sends it. */
void cs_rpc_call_start (CsRpcCall *call, CsRpc *rpc, const char *method, json_object *params);
bool cs_rpc_call_is_pending (const CsRpcCall *call);
/* Forgets the call; an answer that still comes is dropped. */
void cs_rpc_call_clear (CsRpcCall *call);

typedef void (*CsRpcEventFunc) (json_object *event, void *data);

typedef struct
{
  int interrupt_fd;     /* readable: stop waiting, CANCELLED.  -1: none */
  gint64 deadline;      /* g_get_monotonic_time; DEADLINE when it passes.  0: none */
  bool all;             /* wait for every call even when one has failed */
  CsRpcEventFunc event; /* or NULL */
  void *data;
} CsRpcWait;

#define CS_RPC_WAIT_FOREVER ((CsRpcWait){ .interrupt_fd = -1 })

/* Waits until all of @n calls are answered: true when all succeeded.  Unless @wait->all, returns
 * with the error of the first call that fails (the others then stay pending).  Errors: the peer's
 * own, GONE (connection lost), IO (not the protocol), CANCELLED, DEADLINE. */
bool cs_rpc_settle (CsRpcCall *calls, guint n, const CsRpcWait *wait, GError **error);

/* False, CANCELLED, when @wait's interrupt has come. */
bool cs_rpc_wait_check (const CsRpcWait *wait, GError **error);

/* One request and its answer (a new reference). */
json_object *cs_rpc_call (CsRpc *rpc, const char *method, json_object *params,
                          const CsRpcWait *wait, GError **error);

#endif
