/* The hosts of one job: a connection to each host's clusnapd, the job's id there, and one request
 * to all of them at once.  What the stage machines share. */
#ifndef CS_COORD_HOSTS_H
#define CS_COORD_HOSTS_H

#include "coord/rpc-client.h"

typedef struct CsHosts CsHosts;

/* @wait (copied) is used for every request but the undoing ones. */
CsHosts *cs_hosts_new (const CsRpcWait *wait);
void cs_hosts_free (CsHosts *hosts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsHosts, cs_hosts_free)

/* Adds a host.  @rpc is borrowed.  @begin (taken) is the params of its begin request. */
void cs_hosts_add (CsHosts *hosts, CsRpc *rpc, json_object *begin);
guint cs_hosts_count (const CsHosts *hosts);

/* Sends "@prefix.begin" to every host and keeps the job ids. */
bool cs_hosts_begin (CsHosts *hosts, const char *prefix, GError **error);

/* Sends @method with {job, and @extra's members (borrowed, may be NULL)} to every host; true when
 * all have answered well.  On false some may still be at it: cs_hosts_abort comes next.
 * @deadline as in CsRpcWait. */
bool cs_hosts_request (CsHosts *hosts, const char *method, json_object *extra, gint64 deadline,
                       GError **error);

/* Whether the latest request went out, or may have. */
bool cs_hosts_was_sent (const CsHosts *hosts);
/* Whether every host has answered the latest request with an error of its own. */
bool cs_hosts_all_refused (const CsHosts *hosts);

/* Whether @wait's interrupt has come; from now on it counts no more. */
bool cs_hosts_take_interrupt (CsHosts *hosts);

/* After a request that was sent ended with CANCELLED: goes on waiting for its answers. */
bool cs_hosts_wait (CsHosts *hosts, GError **error);

/* Host @i's answer to the latest request, or NULL.  Borrowed until the next one. */
json_object *cs_hosts_answer (const CsHosts *hosts, guint i);

/* Whether every host has answered the latest request well; also after cs_hosts_abort, which may
 * come too late to stop it. */
bool cs_hosts_all_succeeded (const CsHosts *hosts);

/* Whether host @i's answer to a request to pause names every VM of the array @asked (of objects
 * with a name).  IO, with the VM that is missing. */
bool cs_hosts_check_paused (const CsHosts *hosts, guint i, json_object *asked, GError **error);

/* Every answer's member array "vms", joined; a new array. */
json_object *cs_hosts_answer_vms (const CsHosts *hosts);

/* Sends job.abort to every host that has a job and waits (at most @limit us) for it and for the
 * requests still under way.  False when a host could not be asked, or did not answer: what it
 * does then is its own affair (it undoes when the connection closes). */
bool cs_hosts_abort (CsHosts *hosts, gint64 limit);

#endif
