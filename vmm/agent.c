/* Theory of operation
 *
 * The connection to the agent is opened for a job and closed at its end: no thread waits on it in
 * between, and when clusnapd dies it closes, upon which the agent lets its guest go on by itself.
 *
 * Each conversation begins with hello under a number drawn at random; whatever comes before the
 * answer to that, and answers to other numbers, is left from older conversations (the guest may
 * have been taken back into the middle of one) and ignored, up to a bound.
 *
 * The agent is given four fifths of the time that is left, so that "not in time" mostly comes as
 * the agent's veto, which names the participant.  Only who does not answer at all is silent; a
 * silent or hostile agent costs the limit, and the snapshot goes on as in a guest without one.
 *
 * resume is sent as soon as the VM runs again, and its answer read only later: nothing between
 * the pause and the storing waits for the guest. */
#include "config.h"

#include "vmm/agent-private.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "vmm/agent-reply.h"
#include "vmm/guest-port.h"

#include <sys/eventfd.h>

/* Enough to read an answer that has come already. */
#define ARRIVED_US 10000

struct CsAgent
{
  /* immutable */
  char *vm;
  CsAgentPolicy policy;
  int cancel_fd;

  /* worker only */
  guint64 present, next;
  char *name; /* of the monitor */
  CsGuestTalk talk;
  GString *line;
  guint64 id; /* of the last request */
  gint64 limit;
  gint64 resumed_at; /* when resume was to be sent; 0: not yet */
  bool resume_is_sent;
  bool ended;
  gint64 took;
  char *state;
  json_object *dependencies;
};

bool
cs_agent_policy_from_name (const char *name, CsAgentPolicy *policy)
{
  static const char *const names[] = {
#define X(symbol, name) name,
    CS_AGENT_POLICY_TABLE (X)
#undef X
  };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_strcmp0 (name, names[i]) == 0)
      {
        *policy = (CsAgentPolicy)i;
        return true;
      }
  return false;
}

CsAgent *
cs_agent_new (const char *vm, CsAgentPolicy policy)
{
  CsAgent *agent = g_new0 (CsAgent, 1);
  agent->vm = g_strdup (vm);
  agent->policy = policy;
  agent->cancel_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  agent->talk.fd = -1;
  agent->line = g_string_new (NULL);
  agent->took = -1;
  agent->state = g_strdup (policy == CS_AGENT_OFF ? "off" : "none");
  return agent;
}

static void
disconnect (CsAgent *agent)
{
  cs_fd_cleanup (&agent->talk.fd);
}

void
cs_agent_free (CsAgent *agent)
{
  if (agent == NULL)
    return;
  cs_agent_resume (agent);
  cs_agent_end (agent, NULL);
  cs_fd_cleanup (&agent->cancel_fd);
  g_string_free (agent->line, TRUE);
  json_object_put (agent->dependencies);
  g_free (agent->state);
  g_free (agent->name);
  g_free (agent->vm);
  g_free (agent);
}

void
cs_agent_set_intervals (CsAgent *agent, guint64 present, guint64 next)
{
  agent->present = present;
  agent->next = next;
}

void
cs_agent_cancel (CsAgent *agent)
{
  if (agent->cancel_fd >= 0 && eventfd_write (agent->cancel_fd, 1) < 0)
    g_debug ("VM '%s': cannot cancel its agent", agent->vm);
}

static void
set_state (CsAgent *agent, const char *state)
{
  g_free (agent->state);
  agent->state = g_strdup (state);
}

static bool
ask_dependencies (CsAgent *agent, GError **error)
{
  g_autoptr (CsJson) result = NULL;
  json_object *request = cs_agent_request_new ("dependencies", ++agent->id);
  cs_agent_request_add_deadline (request, agent->talk.deadline);
  if (!cs_agent_ask (&agent->talk, "", request, &result, error))
    return false;
  agent->dependencies = cs_agent_reply_dependencies (result, error);
  return agent->dependencies != NULL;
}

static bool
converse (CsAgent *agent, gint64 hold, GError **error)
{
  g_autoptr (CsJson) result = NULL;
  CsGuestTalk *talk = &agent->talk;
  if (!cs_agent_hello (talk, agent->vm, agent->present, &agent->id, error))
    return false;
  json_object *request = cs_agent_request_new ("quiesce", ++agent->id);
  cs_agent_request_add_deadline (request, talk->deadline);
  cs_json_add_uint (request, "hold", (guint64)(hold / 1000));
  return cs_agent_ask (talk, "", request, &result, error) && ask_dependencies (agent, error);
}

/* What the policy makes of @failure (taken): true when the snapshot goes on. */
static bool
judge (CsAgent *agent, GError *failure, GError **error)
{
  bool veto = g_error_matches (failure, CS_ERROR, CS_ERROR_REFUSED);
  bool cancelled = g_error_matches (failure, CS_ERROR, CS_ERROR_CANCELLED);
  bool absent = g_error_matches (failure, CS_ERROR, CS_ERROR_NOT_FOUND);
  disconnect (agent);
  set_state (agent, absent ? "none" : failure->message);
  if (!veto && !cancelled && agent->policy == CS_AGENT_AUTO)
    {
      g_info ("VM '%s' is not quiesced: %s", agent->vm, failure->message);
      g_error_free (failure);
      return true;
    }
  if (absent)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
                   "%s; the cluster requires one: start clusnap-agent in the guest, or set the "
                   "cluster's key 'agent' to 'auto'",
                   failure->message);
      g_error_free (failure);
      return false;
    }
  g_propagate_error (error, failure);
  return false;
}

bool
cs_agent_quiesce_on (CsAgent *agent, int fd, const char *name, gint64 limit, gint64 hold,
                     GError **error)
{
  gint64 since = g_get_monotonic_time ();
  GError *failure = NULL;
  agent->limit = limit;
  agent->name = g_strdup (name);
  cs_agent_talk_init (&agent->talk, fd, agent->cancel_fd, agent->name, agent->line, since + limit);
  if (!converse (agent, hold, &failure))
    {
      g_clear_pointer (&agent->dependencies, json_object_put);
      return judge (agent, failure, error);
    }
  agent->took = g_get_monotonic_time () - since;
  set_state (agent, "quiesced");
  return true;
}

bool
cs_agent_quiesce (CsAgent *agent, CsMonitor *monitor, gint64 limit, gint64 hold, GError **error)
{
  GError *failure = NULL;
  if (agent->policy == CS_AGENT_OFF)
    return true;
  g_autofree char *filename = cs_guest_port_find (monitor, CS_AGENT_PORT, &failure);
  int fd = filename != NULL ? cs_guest_port_connect (monitor, filename, &failure) : -1;
  if (fd < 0)
    return judge (agent, failure, error);
  return cs_agent_quiesce_on (agent, fd, cs_monitor_name (monitor), limit, hold, error);
}

/* The socket has room for this line: everything before it was answered. */
void
cs_agent_resume (CsAgent *agent)
{
  if (agent->talk.fd < 0 || agent->resumed_at != 0)
    return;
  g_autoptr (CsJson) request = cs_agent_request_new ("resume", ++agent->id);
  cs_agent_request_add_identity (request, agent->vm, agent->next);
  agent->resumed_at = agent->talk.deadline = g_get_monotonic_time ();
  agent->resume_is_sent = cs_agent_request_send (&agent->talk, "", request, NULL);
}

bool
cs_agent_end (CsAgent *agent, GError **error)
{
  g_autoptr (CsJson) result = NULL;
  g_autoptr (GError) failure = NULL;
  if (agent->resumed_at == 0 || agent->ended)
    return true;
  agent->ended = true;
  /* Cancelling does not shorten this: an agent that lives answers at once. */
  agent->talk.cancel_fd = -1;
  agent->talk.deadline =
      MAX (agent->resumed_at + agent->limit, g_get_monotonic_time () + ARRIVED_US);
  bool answered =
      agent->resume_is_sent && cs_agent_await (&agent->talk, agent->id, &result, &failure);
  disconnect (agent);
  if (answered && cs_json_true (result, "held"))
    return true;
  if (answered)
    set_state (agent, "went on by itself before the snapshot was taken: that took too long");
  else
    {
      g_autofree char *state = g_strdup_printf (
          "does not answer: %s", failure != NULL ? failure->message : "its port was closed");
      set_state (agent, state);
    }
  if (agent->policy != CS_AGENT_REQUIRED)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "it is not sure that the guest of VM '%s' stood still: its agent %s", agent->vm,
               agent->state);
  return false;
}

const char *
cs_agent_state (const CsAgent *agent)
{
  return agent->state;
}

gint64
cs_agent_took (const CsAgent *agent)
{
  return agent->took;
}

json_object *
cs_agent_dependencies (const CsAgent *agent)
{
  return agent->dependencies;
}
