#include "config.h"

#include "coord/cli-snapshot-tree.h"

#include <string.h>

#define NO_PARENT G_MAXUINT

typedef struct
{
  GPtrArray *rows; /* json_object, borrowed: by cluster, then as they were taken */
  guint *parents;  /* per row: number of the one that it stands below, or NO_PARENT */
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

/* ---- parents ---- */

/* Its VMs' may be several; an older clusnap tells of one only. */
static json_object *
parents_of (json_object *row)
{
  json_object *parents = cs_json_array (row, "parents"), *parent = NULL;
  if (parents != NULL && json_object_array_length (parents) > 0)
    return json_object_get (parents);
  parents = json_object_new_array ();
  if (json_object_object_get_ex (row, "parent", &parent) && parent != NULL)
    json_object_array_add (parents, json_object_get (parent));
  return parents;
}

/* Below which row it stands, the latest of its parents; NO_PARENT: none is there. */
static guint
find_parent (const Tree *tree, guint at)
{
  json_object *row = g_ptr_array_index (tree->rows, at);
  g_autoptr (CsJson) parents = parents_of (row);
  for (guint i = tree->rows->len; i-- > 0;)
    {
      json_object *other = g_ptr_array_index (tree->rows, i);
      const char *name = cs_json_string (other, "snapshot");
      if (i == at
          || g_strcmp0 (cs_json_string (row, "cluster"), cs_json_string (other, "cluster")) != 0)
        continue;
      for (gsize k = 0; name != NULL && k < json_object_array_length (parents); k++)
        if (g_strcmp0 (json_object_get_string (json_object_array_get_idx (parents, k)), name) == 0)
          return i;
    }
  return NO_PARENT;
}

static bool
is_child (const Tree *tree, guint i, guint at)
{
  return !tree->placed[i] && tree->parents[i] == at;
}

/* All of its parents in its column, and those that it does not stand below behind its name. */
static void
name_parents (const Tree *tree, guint at, json_object *copy, GString *text)
{
  g_autoptr (CsJson) parents = parents_of (copy);
  g_autoptr (GString) all = g_string_new (NULL), others = g_string_new (NULL);
  const char *above =
      tree->parents[at] != NO_PARENT
          ? cs_json_string (g_ptr_array_index (tree->rows, tree->parents[at]), "snapshot")
          : NULL;
  for (gsize i = 0; i < json_object_array_length (parents); i++)
    {
      const char *name = json_object_get_string (json_object_array_get_idx (parents, i));
      g_string_append_printf (all, "%s%s", all->len > 0 ? ", " : "", name);
      if (g_strcmp0 (name, above) != 0)
        g_string_append_printf (others, "%s%s", others->len > 0 ? ", " : "", name);
    }
  if (json_object_array_length (parents) < 2)
    return;
  cs_json_add_string (copy, "parent", all->str);
  if (others->len > 0)
    g_string_append_printf (text, " (and %s)", others->str);
}

/* @indent: of the row itself; @below: of what lies under it. */
static void
place (Tree *tree, guint at, const char *indent, const char *below)
{
  json_object *row = g_ptr_array_index (tree->rows, at), *copy = json_object_new_object ();
  const char *name = cs_json_string (row, "snapshot");
  bool current = json_object_get_boolean (json_object_object_get (row, "current"));
  g_autoptr (GString) text = g_string_new (indent);
  g_string_append (text, name != NULL ? name : "");
  tree->placed[at] = true;
  cs_json_merge (copy, row);
  name_parents (tree, at, copy, text);
  g_string_append (text, current ? " *" : "");
  cs_json_add_string (copy, "snapshot", text->str);
  json_object_array_add (tree->tree, copy);
  int last = -1;
  for (guint i = 0; i < tree->rows->len; i++)
    if (is_child (tree, i, at))
      last = (int)i;
  for (guint i = 0; (int)i <= last; i++)
    {
      if (!is_child (tree, i, at))
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
  g_autofree guint *parents = g_new (guint, sorted->len + 1);
  g_autofree bool *placed = g_new0 (bool, sorted->len + 1);
  Tree tree = { sorted, parents, placed, json_object_new_array () };
  for (guint i = 0; i < sorted->len; i++)
    parents[i] = find_parent (&tree, i);
  for (guint i = 0; i < sorted->len; i++)
    if (parents[i] == NO_PARENT)
      place (&tree, i, "", "");
  /* Names that are used again may make a ring. */
  for (guint i = 0; i < sorted->len; i++)
    if (!placed[i])
      place (&tree, i, "", "");
  return tree.tree;
}
