#include "config.h"

#include "tests/dsm/checker.h"

#include <stdbool.h>

typedef struct
{
  const Operation *operations;
  guint total, n;
  GHashTable *writes; /* word and value -> operation + 1 */
  GHashTable *next;   /* word and value -> the write that replaced it, + 1 */
  GArray **edges;     /* per operation: guint */
  guint *incoming;
} Checker;

static guint64 *
key_of (guint32 word, guint64 value)
{
  guint64 *key = g_new (guint64, 1);
  *key = value * 1024 + word;
  return key;
}

static guint
look_up (GHashTable *table, guint32 word, guint64 value)
{
  guint64 key = value * 1024 + word;
  return GPOINTER_TO_UINT (g_hash_table_lookup (table, &key));
}

static void
add_edge (Checker *checker, guint from, guint to)
{
  if (checker->edges[from] == NULL)
    checker->edges[from] = g_array_new (FALSE, FALSE, sizeof (guint));
  g_array_append_val (checker->edges[from], to);
  checker->incoming[to]++;
}

static char *
index_writes (Checker *checker)
{
  for (guint i = 0; i < checker->total; i++)
    {
      const Operation *operation = &checker->operations[i];
      if (!operation->write)
        continue;
      if (look_up (checker->writes, operation->word, operation->value) != 0)
        return g_strdup_printf ("word %u: a value was written twice", operation->word);
      if (look_up (checker->next, operation->word, operation->replaced) != 0)
        return g_strdup_printf ("word %u: two writes replaced the same value: one is lost",
                                operation->word);
      g_hash_table_insert (checker->writes, key_of (operation->word, operation->value),
                           GUINT_TO_POINTER (i + 1));
      g_hash_table_insert (checker->next, key_of (operation->word, operation->replaced),
                           GUINT_TO_POINTER (i + 1));
    }
  return NULL;
}

static char *
add_edges (Checker *checker)
{
  for (guint i = 0; i < checker->total; i++)
    {
      const Operation *operation = &checker->operations[i];
      if ((i + 1) % checker->n != 0)
        add_edge (checker, i, i + 1);
      guint64 seen = operation->write ? operation->replaced : operation->value;
      guint source = look_up (checker->writes, operation->word, seen);
      guint later = look_up (checker->next, operation->word, seen);
      if (source == 0 && seen != 0)
        return g_strdup_printf ("word %u: value %" G_GUINT64_FORMAT " was never written",
                                operation->word, seen);
      if (source != 0)
        add_edge (checker, source - 1, i);
      if (!operation->write && later != 0)
        add_edge (checker, i, later - 1);
    }
  return NULL;
}

/* Kahn: what cannot be put in an order lies on a cycle. */
static char *
find_cycle (Checker *checker)
{
  g_autofree guint *queue = g_new (guint, checker->total);
  guint n = 0;
  for (guint i = 0; i < checker->total; i++)
    if (checker->incoming[i] == 0)
      queue[n++] = i;
  for (guint at = 0; at < n; at++)
    {
      GArray *edges = checker->edges[queue[at]];
      for (guint j = 0; edges != NULL && j < edges->len; j++)
        {
          guint to = g_array_index (edges, guint, j);
          if (--checker->incoming[to] == 0)
            queue[n++] = to;
        }
    }
  if (n == checker->total)
    return NULL;
  return g_strdup_printf ("%u operations have no order that all processes could have seen",
                          checker->total - n);
}

char *
checker_check (const Operation *operations, guint processes, guint n, guint words)
{
  Checker checker = { operations, processes * n, n, NULL, NULL, NULL, NULL };
  g_assert (words <= 1024);
  checker.writes = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  checker.next = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  checker.edges = g_new0 (GArray *, checker.total);
  checker.incoming = g_new0 (guint, checker.total);
  char *wrong = index_writes (&checker);
  if (wrong == NULL)
    wrong = add_edges (&checker);
  if (wrong == NULL)
    wrong = find_cycle (&checker);
  for (guint i = 0; i < checker.total; i++)
    if (checker.edges[i] != NULL)
      g_array_unref (checker.edges[i]);
  g_free (checker.edges);
  g_free (checker.incoming);
  g_hash_table_unref (checker.writes);
  g_hash_table_unref (checker.next);
  return wrong;
}
