/* Builds the arguments of QMP's `transaction`. */
#ifndef CS_VMM_TRANSACTION_H
#define CS_VMM_TRANSACTION_H

#include <json.h>

/* Appends an action to the array @actions; takes @data. */
void cs_transaction_add (json_object *actions, const char *type, json_object *data);

/* Appends the addition of an enabled dirty bitmap in memory. */
void cs_transaction_add_bitmap (json_object *actions, const char *node, const char *name);

/* The command's arguments; takes @actions. */
json_object *cs_transaction_arguments (json_object *actions);

#endif
