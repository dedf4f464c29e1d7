/* What the host asks for, one function per request. */
#include "config.h"

#include "guest-agent/agent/session.h"

#include <sys/utsname.h>

static void
set_pending (Session *session, const AgentRequest *request)
{
  session->pending = (Pending){ .active = true,
                                .id = request->id,
                                .verb = request->verb,
                                .deadline = agent_now () + request->deadline };
}

static void
do_hello (Session *session, const AgentRequest *request)
{
  json_object *result = json_object_new_object ();
  session->pending.active = false;
  session->grace_until = 0;
  if (session->state == SESSION_PREPARING || session->state == SESSION_HOOKING)
    agent_session_begin_resume (session);
  json_object_object_add (result, "version", json_object_new_int (CS_AGENT_VERSION));
  json_object_object_add (result, "agent", json_object_new_string (PACKAGE_VERSION));
  json_object_object_add (
      result, "participants",
      agent_session_number (agent_registry_count (&session->registry, MEMBER_RUNNING)));
  json_object_object_add (result, "quiesced",
                          json_object_new_boolean (session->state == SESSION_QUIESCED));
  agent_session_answer (session, request->id, result);
}

static void
do_info (Session *session, const AgentRequest *request)
{
  static const char *const names[] = {
    [MEMBER_RUNNING] = "running", [MEMBER_ASKED] = "preparing", [MEMBER_READY] = "ready"
  };
  json_object *result = json_object_new_object (), *members = json_object_new_array ();
  struct utsname kernel;
  json_object_object_add (result, "agent", json_object_new_string (PACKAGE_VERSION));
  json_object_object_add (result, "version", json_object_new_int (CS_AGENT_VERSION));
  if (uname (&kernel) == 0)
    json_object_object_add (result, "kernel", json_object_new_string (kernel.release));
  json_object_object_add (result, "quiesced",
                          json_object_new_boolean (session->state == SESSION_QUIESCED));
  json_object_object_add (result, "vm", json_object_new_string (session->registry.identity.vm));
  json_object_object_add (result, "interval",
                          agent_session_number (session->registry.identity.interval));
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    {
      const Member *member = &session->registry.members[i];
      if (member->state < MEMBER_RUNNING)
        continue;
      json_object *one = json_object_new_object ();
      json_object_object_add (one, "name", json_object_new_string (member->name));
      json_object_object_add (one, "state", json_object_new_string (names[member->state]));
      json_object_array_add (members, one);
    }
  json_object_object_add (result, "participants", members);
  agent_session_answer (session, request->id, result);
}

static void
do_quiesce (Session *session, const AgentRequest *request)
{
  set_pending (session, request);
  session->hold_until = session->pending.deadline + request->hold;
  if (session->state == SESSION_RUNNING)
    agent_session_begin_quiesce (session);
  else if (session->state == SESSION_QUIESCED)
    agent_session_begin_resume (session); /* of a host that is gone; then anew */
}

static void
do_resume (Session *session, const AgentRequest *request)
{
  if (agent_session_take_pending (session, AGENT_QUIESCE))
    agent_session_answer_error (session, session->pending.id, "cancelled", "the host gave it up");
  set_pending (session, request);
  if (session->state == SESSION_RUNNING)
    agent_session_end_resume (session);
  else if (session->state != SESSION_RESUMING && session->state != SESSION_RESTORING)
    agent_session_begin_resume (session);
}

static void
do_after_restore (Session *session, const AgentRequest *request)
{
  const char *reason = "the agent was told not to";
  set_pending (session, request);
  session->deadline = session->pending.deadline;
  session->restored = true;
  if (session->sets_clock && request->time != 0)
    reason = agent_set_clock (request->time);
  session->clock = reason != NULL ? reason : "set";
  reason = request->has_entropy ? agent_reseed (request->entropy, CS_AGENT_ENTROPY)
                                : "the host sent no entropy";
  session->random = reason != NULL ? reason : "set";
  session->announced = agent_announce ();
  agent_log ("restored: clock: %s, random: %s, %d addresses announced", session->clock,
             session->random, session->announced);
  if (session->state == SESSION_RUNNING)
    agent_session_begin_restored (session);
  else if (session->state != SESSION_RESUMING && session->state != SESSION_RESTORING)
    agent_session_begin_resume (session);
}

static void
do_dependencies (Session *session, const AgentRequest *request)
{
  set_pending (session, request);
  agent_registry_ask_dependencies (&session->registry);
}

void
agent_session_line (Session *session, const char *line, size_t length)
{
  AgentRequest request;
  const char *reason;
  if (length == 0)
    return;
  if (!agent_request_parse (line, length, &request, &reason))
    {
      if (request.id != 0)
        agent_session_answer_error (session, request.id, "invalid", reason);
      return;
    }
  if (session->pending.active && request.verb >= AGENT_QUIESCE && request.verb != AGENT_RESUME)
    {
      agent_session_answer_error (session, request.id, "failed",
                                  "the request before is not answered yet");
      return;
    }
  if (request.has_identity)
    agent_registry_set_identity (&session->registry, &request.identity);
  static void (*const functions[]) (Session *, const AgentRequest *) = {
    [AGENT_HELLO] = do_hello,
    [AGENT_INFO] = do_info,
    [AGENT_QUIESCE] = do_quiesce,
    [AGENT_RESUME] = do_resume,
    [AGENT_ASK_DEPENDENCIES] = do_dependencies,
    [AGENT_AFTER_RESTORE] = do_after_restore,
  };
  if (request.verb == AGENT_PING)
    agent_session_answer (session, request.id, json_object_new_object ());
  else
    functions[request.verb](session, &request);
}
