#include "config.h"

#include "coord/hosts.h"

#include "common/error.h"

typedef struct
{
  CsRpc *rpc;
  json_object *begin;
  char *job; /* the daemon's id for it, NULL before begin was answered */
} Host;

struct CsHosts
{
  CsRpcWait wait;
  GArray *hosts; /* of Host */
  GArray *calls; /* of CsRpcCall, one per host: the latest request */
};

static void
clear_host (gpointer data)
{
  Host *host = data;
  json_object_put (host->begin);
  g_free (host->job);
}

static void
clear_call (gpointer data)
{
  cs_rpc_call_clear (data);
}

CsHosts *
cs_hosts_new (const CsRpcWait *wait)
{
  CsHosts *hosts = g_new0 (CsHosts, 1);
  hosts->wait = *wait;
  hosts->hosts = g_array_new (FALSE, TRUE, sizeof (Host));
  hosts->calls = g_array_new (FALSE, TRUE, sizeof (CsRpcCall));
  g_array_set_clear_func (hosts->hosts, clear_host);
  g_array_set_clear_func (hosts->calls, clear_call);
  return hosts;
}

void
cs_hosts_free (CsHosts *hosts)
{
  if (hosts == NULL)
    return;
  g_array_unref (hosts->hosts);
  g_array_unref (hosts->calls);
  g_free (hosts);
}

static Host *
host_at (const CsHosts *hosts, guint i)
{
  return &g_array_index (hosts->hosts, Host, i);
}

static CsRpcCall *
call_at (const CsHosts *hosts, guint i)
{
  return &g_array_index (hosts->calls, CsRpcCall, i);
}

void
cs_hosts_add (CsHosts *hosts, CsRpc *rpc, json_object *begin)
{
  Host host = { .rpc = rpc, .begin = begin };
  CsRpcCall call = { 0 };
  g_array_append_val (hosts->hosts, host);
  g_array_append_val (hosts->calls, call);
}

guint
cs_hosts_count (const CsHosts *hosts)
{
  return hosts->hosts->len;
}

static bool
settle (CsHosts *hosts, gint64 deadline, GError **error)
{
  CsRpcWait wait = hosts->wait;
  wait.deadline = deadline;
  return cs_rpc_settle (call_at (hosts, 0), cs_hosts_count (hosts), &wait, error);
}

/* Keeps the ids of the jobs that were begun, also when another host's begin failed. */
static bool
keep_job_ids (CsHosts *hosts, GError **error)
{
  for (guint i = 0; i < cs_hosts_count (hosts); i++)
    {
      json_object *answer = cs_hosts_answer (hosts, i);
      if (answer == NULL)
        continue;
      host_at (hosts, i)->job = g_strdup (cs_json_string (answer, "job"));
      if (host_at (hosts, i)->job != NULL || (error != NULL && *error != NULL))
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_IO, "clusnapd at '%s' began a job without an id",
                   cs_rpc_path (host_at (hosts, i)->rpc));
      return false;
    }
  return true;
}

bool
cs_hosts_begin (CsHosts *hosts, const char *prefix, GError **error)
{
  if (!cs_rpc_wait_check (&hosts->wait, error))
    return false;
  g_autofree char *method = g_strconcat (prefix, ".begin", NULL);
  for (guint i = 0; i < cs_hosts_count (hosts); i++)
    cs_rpc_call_start (call_at (hosts, i), host_at (hosts, i)->rpc, method,
                       g_steal_pointer (&host_at (hosts, i)->begin));
  if (settle (hosts, 0, error))
    return keep_job_ids (hosts, error);
  keep_job_ids (hosts, NULL);
  return false;
}

bool
cs_hosts_request (CsHosts *hosts, const char *method, json_object *extra, gint64 deadline,
                  GError **error)
{
  for (guint i = 0; i < cs_hosts_count (hosts); i++)
    cs_rpc_call_clear (call_at (hosts, i));
  /* A request that was not sent needs no undoing; one that was may have been executed. */
  if (!cs_rpc_wait_check (&hosts->wait, error))
    return false;
  for (guint i = 0; i < cs_hosts_count (hosts); i++)
    {
      json_object *params = json_object_new_object ();
      cs_json_merge (params, extra);
      cs_json_add_string (params, "job", host_at (hosts, i)->job);
      cs_rpc_call_start (call_at (hosts, i), host_at (hosts, i)->rpc, method, params);
    }
  return settle (hosts, deadline, error);
}

bool
cs_hosts_was_sent (const CsHosts *hosts)
{
  return cs_hosts_count (hosts) > 0 && call_at (hosts, 0)->rpc != NULL;
}

bool
cs_hosts_all_refused (const CsHosts *hosts)
{
  for (guint i = 0; i < cs_hosts_count (hosts); i++)
    {
      const CsRpcCall *call = call_at (hosts, i);
      if (call->rpc == NULL || cs_rpc_is_broken (call->rpc) || cs_rpc_call_is_pending (call)
          || call->error == NULL)
        return false;
    }
  return true;
}

bool
cs_hosts_take_interrupt (CsHosts *hosts)
{
  bool interrupted = !cs_rpc_wait_check (&hosts->wait, NULL);
  hosts->wait.interrupt_fd = -1;
  return interrupted;
}

bool
cs_hosts_wait (CsHosts *hosts, GError **error)
{
  return settle (hosts, 0, error);
}

bool
cs_hosts_all_succeeded (const CsHosts *hosts)
{
  for (guint i = 0; i < cs_hosts_count (hosts); i++)
    if (cs_hosts_answer (hosts, i) == NULL)
      return false;
  return true;
}

json_object *
cs_hosts_answer (const CsHosts *hosts, guint i)
{
  return call_at (hosts, i)->result;
}

bool
cs_hosts_check_paused (const CsHosts *hosts, guint i, json_object *asked, GError **error)
{
  json_object *paused = cs_json_array (cs_hosts_answer (hosts, i), "vms");
  for (gsize k = 0; k < json_object_array_length (asked); k++)
    {
      const char *name = cs_json_string (json_object_array_get_idx (asked, k), "name");
      if (cs_json_find_named (paused, name) != NULL)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_IO, "clusnapd did not report VM '%s' as paused", name);
      return false;
    }
  return true;
}

json_object *
cs_hosts_answer_vms (const CsHosts *hosts)
{
  json_object *all = json_object_new_array ();
  for (guint i = 0; i < cs_hosts_count (hosts); i++)
    {
      json_object *vms = cs_json_array (cs_hosts_answer (hosts, i), "vms");
      gsize count = vms != NULL ? json_object_array_length (vms) : 0;
      for (gsize k = 0; k < count; k++)
        json_object_array_add (all, json_object_get (json_object_array_get_idx (vms, k)));
    }
  return all;
}

/* A begin that was interrupted may have begun: its id is known once it is answered. */
static void
settle_begun (CsHosts *hosts, gint64 deadline)
{
  CsRpcWait wait = { .interrupt_fd = -1, .deadline = deadline, .all = true };
  for (guint i = 0; i < cs_hosts_count (hosts); i++)
    if (host_at (hosts, i)->job == NULL && cs_rpc_call_is_pending (call_at (hosts, i)))
      {
        cs_rpc_settle (call_at (hosts, i), 1, &wait, NULL);
        host_at (hosts, i)->job = g_strdup (cs_json_string (cs_hosts_answer (hosts, i), "job"));
      }
}

bool
cs_hosts_abort (CsHosts *hosts, gint64 limit)
{
  guint n = cs_hosts_count (hosts);
  CsRpcWait wait = { .interrupt_fd = -1, .all = true };
  wait.deadline = g_get_monotonic_time () + limit;
  settle_begun (hosts, wait.deadline);
  /* The aborts, then the requests under way: one poll loop answers both. */
  g_autofree CsRpcCall *calls = g_new0 (CsRpcCall, 2 * n);
  bool undone = true;
  for (guint i = 0; i < n; i++)
    {
      Host *host = host_at (hosts, i);
      if (host->job != NULL)
        {
          json_object *params = json_object_new_object ();
          cs_json_add_string (params, "job", host->job);
          cs_rpc_call_start (&calls[i], host->rpc, "job.abort", params);
        }
      calls[n + i] = *call_at (hosts, i);
      *call_at (hosts, i) = (CsRpcCall){ 0 };
    }
  cs_rpc_settle (calls, 2 * n, &wait, NULL);
  for (guint i = 0; i < n; i++)
    {
      undone = undone && (calls[i].rpc == NULL || calls[i].result != NULL);
      cs_rpc_call_clear (&calls[i]);
      *call_at (hosts, i) = calls[n + i];
    }
  return undone;
}
