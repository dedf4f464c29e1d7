/* cs_rpc_message_parse on any bytes: what it accepts keeps its promises. */
#include "config.h"

#include "coord/rpc-message.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsRpcMessage) message = cs_rpc_message_parse ((const char *)data, size, &error);
  g_assert ((message == NULL) == (error != NULL));
  if (message == NULL)
    return 0;
  g_assert ((message->kind == CS_RPC_ERROR) == (message->error != NULL));
  g_assert ((message->kind == CS_RPC_ERROR) == (message->body == NULL));
  if (message->kind == CS_RPC_RESULT)
    g_assert (json_object_is_type (message->body, json_type_object));
  if (message->kind == CS_RPC_EVENT)
    g_assert (cs_json_string (message->body, "event") != NULL);
  return 0;
}
