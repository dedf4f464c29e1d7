/* cs_ram_blocks_parse on any text: what it accepts must keep its promises. */
#include "config.h"

#include "vmm/ramblock.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = g_strndup ((const char *)data, size);
  g_autoptr (GPtrArray) blocks = cs_ram_blocks_parse (text, NULL);
  for (guint i = 0; blocks != NULL && i < blocks->len; i++)
    {
      const CsRamBlock *block = g_ptr_array_index (blocks, i);
      g_assert (*block->name != '\0' && block->used_length > 0);
      g_assert (block->used_length % 4096 == 0 && block->host % block->page_size == 0);
      g_assert (block->host + block->max_length > block->host);
    }
  return 0;
}
