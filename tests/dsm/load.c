#include "config.h"

#include "tests/dsm/load.h"

void
load_run (CsDsm *dsm, guint node, guint nodes, Operation *operations, guint n, guint *progress)
{
  guint8 *memory = cs_dsm_memory (dsm);
  guint64 mine[LOAD_WORDS] = { 0 };
  GRand *chance = g_rand_new_with_seed (node + 1);
  for (guint i = 0; i < n; i++)
    {
      guint word = g_rand_int_range (chance, 0, LOAD_WORDS);
      bool plain = word % 2 == 0;
      bool owns = !plain || word / 2 % nodes == node;
      volatile guint64 *at =
          (volatile guint64 *)(memory + word % LOAD_PAGES * CS_DSM_PAGE) + word / LOAD_PAGES;
      Operation *operation = &operations[i];
      *operation = (Operation){ .word = word, .write = owns && g_rand_boolean (chance) };
      guint64 value = (guint64)i * nodes + node + 1;
      if (!operation->write)
        operation->value = *at;
      else if (plain)
        {
          *at = value;
          operation->value = value;
          operation->replaced = mine[word];
          mine[word] = value;
        }
      else
        {
          operation->replaced = __atomic_exchange_n (at, value, __ATOMIC_SEQ_CST);
          operation->value = value;
        }
      if (progress != NULL)
        __atomic_store_n (progress, i + 1, __ATOMIC_RELAXED);
    }
  g_rand_free (chance);
}
