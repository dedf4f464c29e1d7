/* What session.c and session-request.c share. */
#ifndef CS_AGENT_SESSION_H
#define CS_AGENT_SESSION_H

#include "guest-agent/agent/agent.h"

#include <json.h>

/* As JSON has it; cut at INT64_MAX. */
json_object *agent_session_number (uint64_t value);

/* Answers request @id.  @result is taken. */
void agent_session_answer (Session *session, uint64_t id, json_object *result);
void agent_session_answer_error (Session *session, uint64_t id, const char *class,
                                 const char *desc);

/* Whether the host still waits for the answer to a @verb; it is answered now. */
bool agent_session_take_pending (Session *session, AgentVerb verb);

/* From RUNNING, for the request that is pending. */
void agent_session_begin_quiesce (Session *session);
/* Whatever the state: to RESUMING. */
void agent_session_begin_resume (Session *session);
/* To RESTORING. */
void agent_session_begin_restored (Session *session);
/* To RUNNING; answers the request that waited for that. */
void agent_session_end_resume (Session *session);

#endif
