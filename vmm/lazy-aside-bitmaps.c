/* The dirty bitmaps of an image set aside (lazy-aside.h) whose job is ready. */
#include "config.h"

#include "vmm/lazy-aside-private.h"

#include "vmm/disk-private.h"
#include "vmm/transaction.h"

/* One from an earlier attempt is there already: it tells too much then, never too little. */
static void
add_actions (json_object *actions, json_object *target, const char *from, const char *to,
             const char *name)
{
  if (cs_disk_find_bitmap (target, name) == NULL)
    cs_transaction_add_bitmap (actions, to, name);
  json_object *sources = json_object_new_array ();
  json_object_array_add (sources, cs_json_strings ("node", from, "name", name, NULL));
  json_object *merge = cs_json_strings ("node", to, "target", name, NULL);
  json_object_object_add (merge, "bitmaps", sources);
  cs_transaction_add (actions, "block-dirty-bitmap-merge", merge);
}

bool
cs_lazy_aside_copy_bitmaps (const CsLazyAsideLook *look, const char *from, const char *to,
                            GError **error)
{
  json_object *bitmaps = cs_member (cs_block_graph_info (look->graph, from), "dirty-bitmaps");
  g_autoptr (CsJson) actions = json_object_new_array ();
  for (gsize i = 0; i < cs_array_length (bitmaps); i++)
    {
      json_object *bitmap = json_object_array_get_idx (bitmaps, i);
      const char *name = cs_json_string (bitmap, "name");
      if (name != NULL && g_str_has_prefix (name, CS_DISK_PREFIX)
          && cs_member_true (bitmap, "recording"))
        add_actions (actions, cs_block_graph_info (look->graph, to), from, to, name);
    }
  return cs_array_length (actions) == 0
         || cs_monitor_execute (look->monitor, "transaction",
                                cs_transaction_arguments (g_steal_pointer (&actions)), NULL, error);
}
