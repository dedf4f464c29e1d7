#include "config.h"

#include "coord/cli-snapshot-tree.h"

#include <string.h>

typedef struct
{
  GPtrArray *rows; /* json_object, borrowed: by cluster, then as they were taken */
  bool *placed;    /* per row */
  json_object *tree;
} Tree;

static int
compare_rows (gconstpointer a, gconstpointer b)
{
  json_object *first = *(json_object *const *)a, *second = *(json_object *const *)b;
  static const char *const keys[] = { "cluster", "created", "snapshot" };
  int order = 0;
  for (gsize i = 0; order == 0 && i < G_N_ELEMENTS (keys); i++)
    order = g_strcmp0 (cs_json_string (first, keys[i]), cs_json_string (second, keys[i]));
  return order;
}

static bool
is_child (json_object *row, json_object *parent)
{
  const char *name = cs_json_string (row, "parent");
  return name != NULL && row != parent && g_strcmp0 (name, cs_json_string (parent, "snapshot")) == 0
         && g_strcmp0 (cs_json_string (row, "cluster"), cs_json_string (parent, "cluster")) == 0;
}

static bool
is_root (const Tree *tree, json_object *row)
{
  for (guint i = 0; i < tree->rows->len; i++)
    if (is_child (row, g_ptr_array_index (tree->rows, i)))
      return false;
  return true;
}

/* @indent: of the row itself; @below: of what lies under it. */
static void
place (Tree *tree, guint at, const char *indent, const char *below)
{
  json_object *row = g_ptr_array_index (tree->rows, at), *copy = json_object_new_object ();
  const char *name = cs_json_string (row, "snapshot");
  bool current = json_object_get_boolean (json_object_object_get (row, "current"));
  g_autofree char *text = g_strconcat (indent, name != NULL ? name : "", current ? " *" : "", NULL);
  tree->placed[at] = true;
  cs_json_merge (copy, row);
  cs_json_add_string (copy, "snapshot", text);
  json_object_array_add (tree->tree, copy);
  int last = -1;
  for (guint i = 0; i < tree->rows->len; i++)
    if (!tree->placed[i] && is_child (g_ptr_array_index (tree->rows, i), row))
      last = (int)i;
  for (guint i = 0; (int)i <= last; i++)
    {
      if (tree->placed[i] || !is_child (g_ptr_array_index (tree->rows, i), row))
        continue;
      g_autofree char *own = g_strconcat (below, (int)i == last ? "`- " : "|- ", NULL);
      g_autofree char *further = g_strconcat (below, (int)i == last ? "   " : "|  ", NULL);
      place (tree, i, own, further);
    }
}

json_object *
cs_snapshot_tree (json_object *rows)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();
  for (gsize i = 0; i < json_object_array_length (rows); i++)
    g_ptr_array_add (sorted, json_object_array_get_idx (rows, i));
  g_ptr_array_sort (sorted, compare_rows);
  g_autofree bool *placed = g_new0 (bool, sorted->len + 1);
  Tree tree = { sorted, placed, json_object_new_array () };
  for (guint i = 0; i < sorted->len; i++)
    if (!placed[i] && is_root (&tree, g_ptr_array_index (sorted, i)))
      place (&tree, i, "", "");
  /* Names that are used again may make a ring. */
  for (guint i = 0; i < sorted->len; i++)
    if (!placed[i])
      place (&tree, i, "", "");
  return tree.tree;
}
