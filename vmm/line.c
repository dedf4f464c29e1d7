/* Theory of operation
 *
 * An interval gets its number at the cut that begins it, whether or not the snapshot comes to be
 * sealed: a number without a snapshot is like one whose snapshot was deleted.  So nothing need be
 * taken back when a snapshot fails, and what a guest was told of its interval stays true.
 *
 * The number is reserved, durably, before the cut, and used at it.  A daemon that dies in between
 * goes on with the reserved one: no snapshot lies between the two, so it does not matter which of
 * them something is said to have happened in.
 */
#include "config.h"

#include "vmm/line.h"

#include "common/error.h"

#include <string.h>

enum
{
  MAX_BRANCHES = 65536,
  MAX_DEPENDENCIES = 4096,
  MAX_NAME = 255,
};

typedef struct
{
  char *id;
  guint64 until; /* the snapshot from which it went on elsewhere; of the last one: unused */
} Branch;

typedef struct
{
  guint64 interval;
  guint sources; /* set of 1 << CsDependencySource */
  guint64 since; /* our interval in which that was seen last */
  guint64 recent_interval;
  guint recent_sources; /* seen in that interval */
} Dependency;

struct CsLine
{
  guint64 sequence;
  guint64 highest;
  GArray *branches;         /* of Branch; one at least */
  GHashTable *dependencies; /* VM -> Dependency */
};

static const char *const source_names[] = {
#define X(symbol, name) [CS_DEPENDENCY_##symbol] = name,
  CS_DEPENDENCY_SOURCE_TABLE (X)
#undef X
};
G_STATIC_ASSERT (G_N_ELEMENTS (source_names) == CS_N_DEPENDENCY_SOURCES);

const char *
cs_dependency_source_name (CsDependencySource source)
{
  g_assert (source < CS_N_DEPENDENCY_SOURCES);
  return source_names[source];
}

static void
branch_clear (gpointer data)
{
  g_free (((Branch *)data)->id);
}

static CsLine *
line_alloc (void)
{
  CsLine *line = g_new0 (CsLine, 1);
  line->branches = g_array_new (FALSE, FALSE, sizeof (Branch));
  g_array_set_clear_func (line->branches, branch_clear);
  line->dependencies = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return line;
}

static void
add_branch (CsLine *line, const char *id, guint64 until)
{
  Branch branch = { g_strdup (id), until };
  g_array_append_val (line->branches, branch);
}

static Branch *
branch_at (const CsLine *line, guint i)
{
  return &g_array_index (line->branches, Branch, i);
}

static void
begin_branch (CsLine *line)
{
  g_autofree char *id = g_uuid_string_random ();
  add_branch (line, id, 0);
}

CsLine *
cs_line_new (void)
{
  CsLine *line = line_alloc ();
  begin_branch (line);
  return line;
}

static void
copy_path (CsLine *to, const CsLine *from)
{
  GHashTableIter iter;
  gpointer name, value;
  g_array_set_size (to->branches, 0);
  for (guint i = 0; i < from->branches->len; i++)
    add_branch (to, branch_at (from, i)->id, branch_at (from, i)->until);
  g_hash_table_remove_all (to->dependencies);
  g_hash_table_iter_init (&iter, from->dependencies);
  while (g_hash_table_iter_next (&iter, &name, &value))
    g_hash_table_insert (to->dependencies, g_strdup (name), g_memdup2 (value, sizeof (Dependency)));
}

CsLine *
cs_line_copy (const CsLine *line)
{
  CsLine *copy = line_alloc ();
  copy->sequence = line->sequence;
  copy->highest = line->highest;
  copy_path (copy, line);
  return copy;
}

void
cs_line_free (CsLine *line)
{
  if (line == NULL)
    return;
  g_array_unref (line->branches);
  g_hash_table_unref (line->dependencies);
  g_free (line);
}

guint64
cs_line_sequence (const CsLine *line)
{
  return line->sequence;
}

guint64
cs_line_highest (const CsLine *line)
{
  return line->highest;
}

void
cs_line_raise_highest (CsLine *line, guint64 sequence)
{
  line->highest = MAX (line->highest, sequence);
}

guint64
cs_line_reserve (CsLine *line)
{
  return ++line->highest;
}

void
cs_line_advance (CsLine *line)
{
  line->sequence = line->highest;
}

bool
cs_line_merge (CsLine *line, const char *vm, guint64 interval, CsDependencySource source)
{
  Dependency *known = g_hash_table_lookup (line->dependencies, vm);
  guint bit = 1u << source;
  if (known == NULL)
    {
      known = g_new0 (Dependency, 1);
      known->interval = interval;
      known->since = G_MAXUINT64;
      g_hash_table_insert (line->dependencies, g_strdup (vm), known);
    }
  bool is_recent = known->since == line->sequence;
  bool is_new = !is_recent || interval > known->recent_interval || !(known->recent_sources & bit);
  known->interval = MAX (known->interval, interval);
  known->sources |= bit;
  known->recent_interval = is_recent ? MAX (known->recent_interval, interval) : interval;
  known->recent_sources = is_recent ? known->recent_sources | bit : bit;
  known->since = line->sequence;
  return is_new;
}

bool
cs_line_depends_on (const CsLine *line, const char *vm, guint64 *interval)
{
  const Dependency *known = g_hash_table_lookup (line->dependencies, vm);
  if (known != NULL && interval != NULL)
    *interval = known->interval;
  return known != NULL;
}

bool
cs_line_depends_since (const CsLine *line, const char *vm, guint64 *interval, guint *sources)
{
  const Dependency *known = g_hash_table_lookup (line->dependencies, vm);
  if (known == NULL || known->since != line->sequence)
    return false;
  *interval = known->recent_interval;
  *sources = known->recent_sources;
  return true;
}

void
cs_line_go_back (CsLine *line, const CsLine *snapshot)
{
  cs_line_raise_highest (line, snapshot->highest);
  copy_path (line, snapshot);
  branch_at (line, line->branches->len - 1)->until = snapshot->sequence;
  begin_branch (line);
  cs_line_reserve (line);
  cs_line_advance (line);
}

bool
cs_line_has (const CsLine *present, const CsLine *snapshot)
{
  guint last = snapshot->branches->len - 1;
  if (last >= present->branches->len)
    return false;
  for (guint i = 0; i <= last; i++)
    {
      const Branch *a = branch_at (present, i), *b = branch_at (snapshot, i);
      if (strcmp (a->id, b->id) != 0 || (i < last && a->until != b->until))
        return false;
    }
  guint64 end =
      last == present->branches->len - 1 ? present->sequence : branch_at (present, last)->until;
  return snapshot->sequence <= end;
}

/* ---- documents ---- */

static json_object *
branches_to_json (const CsLine *line)
{
  json_object *array = json_object_new_array ();
  for (guint i = 0; i < line->branches->len; i++)
    {
      json_object *branch = json_object_new_object ();
      cs_json_add_string (branch, "branch", branch_at (line, i)->id);
      if (i + 1 < line->branches->len)
        cs_json_add_uint (branch, "until", branch_at (line, i)->until);
      json_object_array_add (array, branch);
    }
  return array;
}

static json_object *
sources_to_json (guint sources)
{
  json_object *array = json_object_new_array ();
  for (guint i = 0; i < CS_N_DEPENDENCY_SOURCES; i++)
    if (sources & (1u << i))
      json_object_array_add (array, json_object_new_string (source_names[i]));
  return array;
}

static json_object *
dependencies_to_json (const CsLine *line, bool recent)
{
  json_object *array = json_object_new_array ();
  g_autoptr (GList) names = g_hash_table_get_keys (line->dependencies);
  names = g_list_sort (names, (GCompareFunc)strcmp);
  for (GList *at = names; at != NULL; at = at->next)
    {
      const Dependency *one = g_hash_table_lookup (line->dependencies, at->data);
      json_object *object = json_object_new_object ();
      cs_json_add_string (object, "vm", at->data);
      cs_json_add_uint (object, "interval", one->interval);
      json_object_object_add (object, "sources", sources_to_json (one->sources));
      if (recent)
        {
          cs_json_add_uint (object, "since", one->since);
          cs_json_add_uint (object, "recent-interval", one->recent_interval);
          json_object_object_add (object, "recent-sources", sources_to_json (one->recent_sources));
        }
      json_object_array_add (array, object);
    }
  return array;
}

void
cs_line_add_to (const CsLine *line, json_object *vm)
{
  cs_json_add_uint (vm, "sequence", line->sequence);
  json_object_object_add (vm, "line", branches_to_json (line));
  json_object_object_add (vm, "dependencies", dependencies_to_json (line, false));
}

json_object *
cs_line_to_json (const CsLine *line)
{
  json_object *object = json_object_new_object ();
  cs_json_add_uint (object, "sequence", line->sequence);
  cs_json_add_uint (object, "highest", line->highest);
  json_object_object_add (object, "line", branches_to_json (line));
  json_object_object_add (object, "dependencies", dependencies_to_json (line, true));
  return object;
}

/* An unsigned number that may be in the document; @fallback when it is not there. */
static bool
parse_number (json_object *object, const char *name, guint64 fallback, guint64 *number)
{
  json_object *member;
  *number = fallback;
  if (!json_object_object_get_ex (object, name, &member))
    return fallback != G_MAXUINT64;
  *number = cs_json_uint (object, name, G_MAXUINT64);
  return *number != G_MAXUINT64 && *number <= G_MAXINT64;
}

static bool
parse_branches (CsLine *line, json_object *array)
{
  gsize n = array ? json_object_array_length (array) : 0;
  guint64 before = 0;
  for (gsize i = 0; i < n; i++)
    {
      guint64 until;
      json_object *object = json_object_array_get_idx (array, i);
      const char *id = cs_json_string (object, "branch");
      bool last = i + 1 == n;
      if (id == NULL || !g_uuid_string_is_valid (id)
          || !parse_number (object, "until", last ? 0 : G_MAXUINT64, &until)
          || (!last && until < before))
        return false;
      add_branch (line, id, last ? 0 : until);
      before = last ? before : until;
    }
  return n > 0 && n <= MAX_BRANCHES && before <= line->sequence;
}

static bool
parse_sources (json_object *array, guint *sources)
{
  *sources = 0;
  for (gsize i = 0; array != NULL && i < json_object_array_length (array); i++)
    {
      const char *name = json_object_get_string (json_object_array_get_idx (array, i));
      for (guint k = 0; name != NULL && k < CS_N_DEPENDENCY_SOURCES; k++)
        if (strcmp (name, source_names[k]) == 0)
          *sources |= 1u << k;
    }
  return array != NULL;
}

static bool
parse_dependency (CsLine *line, json_object *object)
{
  Dependency one = { 0 };
  const char *name = cs_json_string (object, "vm");
  json_object *recent = cs_json_array (object, "recent-sources");
  if (name == NULL || *name == '\0' || strlen (name) > MAX_NAME
      || g_hash_table_contains (line->dependencies, name)
      || !parse_number (object, "interval", G_MAXUINT64, &one.interval)
      || !parse_sources (cs_json_array (object, "sources"), &one.sources)
      || (recent != NULL && !parse_sources (recent, &one.recent_sources))
      || !parse_number (object, "recent-interval", 0, &one.recent_interval))
    return false;
  one.since = cs_json_uint (object, "since", G_MAXUINT64);
  g_hash_table_insert (line->dependencies, g_strdup (name), g_memdup2 (&one, sizeof one));
  return true;
}

static bool
parse_line (CsLine *line, json_object *object)
{
  json_object *array = cs_json_array (object, "dependencies");
  gsize n = array ? json_object_array_length (array) : 0;
  if (!parse_number (object, "sequence", G_MAXUINT64, &line->sequence)
      || !parse_number (object, "highest", line->sequence, &line->highest)
      || line->highest < line->sequence || array == NULL || n > MAX_DEPENDENCIES
      || !parse_branches (line, cs_json_array (object, "line")))
    return false;
  for (gsize i = 0; i < n; i++)
    if (!parse_dependency (line, json_object_array_get_idx (array, i)))
      return false;
  return true;
}

CsLine *
cs_line_from_json (json_object *object, GError **error)
{
  g_autoptr (CsLine) line = line_alloc ();
  if (parse_line (line, object))
    return g_steal_pointer (&line);
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
               "its sequence number, line or dependencies are not as they must be "
               "(docs/dependencies.md)");
  return NULL;
}

CsLine *
cs_line_from_manifest (json_object *vm, GError **error)
{
  const char *name = cs_json_string (vm, "name");
  json_object *member;
  static const char *const members[] = { "sequence", "line", "dependencies" };
  gsize there = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (members); i++)
    there += json_object_object_get_ex (vm, members[i], &member);
  if (there == 0)
    return NULL;
  CsLine *line = cs_line_from_json (vm, error);
  if (line == NULL)
    g_prefix_error (error, "VM '%s' of the manifest: ", name ? name : "?");
  return line;
}
