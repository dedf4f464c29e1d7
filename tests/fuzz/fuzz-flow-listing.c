/* cs_flow_listing_parse on any text: what it accepts must keep its promises. */
#include "config.h"

#include "vmm/flow-listing.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = g_strndup ((const char *)data, size);
  g_autoptr (GPtrArray) sets = cs_flow_listing_parse (text, NULL);
  for (guint i = 0; sets != NULL && i < sets->len; i++)
    {
      const CsFlowSet *set = g_ptr_array_index (sets, i);
      g_assert (set->name != NULL && set->handle != 0 && set->size != 0);
      g_assert (cs_flow_listing_find (sets, set->name) != NULL);
      for (guint k = 0; k < set->flows->len; k++)
        {
          const CsFlow *flow = &g_array_index (set->flows, CsFlow, k);
          g_assert (flow->source >> 48 == 0 && flow->destination >> 48 == 0);
        }
    }
  return 0;
}
