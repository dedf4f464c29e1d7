/* What the guest's agent answers (guest-agent/agent/protocol.h), taken apart.  The guest is
 * hostile: any bytes may come. */
#ifndef CS_VMM_AGENT_REPLY_H
#define CS_VMM_AGENT_REPLY_H

#include <glib.h>
#include <json.h>
#include <stdbool.h>

typedef enum
{
  CS_AGENT_NOISE,  /* no answer at all: rest of an older conversation, or worse */
  CS_AGENT_RETURN, /* @result */
  CS_AGENT_VETO,   /* @reason */
  CS_AGENT_ERROR,  /* @reason */
} CsAgentReplyKind;

typedef struct
{
  CsAgentReplyKind kind;
  guint64 id;
  json_object *result; /* an object */
  char *reason;        /* printable, at most 200 bytes or so */
} CsAgentReply;

/* Fills in @reply from a line of @length bytes without its end. */
void cs_agent_reply_parse (const char *text, gsize length, CsAgentReply *reply);
void cs_agent_reply_clear (CsAgentReply *reply);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CsAgentReply, cs_agent_reply_clear)

/* The dependencies in the result of "dependencies": a new array [{"vm", "interval"}, ...], at most
 * CS_PARTICIPANT_VMS, each VM once with its latest interval, names as names of VMs are.  Errors:
 * INVALID. */
json_object *cs_agent_reply_dependencies (json_object *result, GError **error);

#endif
