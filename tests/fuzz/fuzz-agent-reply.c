/* cs_agent_reply_parse on any bytes: what it accepts keeps its promises. */
#include "config.h"

#include "common/json.h"
#include "guest-agent/participant/participant.h"
#include "vmm/agent-reply.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static void
check_dependencies (json_object *result)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsJson) array = cs_agent_reply_dependencies (result, &error);
  g_assert ((array == NULL) == (error != NULL));
  gsize count = array != NULL ? json_object_array_length (array) : 0;
  g_assert (count <= CS_PARTICIPANT_VMS);
  for (gsize i = 0; i < count; i++)
    {
      const char *vm = cs_json_string (json_object_array_get_idx (array, i), "vm");
      g_assert (vm != NULL && vm[0] != '\0' && strlen (vm) < CS_PARTICIPANT_NAME);
    }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_auto (CsAgentReply) reply = { 0 };
  cs_agent_reply_parse ((const char *)data, size, &reply);
  g_assert ((reply.kind == CS_AGENT_RETURN) == (reply.result != NULL));
  g_assert ((reply.kind == CS_AGENT_VETO || reply.kind == CS_AGENT_ERROR)
            == (reply.reason != NULL));
  g_assert (reply.kind == CS_AGENT_NOISE || reply.id != 0);
  if (reply.reason != NULL)
    g_assert (g_utf8_validate (reply.reason, -1, NULL));
  if (reply.result != NULL)
    check_dependencies (reply.result);
  return 0;
}
