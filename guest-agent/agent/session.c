/* Theory of operation
 *
 *                 quiesce            all ready           hooks done
 *     RUNNING ------------> PREPARING --------> HOOKING ------------> QUIESCED
 *        ^                      |  veto, deadline, |  host gone           |  resume, hold is over,
 *        |                      v                  v                      v  host gone for long
 *        +----- RESTORING <-- RESUMING <----------+-----------------------+
 *        |   (after-restore)    |
 *        +----------------------+
 *
 * RESUMING runs the hooks backwards, then the participants go on: a hook that thaws a file system
 * must come before those that write to it.  Whatever happens it ends in RUNNING; each hook that
 * does not end is killed.
 *
 * The answer to a request goes out where its work ends; @pending remembers it.  The connection may
 * end meanwhile, or a new session begin: the work goes on, the answer is dropped.
 *
 * A guest that is restored or rolled back finds itself in the state in which the snapshot was
 * taken, mostly QUIESCED, with its host gone.  Participants that went on then, to be told only
 * afterwards that they were taken back, would send messages out of the wrong interval; so the agent
 * waits for CS_AGENT_GRACE ms for a host, which then sends after-restore. */
#include "config.h"

#include "guest-agent/agent/session.h"

#include <stdio.h>
#include <string.h>

#define RESUME_LIMIT 10000 /* ms for all hooks of a resume */
#define LATE_LOOK_EVERY 5  /* ms */

static const char *const states[] = {
  [SESSION_RUNNING] = "running",   [SESSION_PREPARING] = "preparing",
  [SESSION_HOOKING] = "hooking",   [SESSION_QUIESCED] = "quiesced",
  [SESSION_RESUMING] = "resuming", [SESSION_RESTORING] = "restoring",
};

static void
enter (Session *session, SessionState state)
{
  if (session->state != state)
    agent_log ("%s", states[state]);
  session->state = state;
}

/* ---- answers ---- */

static void
send_object (Session *session, json_object *object)
{
  agent_port_send (&session->port, json_object_to_json_string_ext (object, JSON_C_TO_STRING_PLAIN));
  json_object_put (object);
}

json_object *
agent_session_number (uint64_t value)
{
  return json_object_new_int64 (value < INT64_MAX ? (int64_t)value : INT64_MAX);
}

void
agent_session_answer (Session *session, uint64_t id, json_object *result)
{
  json_object *object = json_object_new_object ();
  json_object_object_add (object, "id", agent_session_number (id));
  json_object_object_add (object, "return", result);
  send_object (session, object);
}

void
agent_session_answer_error (Session *session, uint64_t id, const char *class, const char *desc)
{
  json_object *object = json_object_new_object (), *error = json_object_new_object ();
  agent_log ("%s: %s", class, desc);
  json_object_object_add (error, "class", json_object_new_string (class));
  json_object_object_add (error, "desc", json_object_new_string (desc));
  json_object_object_add (object, "id", agent_session_number (id));
  json_object_object_add (object, "error", error);
  send_object (session, object);
}

bool
agent_session_take_pending (Session *session, AgentVerb verb)
{
  bool waits = session->pending.active && session->pending.verb == verb;
  if (waits)
    session->pending.active = false;
  return waits;
}

/* ---- the way back ---- */

void
agent_session_begin_resume (Session *session)
{
  session->grace_until = 0;
  enter (session, SESSION_RESUMING);
  /* Undoes what quiesce has started, and no more. */
  if (!session->undoes_hooks)
    session->hooks.started = 0;
  session->undoes_hooks = false;
  agent_hooks_run (&session->hooks, "resume", true, agent_now () + RESUME_LIMIT,
                   &session->registry.identity);
}

static void
fail_quiesce (Session *session, const char *class, const char *desc)
{
  if (agent_session_take_pending (session, AGENT_QUIESCE))
    agent_session_answer_error (session, session->pending.id, class, desc);
  agent_session_begin_resume (session);
}

void
agent_session_begin_quiesce (Session *session)
{
  int64_t now = agent_now ();
  session->deadline = session->pending.deadline;
  session->held = false;
  enter (session, SESSION_PREPARING);
  agent_registry_prepare (&session->registry,
                          session->deadline > now ? session->deadline - now : 0);
}

void
agent_session_end_resume (Session *session)
{
  Pending *pending = &session->pending;
  agent_registry_resume (&session->registry, session->restored);
  session->restored = false;
  enter (session, SESSION_RUNNING);
  if (agent_session_take_pending (session, AGENT_RESUME))
    {
      json_object *result = json_object_new_object ();
      json_object_object_add (result, "held", json_object_new_boolean (session->held));
      agent_session_answer (session, pending->id, result);
    }
  else if (agent_session_take_pending (session, AGENT_AFTER_RESTORE))
    {
      json_object *result = json_object_new_object ();
      json_object_object_add (result, "clock", json_object_new_string (session->clock));
      json_object_object_add (result, "random", json_object_new_string (session->random));
      json_object_object_add (result, "announced", json_object_new_int (session->announced));
      json_object_object_add (result, "hooks", json_object_new_int (session->hooks.started));
      agent_session_answer (session, pending->id, result);
    }
  session->held = false;
  if (pending->active && pending->verb == AGENT_QUIESCE)
    agent_session_begin_quiesce (session);
}

void
agent_session_begin_restored (Session *session)
{
  enter (session, SESSION_RESTORING);
  agent_hooks_run (&session->hooks, "after-restore", false, session->deadline,
                   &session->registry.identity);
}

/* ---- what goes on by itself ---- */

static void
work_preparing (Session *session)
{
  const char *late = agent_registry_waits_for (&session->registry);
  char text[AGENT_TEXT];
  if (session->registry.veto[0] != '\0')
    fail_quiesce (session, "veto", session->registry.veto);
  else if (late == NULL)
    {
      enter (session, SESSION_HOOKING);
      agent_hooks_run (&session->hooks, "quiesce", false, session->deadline,
                       &session->registry.identity);
      session->undoes_hooks = true;
    }
  else if (agent_now () >= session->deadline)
    {
      snprintf (text, sizeof text, "participant '%.63s': not ready in time", late);
      fail_quiesce (session, "veto", text);
    }
}

static void
work_hooking (Session *session)
{
  if (!agent_hooks_work (&session->hooks, &session->registry.identity))
    return;
  if (session->hooks.failure[0] != '\0')
    {
      fail_quiesce (session, "veto", session->hooks.failure);
      return;
    }
  session->held = true;
  enter (session, SESSION_QUIESCED);
  if (!agent_session_take_pending (session, AGENT_QUIESCE))
    return;
  json_object *result = json_object_new_object ();
  json_object_object_add (
      result, "participants",
      agent_session_number (agent_registry_count (&session->registry, MEMBER_READY)));
  json_object_object_add (result, "hooks", json_object_new_int (session->hooks.started));
  agent_session_answer (session, session->pending.id, result);
}

static void
work_quiesced (Session *session)
{
  int64_t now = agent_now ();
  bool alone = session->grace_until != 0 && now >= session->grace_until;
  if (!alone && now < session->hold_until)
    return;
  agent_log (alone ? "the host is gone: going on"
                   : "the host has not said resume in time: going on without it");
  session->held = false;
  agent_session_begin_resume (session);
}

static void
work_dependencies (Session *session)
{
  const char *late = agent_registry_tells (&session->registry);
  const Registry *registry = &session->registry;
  char text[AGENT_TEXT];
  if (!session->pending.active || session->pending.verb != AGENT_ASK_DEPENDENCIES
      || (late != NULL && agent_now () < session->pending.deadline))
    return;
  session->pending.active = false;
  if (late != NULL || registry->too_many)
    {
      snprintf (text, sizeof text, "participant '%.63s' %s", late != NULL ? late : "?",
                late != NULL ? "does not say its dependencies" : "depends on too many VMs");
      agent_session_answer_error (session, session->pending.id, "failed", text);
      return;
    }
  json_object *result = json_object_new_object (), *array = json_object_new_array ();
  for (size_t i = 0; i < registry->n_dependencies; i++)
    {
      json_object *one = json_object_new_object ();
      json_object_object_add (one, "vm", json_object_new_string (registry->dependencies[i].vm));
      json_object_object_add (one, "interval",
                              agent_session_number (registry->dependencies[i].interval));
      json_object_array_add (array, one);
    }
  json_object_object_add (result, "dependencies", array);
  agent_session_answer (session, session->pending.id, result);
}

static void
step (Session *session)
{
  if (session->state == SESSION_PREPARING)
    work_preparing (session);
  if (session->state == SESSION_HOOKING)
    work_hooking (session);
  if (session->state == SESSION_QUIESCED)
    work_quiesced (session);
  if (session->state == SESSION_RESUMING
      && agent_hooks_work (&session->hooks, &session->registry.identity))
    {
      if (session->restored)
        agent_session_begin_restored (session);
      else
        agent_session_end_resume (session);
    }
  if (session->state == SESSION_RESTORING
      && agent_hooks_work (&session->hooks, &session->registry.identity))
    agent_session_end_resume (session);
}

void
agent_session_work (Session *session)
{
  SessionState before;
  do
    {
      before = session->state;
      step (session);
    }
  while (session->state != before);
  work_dependencies (session);
}

void
agent_session_opened (Session *session)
{
  session->pending.active = false;
}

void
agent_session_closed (Session *session)
{
  session->pending.active = false;
  if (session->state == SESSION_PREPARING || session->state == SESSION_HOOKING)
    agent_session_begin_resume (session);
  else if (session->state == SESSION_QUIESCED)
    session->grace_until = agent_now () + CS_AGENT_GRACE;
}

void
agent_session_end (Session *session)
{
  if (session->state == SESSION_RUNNING)
    return;
  if (session->state != SESSION_RESUMING && session->state != SESSION_RESTORING)
    agent_session_begin_resume (session);
  while (!agent_hooks_work (&session->hooks, &session->registry.identity) && session->hooks.active)
    poll (NULL, 0, 10);
  agent_registry_resume (&session->registry, session->restored);
}

static void
earlier (int64_t *when, int64_t other)
{
  if (*when == 0 || other < *when)
    *when = other;
}

int64_t
agent_session_deadline (const Session *session)
{
  int64_t when = 0;
  if (session->state == SESSION_PREPARING)
    earlier (&when, session->deadline);
  if (session->hooks.active)
    earlier (&when, session->hooks.deadline);
  if (session->state == SESSION_QUIESCED)
    earlier (&when, session->hold_until);
  if (session->state == SESSION_QUIESCED && session->grace_until != 0)
    earlier (&when, session->grace_until);
  if (session->pending.active && session->pending.verb == AGENT_ASK_DEPENDENCIES)
    earlier (&when, session->pending.deadline);
  if (!session->port.connected)
    earlier (&when, session->port.look_at);
  else if (session->port.late_until != 0)
    earlier (&when, agent_now () + LATE_LOOK_EVERY);
  return when;
}
