/* The cut, and what follows from it: cluster-lines.c has the theory. */
#include "config.h"

#include "vmm/cluster-lines-private.h"

#include "common/error.h"

#include <errno.h>
#include <glib/gstdio.h>

void
cs_cut_unref (CsCut *cut)
{
  if (cut == NULL || !g_atomic_ref_count_dec (&cut->references))
    return;
  g_hash_table_unref (cut->texts);
  g_hash_table_unref (cut->lines);
  g_ptr_array_unref (cut->names);
  g_ptr_array_unref (cut->documents);
  g_free (cut);
}

static void
document_put (gpointer document)
{
  json_object_put (document);
}

static CsCut *
cut_new (void)
{
  CsCut *cut = g_new0 (CsCut, 1);
  g_atomic_ref_count_init (&cut->references);
  cut->texts = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  cut->lines =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)cs_line_free);
  cut->names = g_ptr_array_new_with_free_func (g_free);
  cut->documents = g_ptr_array_new_with_free_func (document_put);
  return cut;
}

gint64
cs_cut_time (const CsCut *cut)
{
  return cut->time;
}

/* Under the lock, so that cuts are in the queue in the order of their readings. */
static void
read_counters (CsClusterLines *lines, CsCut *cut)
{
  gint64 begin = g_get_monotonic_time ();
  g_autoptr (GArray) ids = cs_flows_namespaces (lines->flows);
  for (guint i = 0; i < ids->len; i++)
    {
      guint64 id = g_array_index (ids, guint64, i);
      g_autoptr (GError) error = NULL;
      char *text = cs_flows_list (lines->flows, id, &error);
      if (text == NULL)
        g_warning ("frames are not known, all VMs are bound to all: %s", error->message);
      g_hash_table_insert (cut->texts, g_memdup2 (&id, sizeof id), text);
    }
  cut->time = g_get_monotonic_time () - begin;
}

static CsCut *
enqueue (CsClusterLines *lines, CsCut *cut)
{
  g_mutex_lock (&lines->lock);
  read_counters (lines, cut);
  g_atomic_ref_count_inc (&cut->references);
  g_queue_push_tail (&lines->cuts, cut);
  g_mutex_unlock (&lines->lock);
  return cut;
}

CsCut *
cs_cluster_lines_cut (CsClusterLines *lines, const GPtrArray *names)
{
  CsCut *cut = cut_new ();
  for (guint i = 0; i < names->len; i++)
    g_ptr_array_add (cut->names, g_strdup (g_ptr_array_index (names, i)));
  return enqueue (lines, cut);
}

CsCut *
cs_cluster_lines_go_back (CsClusterLines *lines, const GPtrArray *documents)
{
  CsCut *cut = cut_new ();
  for (guint i = 0; i < documents->len; i++)
    g_ptr_array_add (cut->documents, json_object_get (g_ptr_array_index (documents, i)));
  return enqueue (lines, cut);
}

/* ---- settling ---- */

/* A snapshot that says nothing of it depends on all. */
static void
go_back_blind (CsClusterLines *lines, CsLineMember *member)
{
  g_autoptr (CsLine) start = cs_line_new ();
  cs_line_go_back (member->line, start);
  for (guint i = 0; i < lines->members->len; i++)
    {
      const CsLineMember *other = g_ptr_array_index (lines->members, i);
      if (other != member)
        cs_line_merge (member->line, other->name, cs_line_sequence (other->line),
                       CS_DEPENDENCY_UNCOUNTED);
    }
}

static void
go_back (CsClusterLines *lines, json_object *document)
{
  g_autoptr (GError) error = NULL;
  const char *name = cs_json_string (document, "name");
  CsLineMember *member = name != NULL ? cs_cluster_lines_member (lines, name) : NULL;
  g_autoptr (CsLine) snapshot = cs_line_from_manifest (document, &error);
  if (member == NULL)
    return;
  if (error != NULL)
    g_warning ("%s", error->message);
  if (snapshot != NULL)
    cs_line_go_back (member->line, snapshot);
  else
    go_back_blind (lines, member);
}

static void
settle (CsClusterLines *lines, CsCut *cut)
{
  g_autoptr (GHashTable) sets = cs_account_parse (cut->texts);
  cs_account (lines->members, sets, NULL, true);
  for (guint i = 0; i < cut->names->len; i++)
    {
      const char *name = g_ptr_array_index (cut->names, i);
      CsLineMember *member = cs_cluster_lines_member (lines, name);
      if (member == NULL)
        continue;
      cs_line_advance (member->line);
      g_hash_table_replace (cut->lines, g_strdup (name), cs_line_copy (member->line));
    }
  for (guint i = 0; i < cut->documents->len; i++)
    go_back (lines, g_ptr_array_index (cut->documents, i));
}

static void
settle_all (CsClusterLines *lines)
{
  CsCut *cut;
  while ((cut = g_queue_pop_head (&lines->cuts)) != NULL)
    {
      settle (lines, cut);
      cs_cut_unref (cut);
    }
}

bool
cs_cluster_lines_settle (CsClusterLines *lines, GError **error)
{
  g_mutex_lock (&lines->lock);
  settle_all (lines);
  g_mutex_unlock (&lines->lock);
  return cs_cluster_lines_save (lines, error);
}

void
cs_cut_add_to (const CsCut *cut, const char *vm, json_object *document)
{
  const CsLine *line = g_hash_table_lookup (cut->lines, vm);
  if (line != NULL)
    cs_line_add_to (line, document);
}

/* ---- showing ---- */

/* Members that share all with the true ones but their lines. */
static GPtrArray *
shadow_members (const GPtrArray *members)
{
  GPtrArray *shadows = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_line_member_free);
  for (guint i = 0; i < members->len; i++)
    {
      const CsLineMember *member = g_ptr_array_index (members, i);
      CsLineMember *shadow = g_memdup2 (member, sizeof *member);
      shadow->name = g_strdup (member->name);
      shadow->problem = g_strdup (member->problem);
      shadow->line = cs_line_copy (member->line);
      g_array_ref (shadow->macs);
      g_ptr_array_ref (shadow->watches);
      g_ptr_array_add (shadows, shadow);
    }
  return shadows;
}

static json_object *
recent_sources (guint sources)
{
  json_object *array = json_object_new_array ();
  for (guint i = 0; i < CS_N_DEPENDENCY_SOURCES; i++)
    if (sources & (1u << i))
      json_object_array_add (
          array, json_object_new_string (cs_dependency_source_name ((CsDependencySource)i)));
  return array;
}

static void
add_recent (json_object *vm, const GPtrArray *members, guint i, GHashTable *frames)
{
  const CsLineMember *member = g_ptr_array_index (members, i);
  json_object *dependencies = cs_json_array (vm, "dependencies");
  for (gsize k = 0; k < json_object_array_length (dependencies); k++)
    {
      json_object *one = json_object_array_get_idx (dependencies, k);
      const char *other = cs_json_string (one, "vm");
      guint64 interval;
      guint sources;
      if (!cs_line_depends_since (member->line, other, &interval, &sources))
        continue;
      json_object_object_add (one, "recent", recent_sources (sources));
      for (guint j = 0; j < members->len; j++)
        if (g_str_equal (((CsLineMember *)g_ptr_array_index (members, j))->name, other))
          cs_json_add_uint (one, "frames", cs_account_frames (frames, j, i));
    }
}

json_object *
cs_cluster_lines_show (CsClusterLines *lines)
{
  g_autoptr (GHashTable) frames = cs_account_frames_new ();
  g_autoptr (CsCut) reading = cut_new ();
  json_object *vms = json_object_new_array ();
  g_mutex_lock (&lines->lock);
  settle_all (lines);
  read_counters (lines, reading);
  g_autoptr (GPtrArray) members = shadow_members (lines->members);
  g_autoptr (GHashTable) sets = cs_account_parse (reading->texts);
  cs_account (members, sets, frames, false);
  g_mutex_unlock (&lines->lock);
  for (guint i = 0; i < members->len; i++)
    {
      const CsLineMember *member = g_ptr_array_index (members, i);
      json_object *vm = json_object_new_object ();
      cs_json_add_string (vm, "name", member->name);
      json_object_object_add (vm, "running",
                              json_object_new_boolean (cs_line_member_is_alive (member)));
      json_object_object_add (vm, "counted",
                              json_object_new_boolean (member->countable && !member->missed));
      cs_json_add_string (vm, "problem", member->problem);
      cs_line_add_to (member->line, vm);
      add_recent (vm, members, i, frames);
      json_object_array_add (vms, vm);
    }
  return vms;
}

/* ---- ends ---- */

/* Their sets are left when their taps have gone, so that nothing of what they sent is lost. */
void
cs_cluster_lines_sweep (CsClusterLines *lines)
{
  g_autoptr (GPtrArray) gone = g_ptr_array_new ();
  g_autoptr (GPtrArray) nobody = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  bool any = false;
  g_mutex_lock (&lines->lock);
  for (guint i = 0; i < lines->members->len; i++)
    {
      const CsLineMember *member = g_ptr_array_index (lines->members, i);
      any = any || (member->pid != 0 && !cs_line_member_is_alive (member));
    }
  g_mutex_unlock (&lines->lock);
  if (!any)
    return;
  g_mutex_lock (&lines->change_lock);
  cs_cut_unref (cs_cluster_lines_cut (lines, nobody));
  g_mutex_lock (&lines->lock);
  settle_all (lines);
  for (guint i = 0; i < lines->members->len; i++)
    {
      CsLineMember *member = g_ptr_array_index (lines->members, i);
      if (member->pid == 0 || cs_line_member_is_alive (member))
        continue;
      member->pid = 0;
      member->start_time = 0;
      while (member->watches->len > 0)
        g_ptr_array_add (gone, g_ptr_array_steal_index (member->watches, 0));
    }
  g_mutex_unlock (&lines->lock);
  cs_cluster_lines_unwatch (lines, gone);
  g_mutex_unlock (&lines->change_lock);
  if (!cs_cluster_lines_save (lines, &error))
    g_warning ("%s", error->message);
}

bool
cs_cluster_lines_forget (CsClusterLines *lines, GError **error)
{
  g_mutex_lock (&lines->change_lock);
  g_autoptr (GArray) ids = cs_flows_namespaces (lines->flows);
  for (guint i = 0; i < ids->len; i++)
    cs_flows_remove (lines->flows, g_array_index (ids, guint64, i));
  g_mutex_lock (&lines->file_lock);
  g_mutex_lock (&lines->lock);
  while (lines->members->len > 0)
    g_ptr_array_add (lines->retired, g_ptr_array_steal_index (lines->members, 0));
  g_mutex_unlock (&lines->lock);
  bool removed = g_unlink (lines->path) == 0 || errno == ENOENT;
  if (!removed)
    cs_error_set_errno (error, errno, "cannot remove '%s'", lines->path);
  g_mutex_unlock (&lines->file_lock);
  g_mutex_unlock (&lines->change_lock);
  return removed;
}
