#include "config.h"

#include "vmm/agent-reply.h"

#include "common/error.h"
#include "common/json.h"
#include "guest-agent/agent/protocol.h"
#include "guest-agent/participant/participant.h"
#include "vmm/guest-talk.h"

#include <string.h>

void
cs_agent_reply_clear (CsAgentReply *reply)
{
  g_clear_pointer (&reply->result, json_object_put);
  g_clear_pointer (&reply->reason, g_free);
}

void
cs_agent_reply_parse (const char *text, gsize length, CsAgentReply *reply)
{
  *reply = (CsAgentReply){ .kind = CS_AGENT_NOISE };
  g_autoptr (CsJson) object =
      length < CS_AGENT_ANSWER_MAX ? cs_json_parse_object (text, length, NULL) : NULL;
  json_object *result = cs_json_member_object (object, "return");
  json_object *failure = cs_json_member_object (object, "error");
  reply->id = cs_json_uint (object, "id", 0);
  if (reply->id == 0 || (result == NULL) == (failure == NULL))
    return;
  if (result != NULL)
    {
      reply->kind = CS_AGENT_RETURN;
      reply->result = json_object_get (result);
      return;
    }
  const char *desc = cs_json_string (failure, "desc");
  bool veto = g_strcmp0 (cs_json_string (failure, "class"), "veto") == 0;
  reply->kind = veto ? CS_AGENT_VETO : CS_AGENT_ERROR;
  reply->reason = cs_guest_talk_printable (desc != NULL ? desc : "no reason given");
}

static bool
is_vm_name (const char *name)
{
  gsize length = name != NULL ? strlen (name) : 0;
  if (length == 0 || length >= CS_PARTICIPANT_NAME || !g_ascii_isalnum (name[0]))
    return false;
  return strspn (name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-") == length;
}

static bool
invalid (GError **error, const char *what)
{
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the agent's dependencies %s", what);
  return false;
}

/* @latest: name -> the array's object of that name. */
static bool
add_dependency (json_object *array, GHashTable *latest, json_object *entry, GError **error)
{
  const char *vm = cs_json_string (entry, "vm");
  json_object *member = NULL;
  if (!is_vm_name (vm) || !json_object_object_get_ex (entry, "interval", &member)
      || !json_object_is_type (member, json_type_int) || json_object_get_int64 (member) < 0)
    return invalid (error, "are not names of VMs with intervals");
  guint64 interval = cs_json_uint (entry, "interval", 0);
  json_object *known = g_hash_table_lookup (latest, vm);
  if (known != NULL)
    {
      if (interval > cs_json_uint (known, "interval", 0))
        cs_json_add_uint (known, "interval", interval);
      return true;
    }
  known = json_object_new_object ();
  cs_json_add_string (known, "vm", vm);
  cs_json_add_uint (known, "interval", interval);
  json_object_array_add (array, known);
  g_hash_table_insert (latest, (gpointer)cs_json_string (known, "vm"), known);
  return true;
}

json_object *
cs_agent_reply_dependencies (json_object *result, GError **error)
{
  json_object *said = cs_json_array (result, "dependencies");
  g_autoptr (CsJson) array = json_object_new_array ();
  g_autoptr (GHashTable) latest = g_hash_table_new (g_str_hash, g_str_equal);
  gsize count = said != NULL ? json_object_array_length (said) : 0;
  if (said == NULL || count > CS_PARTICIPANT_VMS)
    {
      invalid (error, said == NULL ? "are missing" : "are too many");
      return NULL;
    }
  for (gsize i = 0; i < count; i++)
    if (!add_dependency (array, latest, json_object_array_get_idx (said, i), error))
      return NULL;
  return g_steal_pointer (&array);
}
