/* What agent.c and agent-restore.c share: requests and answers (agent-request.c). */
#ifndef CS_VMM_AGENT_PRIVATE_H
#define CS_VMM_AGENT_PRIVATE_H

#include "guest-agent/agent/protocol.h"
#include "vmm/agent.h"
#include "vmm/guest-talk.h"

/* All but @talk is borrowed until its end; @cancel_fd and @deadline as in CsGuestTalk. */
void cs_agent_talk_init (CsGuestTalk *talk, int fd, int cancel_fd, const char *name, GString *line,
                         gint64 deadline);

/* A new request. */
json_object *cs_agent_request_new (const char *execute, guint64 id);
/* A name that participants have no room for is left out. */
void cs_agent_request_add_identity (json_object *request, const char *vm, guint64 interval);
/* Four fifths of what is left until @deadline (agent.c says why). */
void cs_agent_request_add_deadline (json_object *request, gint64 deadline);

/* @before, which may be empty, goes in front of it. */
bool cs_agent_request_send (CsGuestTalk *talk, const char *before, json_object *request,
                            GError **error);
/* Reads on until the answer to @id; *@result is a new reference.  Errors: those of CsGuestTalk,
 * REFUSED (a veto; its reason), FAILED. */
bool cs_agent_await (CsGuestTalk *talk, guint64 id, json_object **result, GError **error);
/* Both.  @request is taken. */
bool cs_agent_ask (CsGuestTalk *talk, const char *before, json_object *request,
                   json_object **result, GError **error);

/* Begins a session and sets *@id to its first number.  Says it again when there is no answer: a
 * guest that was just restored may still be busy with the end of the connection that its memory
 * knows of. Errors: also UNSUPPORTED (another version of the protocol). */
bool cs_agent_hello (CsGuestTalk *talk, const char *vm, guint64 interval, guint64 *id,
                     GError **error);

#endif
