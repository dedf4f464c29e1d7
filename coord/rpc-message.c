#include "config.h"

#include "coord/rpc-message.h"

#include "common/error.h"

void
cs_rpc_message_free (CsRpcMessage *message)
{
  if (message == NULL)
    return;
  json_object_put (message->body);
  g_clear_error (&message->error);
  g_free (message);
}

static bool
invalid (GError **error, const char *reason)
{
  g_set_error_literal (error, CS_ERROR, CS_ERROR_INVALID, reason);
  return false;
}

static bool
read_id (json_object *line, guint64 *id, GError **error)
{
  json_object *value = NULL;
  if (!json_object_object_get_ex (line, "id", &value) || !json_object_is_type (value, json_type_int)
      || json_object_get_int64 (value) < 0)
    return invalid (error, "it has no valid 'id'");
  *id = json_object_get_uint64 (value);
  return true;
}

static bool
read_answer (CsRpcMessage *message, json_object *line, GError **error)
{
  if (!read_id (line, &message->id, error))
    return false;
  json_object *result = NULL, *failure = NULL;
  bool has_result = json_object_object_get_ex (line, "result", &result);
  bool has_error = json_object_object_get_ex (line, "error", &failure);
  if (has_result == has_error)
    return invalid (error, "it must have either 'result' or 'error'");
  if (has_result)
    {
      if (!json_object_is_type (result, json_type_object))
        return invalid (error, "'result' is not an object");
      message->kind = CS_RPC_RESULT;
      message->body = json_object_get (result);
      return true;
    }
  const char *code = cs_json_string (failure, "code");
  const char *text = cs_json_string (failure, "message");
  if (code == NULL || text == NULL)
    return invalid (error, "'error' lacks 'code' or 'message'");
  message->kind = CS_RPC_ERROR;
  message->error = g_error_new_literal (CS_ERROR, cs_error_from_name (code), text);
  return true;
}

CsRpcMessage *
cs_rpc_message_parse (const char *line, gsize length, GError **error)
{
  g_autoptr (CsJson) object = cs_json_parse_object (line, length, error);
  if (object == NULL)
    return NULL;
  g_autoptr (CsRpcMessage) message = g_new0 (CsRpcMessage, 1);
  if (cs_json_string (object, "event") != NULL)
    {
      message->kind = CS_RPC_EVENT;
      message->body = json_object_get (object);
    }
  else if (!read_answer (message, object, error))
    return NULL;
  return g_steal_pointer (&message);
}
