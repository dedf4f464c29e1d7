#include "config.h"

#include "vmm/transaction.h"

#include "vmm/disk-private.h"

void
cs_transaction_add (json_object *actions, const char *type, json_object *data)
{
  json_object *action = cs_json_strings ("type", type, NULL);
  json_object_object_add (action, "data", data);
  json_object_array_add (actions, action);
}

void
cs_transaction_add_bitmap (json_object *actions, const char *node, const char *name)
{
  json_object *bitmap = cs_json_strings ("node", node, "name", name, NULL);
  json_object_object_add (bitmap, "granularity", json_object_new_int (CS_DISK_GRANULARITY));
  json_object_object_add (bitmap, "persistent", json_object_new_boolean (false));
  cs_transaction_add (actions, "block-dirty-bitmap-add", bitmap);
}

json_object *
cs_transaction_arguments (json_object *actions)
{
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "actions", actions);
  return arguments;
}
