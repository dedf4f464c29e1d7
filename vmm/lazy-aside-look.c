#include "config.h"

#include "vmm/disk-private.h"
#include "vmm/lazy-aside-private.h"

void
cs_lazy_aside_look_clear (CsLazyAsideLook *look)
{
  cs_block_graph_free (look->graph);
  json_object_put (look->blocks);
}

bool
cs_lazy_aside_look (CsLazyAsideLook *look, GError **error)
{
  return cs_monitor_execute (look->monitor, "query-block", NULL, &look->blocks, error)
         && (look->graph = cs_block_graph_load (look->monitor, error)) != NULL;
}

const char *
cs_lazy_aside_top_of (json_object *block)
{
  return cs_json_string (cs_member (block, "inserted"), "node-name");
}
