/* The RPC of clusnapd (docs/rpc.md): JSON lines over a unix stream socket.
 *
 *   C -> D   {"id": 1, "method": M, "params": {...}}
 *   D -> C   {"event": "progress", ...}            any number
 *   D -> C   {"id": 1, "result": {...}}  |  {"id": 1, "error": {"code": C, "message": T}}
 *
 * A connection has two threads: one reads (and so notices at once when the peer is gone or asks
 * to abort), one executes request after request.  At most one job belongs to a connection.
 */
#ifndef CS_VMM_RPC_SERVER_H
#define CS_VMM_RPC_SERVER_H

#include <glib.h>
#include <json.h>
#include <stdbool.h>

typedef struct CsRpcServer CsRpcServer;
typedef struct CsRpcPeer CsRpcPeer;

/* Executes a method: a new reference to its result, or NULL and @error.  @params is an
 * object, borrowed. */
typedef json_object *(*CsRpcMethodFunc) (CsRpcPeer *peer, json_object *params, GError **error);

typedef struct
{
  const char *name;
  CsRpcMethodFunc func;
} CsRpcMethod;

/* What a job of a connection does when it must end. */
typedef struct
{
  void (*cancel) (gpointer job); /* any thread; returns at once */
  void (*free) (gpointer job);   /* executing thread; undoes what is not complete */
} CsRpcJobClass;

/* Listens at @path (mode 0600; a stale socket is replaced, a live one is BUSY).  @methods ends with
 * a NULL name and outlives the server. */
CsRpcServer *cs_rpc_server_new (const char *path, const CsRpcMethod *methods, gpointer user_data,
                                GError **error);
/* Takes no more connections, ends the jobs of all and waits for them. */
void cs_rpc_server_free (CsRpcServer *server);

gpointer cs_rpc_peer_user_data (CsRpcPeer *peer);
/* Sends an event; @event is taken.  Any thread. */
void cs_rpc_peer_notify (CsRpcPeer *peer, json_object *event);

/* Gives the connection @job; BUSY when it has one.  The job is freed when the connection ends, or
 * by cs_rpc_peer_end_job. */
bool cs_rpc_peer_set_job (CsRpcPeer *peer, const CsRpcJobClass *class, gpointer job,
                          GError **error);
/* The job, which must be of @class: INVALID otherwise, or the reason of cs_rpc_peer_fail_job. */
gpointer cs_rpc_peer_job (CsRpcPeer *peer, const CsRpcJobClass *class, GError **error);
void cs_rpc_peer_end_job (CsRpcPeer *peer);

/* A job that cannot succeed any more ends although its peer is silent: any thread posts a function,
 * which the executing thread runs after the requests that came before. */
typedef void (*CsRpcPeerFunc) (CsRpcPeer *peer);
void cs_rpc_peer_post (CsRpcPeer *peer, CsRpcPeerFunc func);
/* Executing thread: ends the job; who asks for it later gets @reason (taken). */
void cs_rpc_peer_fail_job (CsRpcPeer *peer, GError *reason);

/* Executing thread: VMs stand and wait for what the peer says next, until false, or the end of the
 * job (common/realtime.h). */
void cs_rpc_peer_hurry (CsRpcPeer *peer, bool hurry);

/* Members of @params: a string that must be there; INVALID otherwise. */
const char *cs_rpc_string (json_object *params, const char *name, GError **error);

#endif
