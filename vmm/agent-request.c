/* Requests to the agent and their answers. */
#include "config.h"

#include "vmm/agent-private.h"

#include "common/error.h"
#include "common/json.h"
#include "guest-agent/participant/participant.h"
#include "vmm/agent-reply.h"

#include <string.h>

#define TOTAL_MAX_BYTES (1024 * 1024)
#define HELLO_AGAIN_US 500000

void
cs_agent_talk_init (CsGuestTalk *talk, int fd, int cancel_fd, const char *name, GString *line,
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

json_object *
cs_agent_request_new (const char *execute, guint64 id)
{
  json_object *request = json_object_new_object ();
  cs_json_add_string (request, "execute", execute);
  cs_json_add_uint (request, "id", id);
  return request;
}

void
cs_agent_request_add_identity (json_object *request, const char *vm, guint64 interval)
{
  if (vm == NULL || strlen (vm) >= CS_PARTICIPANT_NAME)
    return;
  cs_json_add_string (request, "vm", vm);
  cs_json_add_uint (request, "interval", interval);
}

void
cs_agent_request_add_deadline (json_object *request, gint64 deadline)
{
  gint64 left = deadline - g_get_monotonic_time ();
  cs_json_add_uint (request, "deadline", (guint64)MAX (left / 5 * 4 / 1000, 1));
}

bool
cs_agent_request_send (CsGuestTalk *talk, const char *before, json_object *request, GError **error)
{
  g_autofree char *text = g_strconcat (
      before, json_object_to_json_string_ext (request, JSON_C_TO_STRING_PLAIN), "\n", NULL);
  return cs_guest_talk_send (talk, text, strlen (text), error);
}

bool
cs_agent_await (CsGuestTalk *talk, guint64 id, json_object **result, GError **error)
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

bool
cs_agent_ask (CsGuestTalk *talk, const char *before, json_object *request, json_object **result,
              GError **error)
{
  g_autoptr (CsJson) own = request;
  return cs_agent_request_send (talk, before, own, error)
         && cs_agent_await (talk, cs_json_uint (own, "id", 0), result, error);
}

static json_object *
say_hello (CsGuestTalk *talk, const char *vm, guint64 interval, guint64 *id, GError **error)
{
  json_object *result = NULL;
  *id = (guint64)g_random_int_range (1, G_MAXINT32);
  json_object *request = cs_agent_request_new ("hello", *id);
  cs_json_add_uint (request, "version", CS_AGENT_VERSION);
  cs_agent_request_add_identity (request, vm, interval);
  return cs_agent_ask (talk, "\n", request, &result, error) ? result : NULL;
}

bool
cs_agent_hello (CsGuestTalk *talk, const char *vm, guint64 interval, guint64 *id, GError **error)
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
