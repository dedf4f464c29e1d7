/* What the host asks for, taken apart and bounded. */
#include "config.h"

#include "guest-agent/agent/agent.h"

#include <errno.h>
#include <json.h>
#include <string.h>

static const char *const verbs[] = {
  [AGENT_HELLO] = "hello",
  [AGENT_PING] = "ping",
  [AGENT_INFO] = "info",
  [AGENT_QUIESCE] = "quiesce",
  [AGENT_RESUME] = "resume",
  [AGENT_ASK_DEPENDENCIES] = "dependencies",
  [AGENT_AFTER_RESTORE] = "after-restore",
};

static uint64_t
get_number (json_object *object, const char *name)
{
  json_object *member;
  if (!json_object_object_get_ex (object, name, &member)
      || !json_object_is_type (member, json_type_int))
    return 0;
  return json_object_get_uint64 (member);
}

static int64_t
get_ms (json_object *object, const char *name)
{
  uint64_t value = get_number (object, name);
  return (int64_t)(value < CS_AGENT_HOLD_MAX ? value : CS_AGENT_HOLD_MAX);
}

static const char *
get_string (json_object *object, const char *name)
{
  json_object *member;
  if (!json_object_object_get_ex (object, name, &member)
      || !json_object_is_type (member, json_type_string))
    return NULL;
  return json_object_get_string (member);
}

static int
digit (char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
get_entropy (json_object *object, unsigned char *entropy)
{
  const char *text = get_string (object, "entropy");
  if (text == NULL || strlen (text) != 2 * CS_AGENT_ENTROPY)
    return false;
  for (size_t i = 0; i < CS_AGENT_ENTROPY; i++)
    {
      int high = digit (text[2 * i]), low = digit (text[2 * i + 1]);
      if (high < 0 || low < 0)
        return false;
      entropy[i] = (unsigned char)(high * 16 + low);
    }
  return true;
}

static bool
get_identity (json_object *object, CsParticipantIdentity *identity)
{
  const char *vm = get_string (object, "vm");
  if (vm == NULL || !cs_participant_name_is_good (vm))
    return false;
  memcpy (identity->vm, vm, strlen (vm) + 1);
  identity->interval = get_number (object, "interval");
  return true;
}

static bool
fill (json_object *object, AgentRequest *request, const char **reason)
{
  const char *execute = get_string (object, "execute");
  size_t n = sizeof verbs / sizeof *verbs, verb = 0;
  request->id = get_number (object, "id");
  *reason = "\"execute\" is missing";
  if (execute == NULL)
    return false;
  while (verb < n && strcmp (verbs[verb], execute) != 0)
    verb++;
  *reason = "this agent has no such command";
  if (verb == n)
    return false;
  *reason = "\"id\" is missing";
  if (request->id == 0)
    return false;
  request->verb = (AgentVerb)verb;
  request->version = get_number (object, "version");
  request->deadline = get_ms (object, "deadline");
  request->hold = get_ms (object, "hold");
  request->time = get_number (object, "time");
  request->has_entropy = get_entropy (object, request->entropy);
  request->has_identity = get_identity (object, &request->identity);
  return true;
}

bool
agent_request_parse (const char *line, size_t length, AgentRequest *request, const char **reason)
{
  memset (request, 0, sizeof *request);
  *reason = "it is no JSON object";
  if (length >= CS_AGENT_REQUEST_MAX || memchr (line, '\0', length) != NULL)
    return false;
  json_tokener *tokener = json_tokener_new_ex (CS_AGENT_DEPTH);
  if (tokener == NULL)
    return false;
  json_tokener_set_flags (tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
  json_object *object = json_tokener_parse_ex (tokener, line, (int)length);
  bool whole = object != NULL && json_tokener_get_parse_end (tokener) == length
               && json_object_is_type (object, json_type_object);
  json_tokener_free (tokener);
  bool good = whole && fill (object, request, reason);
  json_object_put (object);
  return good;
}
