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

#include "vmm/agent.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "guest-agent/agent/protocol.h"
#include "guest-agent/participant/participant.h"
#include "vmm/agent-reply.h"
#include "vmm/guest-port.h"
#include "vmm/guest-talk.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>

#define TOTAL_MAX_BYTES (1024 * 1024)
#define HELLO_AGAIN_US 500000
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

/* ---- requests ---- */

static void
talk_init (CsGuestTalk *talk, int fd, int cancel_fd, const char *name, GString *line,
           gint64 deadline)
{
  *talk = (CsGuestTalk){ .fd = fd,
                         .cancel_fd = cancel_fd,
                         .name = name,
                         .who = "the agent",
                         .deadline = deadline,
                         .line_max = CS_AGENT_ANSWER_MAX,
                         .total_max = TOTAL_MAX_BYTES,
                         .line = line,
                         .delimiter = -1 };
}

static json_object *
request_new (const char *execute, guint64 id)
{
  json_object *request = json_object_new_object ();
  cs_json_add_string (request, "execute", execute);
  cs_json_add_uint (request, "id", id);
  return request;
}

/* A name that participants have no room for is left out. */
static void
add_identity (json_object *request, const char *vm, guint64 interval)
{
  if (vm == NULL || strlen (vm) >= CS_PARTICIPANT_NAME)
    return;
  cs_json_add_string (request, "vm", vm);
  cs_json_add_uint (request, "interval", interval);
}

/* Four fifths of what is left, in ms. */
static void
add_deadline (json_object *request, gint64 deadline)
{
  gint64 left = deadline - g_get_monotonic_time ();
  cs_json_add_uint (request, "deadline", (guint64)MAX (left / 5 * 4 / 1000, 1));
}

/* @before, which may be empty, goes in front of it. */
static bool
send_request (CsGuestTalk *talk, const char *before, json_object *request, GError **error)
{
  g_autofree char *text = g_strconcat (
      before, json_object_to_json_string_ext (request, JSON_C_TO_STRING_PLAIN), "\n", NULL);
  return cs_guest_talk_send (talk, text, strlen (text), error);
}

/* Reads on until the answer to @id; *@result is a new reference. */
static bool
await (CsGuestTalk *talk, guint64 id, json_object **result, GError **error)
{
  g_auto (CsAgentReply) reply = { 0 };
  do
    {
      cs_agent_reply_clear (&reply);
      if (!cs_guest_talk_read (talk, error))
        return false;
      cs_agent_reply_parse (talk->line->str, talk->line->len, &reply);
    }
  while (reply.kind == CS_AGENT_NOISE || reply.id != id);
  if (reply.kind == CS_AGENT_RETURN)
    *result = g_steal_pointer (&reply.result);
  else if (reply.kind == CS_AGENT_VETO)
    g_set_error_literal (error, CS_ERROR, CS_ERROR_REFUSED, reply.reason);
  else
    g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s: the agent answers: %s", talk->name,
                 reply.reason);
  return reply.kind == CS_AGENT_RETURN;
}

/* @request is taken. */
static bool
ask (CsGuestTalk *talk, const char *before, json_object *request, json_object **result,
     GError **error)
{
  g_autoptr (CsJson) own = request;
  return send_request (talk, before, own, error)
         && await (talk, cs_json_uint (own, "id", 0), result, error);
}

static json_object *
say_hello (CsGuestTalk *talk, const char *vm, guint64 interval, guint64 *id, GError **error)
{
  json_object *result = NULL;
  *id = (guint64)g_random_int_range (1, G_MAXINT32);
  json_object *request = request_new ("hello", *id);
  cs_json_add_uint (request, "version", CS_AGENT_VERSION);
  add_identity (request, vm, interval);
  return ask (talk, "\n", request, &result, error) ? result : NULL;
}

/* Sets *@id to the session's first number.  Says it again when there is no answer: a guest that was
 * just restored may still be busy with the end of the connection that its memory knows of. */
static bool
hello (CsGuestTalk *talk, const char *vm, guint64 interval, guint64 *id, GError **error)
{
  gint64 deadline = talk->deadline;
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsJson) result = NULL;
  do
    {
      g_clear_error (&failure);
      talk->deadline = MIN (deadline, g_get_monotonic_time () + HELLO_AGAIN_US);
      result = say_hello (talk, vm, interval, id, &failure);
    }
  while (result == NULL && g_error_matches (failure, CS_ERROR, CS_ERROR_DEADLINE)
         && g_get_monotonic_time () < deadline);
  talk->deadline = deadline;
  if (result == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&failure));
      return false;
    }
  if (cs_json_uint (result, "version", 0) == CS_AGENT_VERSION)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
               "%s: the agent does not speak version %d of the protocol: install one of this "
               "clusnap's in the guest",
               talk->name, CS_AGENT_VERSION);
  return false;
}

/* ---- a snapshot's agent ---- */

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
  json_object *request = request_new ("dependencies", ++agent->id);
  add_deadline (request, agent->talk.deadline);
  if (!ask (&agent->talk, "", request, &result, error))
    return false;
  agent->dependencies = cs_agent_reply_dependencies (result, error);
  return agent->dependencies != NULL;
}

static bool
converse (CsAgent *agent, gint64 hold, GError **error)
{
  g_autoptr (CsJson) result = NULL;
  CsGuestTalk *talk = &agent->talk;
  if (!hello (talk, agent->vm, agent->present, &agent->id, error))
    return false;
  json_object *request = request_new ("quiesce", ++agent->id);
  add_deadline (request, talk->deadline);
  cs_json_add_uint (request, "hold", (guint64)(hold / 1000));
  return ask (talk, "", request, &result, error) && ask_dependencies (agent, error);
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
  talk_init (&agent->talk, fd, agent->cancel_fd, agent->name, agent->line, since + limit);
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
  g_autoptr (CsJson) request = request_new ("resume", ++agent->id);
  add_identity (request, agent->vm, agent->next);
  agent->resumed_at = agent->talk.deadline = g_get_monotonic_time ();
  agent->resume_is_sent = send_request (&agent->talk, "", request, NULL);
}

bool
cs_agent_end (CsAgent *agent, GError **error)
{
  g_autoptr (CsJson) result = NULL;
  g_autoptr (GError) failure = NULL;
  json_object *held = NULL;
  if (agent->resumed_at == 0 || agent->ended)
    return true;
  agent->ended = true;
  /* Cancelling does not shorten this: an agent that lives answers at once. */
  agent->talk.cancel_fd = -1;
  agent->talk.deadline =
      MAX (agent->resumed_at + agent->limit, g_get_monotonic_time () + ARRIVED_US);
  bool answered = agent->resume_is_sent && await (&agent->talk, agent->id, &result, &failure);
  disconnect (agent);
  if (answered && json_object_object_get_ex (result, "held", &held)
      && json_object_is_type (held, json_type_boolean) && json_object_get_boolean (held))
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

/* ---- after a restore or a rollback ---- */

static void
add_entropy (json_object *request)
{
  unsigned char bytes[CS_AGENT_ENTROPY];
  char text[2 * sizeof bytes + 1];
  if (getrandom (bytes, sizeof bytes, 0) != sizeof bytes)
    return;
  for (gsize i = 0; i < sizeof bytes; i++)
    g_snprintf (text + 2 * i, 3, "%02x", bytes[i]);
  cs_json_add_string (request, "entropy", text);
}

static void
add_printable (json_object *report, const char *member, json_object *result)
{
  const char *text = cs_json_string (result, member);
  g_autofree char *printable = cs_guest_talk_printable (text != NULL ? text : "not said");
  cs_json_add_string (report, member, printable);
}

json_object *
cs_agent_converse_restore (int fd, const char *name, const char *vm, guint64 interval,
                           gint64 deadline)
{
  g_autoptr (GString) line = g_string_new (NULL);
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsJson) result = NULL;
  json_object *report = json_object_new_object ();
  CsGuestTalk talk;
  guint64 id;
  talk_init (&talk, fd, -1, name, line, deadline);
  bool restored = hello (&talk, vm, interval, &id, &failure);
  if (restored)
    {
      json_object *request = request_new ("after-restore", id + 1);
      add_deadline (request, deadline);
      add_identity (request, vm, interval);
      add_entropy (request);
      cs_json_add_uint (request, "time", (guint64)g_get_real_time () * 1000);
      restored = ask (&talk, "", request, &result, &failure);
    }
  cs_json_add_string (report, "agent", restored ? "restored" : failure->message);
  if (!restored)
    return report;
  add_printable (report, "clock", result);
  add_printable (report, "random", result);
  cs_json_add_uint (report, "announced", MIN (cs_json_uint (result, "announced", 0), 1000));
  return report;
}

json_object *
cs_agent_after_restore (CsMonitor *monitor, const char *vm, guint64 interval, gint64 deadline)
{
  g_autoptr (GError) failure = NULL;
  g_autofree char *filename = cs_guest_port_find (monitor, CS_AGENT_PORT, &failure);
  cs_autofd int fd = filename != NULL ? cs_guest_port_connect (monitor, filename, &failure) : -1;
  if (fd >= 0)
    return cs_agent_converse_restore (fd, cs_monitor_name (monitor), vm, interval, deadline);
  json_object *report = json_object_new_object ();
  bool absent = g_error_matches (failure, CS_ERROR, CS_ERROR_NOT_FOUND);
  cs_json_add_string (report, "agent", absent ? "none" : failure->message);
  return report;
}
