/* Theory of operation
 *
 * The frames that VMs send are counted all the time (flows.c).  A reading binds, both ways, the VMs
 * between which frames were counted since the reading before, in the intervals that they are in.
 * All VMs of the cluster on this host are read whenever one of them is snapshotted, and at no other
 * time does a VM change its interval: so what a reading finds has happened in the intervals that
 * the VMs are in when it is made.
 *
 * The cut: when all VMs of a snapshot stand, the counters are listed, as text, and put into a queue
 * with the names of those VMs (cs_cluster_lines_cut).  That is all that happens while they stand.
 * The text is parsed when they run again, in the order of the queue; then the VMs of the cut enter
 * their next interval.  Two snapshots of different VMs at the same time do not confuse each other:
 * each settles what lies before it in the queue.
 *
 * A listing takes nothing away (flows.c).  A snapshot that fails before its cut has changed
 * nothing; after it, its VMs have entered an interval whose snapshot does not exist, which does no
 * harm (line.c), and what they depend on stays.
 *
 * Written down are the next numbers, before the cut, and all that was worked out, after it.  A
 * daemon that dies between the two finds the counters as they were at the reading before, and
 * accounts for the same frames once more.
 *
 * Nothing is missed silently.  Where it may have been (a VM that was never looked at, a QEMU or tap
 * that was made anew, a set that somebody removed or a guest filled, a reading that failed) the VM
 * is bound to all others, in the interval in which that happened (CS_DEPENDENCY_UNCOUNTED).
 */
#include "config.h"

#include "vmm/cluster-lines-private.h"

#include "common/error.h"
#include "images/document.h"
#include "vmm/netns.h"
#include "vmm/process.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* ---- members ---- */

CsWatch *
cs_watch_new (guint index, guint64 netns, guint64 handle)
{
  CsWatch *watch = g_new0 (CsWatch, 1);
  watch->name = cs_flows_set_name (index);
  watch->index = index;
  watch->netns = netns;
  watch->handle = handle;
  watch->seen = g_array_new (FALSE, FALSE, sizeof (CsFlow));
  return watch;
}

void
cs_watch_free (gpointer data)
{
  CsWatch *watch = data;
  g_array_unref (watch->seen);
  g_free (watch->name);
  g_free (watch);
}

CsLineMember *
cs_line_member_new (const char *name)
{
  CsLineMember *member = g_new0 (CsLineMember, 1);
  member->name = g_strdup (name);
  member->line = cs_line_new ();
  member->macs = g_array_new (FALSE, FALSE, sizeof (guint64));
  member->watches = g_ptr_array_new_with_free_func (cs_watch_free);
  member->missed = true;
  return member;
}

void
cs_line_member_free (CsLineMember *member)
{
  cs_line_free (member->line);
  g_array_unref (member->macs);
  g_ptr_array_unref (member->watches);
  g_free (member->problem);
  g_free (member->name);
  g_free (member);
}

CsLineMember *
cs_cluster_lines_member (const CsClusterLines *lines, const char *name)
{
  for (guint i = 0; i < lines->members->len; i++)
    if (strcmp (((CsLineMember *)g_ptr_array_index (lines->members, i))->name, name) == 0)
      return g_ptr_array_index (lines->members, i);
  return NULL;
}

bool
cs_line_member_is_alive (const CsLineMember *member)
{
  return member->pid != 0 && cs_process_start_time (member->pid) == member->start_time;
}

/* ---- opening ---- */

/* The numbers that snapshots in @store have are gone for good. */
static void
seed (CsClusterLines *lines, CsStore *store, const char *cluster)
{
  g_autoptr (GPtrArray) names = cs_store_manifest_list (store, cluster, NULL);
  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const CsManifestName *name = g_ptr_array_index (names, i);
      g_autoptr (CsJson) manifest = cs_store_manifest_get (store, cluster, name->snapshot, NULL);
      json_object *vms = cs_json_array (manifest, "vms");
      for (gsize k = 0; vms != NULL && k < json_object_array_length (vms); k++)
        {
          json_object *document = json_object_array_get_idx (vms, k);
          const char *vm = cs_json_string (document, "name");
          g_autoptr (CsLine) line = cs_line_from_manifest (document, NULL);
          if (vm == NULL || line == NULL)
            continue;
          if (cs_cluster_lines_member (lines, vm) == NULL)
            g_ptr_array_add (lines->members, cs_line_member_new (vm));
          CsLineMember *member = cs_cluster_lines_member (lines, vm);
          cs_line_raise_highest (member->line, cs_line_sequence (line));
        }
    }
  for (guint i = 0; i < lines->members->len; i++)
    cs_line_advance (((CsLineMember *)g_ptr_array_index (lines->members, i))->line);
}

/* The counters of the daemon before us; those of namespaces that are gone are gone with them. */
static void
take_up_counters (CsClusterLines *lines)
{
  for (guint i = 0; i < lines->members->len; i++)
    {
      const CsLineMember *member = g_ptr_array_index (lines->members, i);
      for (guint k = 0; k < member->watches->len; k++)
        {
          const CsWatch *watch = g_ptr_array_index (member->watches, k);
          g_autofree char *path = g_strdup_printf ("/proc/%d/ns/net", member->pid);
          int fd = cs_line_member_is_alive (member) ? open (path, O_RDONLY | O_CLOEXEC) : -1;
          bool is_there = fd >= 0 && cs_netns_id (fd) == watch->netns;
          cs_flows_add_namespace (lines->flows, watch->netns, is_there ? fd : -1, NULL);
          if (fd >= 0)
            close (fd);
        }
    }
}

CsClusterLines *
cs_cluster_lines_open (const char *state_directory, CsStore *store, const char *cluster,
                       GError **error)
{
  g_autofree char *directory = g_build_filename (state_directory, "dependencies", NULL);
  g_autofree char *file = g_strconcat (cluster, ".json", NULL);
  g_autoptr (GError) own = NULL;
  if (!cs_document_check_name ("cluster", cluster, error))
    return NULL;
  if (g_mkdir_with_parents (directory, 0700) < 0)
    {
      cs_error_set_errno (error, errno, "cannot make directory '%s'", directory);
      return NULL;
    }
  CsClusterLines *lines = g_new0 (CsClusterLines, 1);
  lines->path = g_build_filename (directory, file, NULL);
  lines->flows = cs_flows_new (state_directory, cluster);
  lines->members = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_line_member_free);
  lines->retired = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_line_member_free);
  g_queue_init (&lines->cuts);
  g_mutex_init (&lines->lock);
  g_mutex_init (&lines->file_lock);
  g_mutex_init (&lines->change_lock);
  if (cs_cluster_lines_load (lines, &own))
    {
      take_up_counters (lines);
      return lines;
    }
  g_ptr_array_set_size (lines->members, 0);
  if (!g_error_matches (own, CS_ERROR, CS_ERROR_NOT_FOUND))
    g_warning (
        "cluster '%s': who depends on whom is forgotten, all are bound to all until the next "
        "snapshot: %s",
        cluster, own->message);
  if (store != NULL)
    seed (lines, store, cluster);
  return lines;
}

void
cs_cluster_lines_free (CsClusterLines *lines)
{
  if (lines == NULL)
    return;
  g_queue_clear_full (&lines->cuts, (GDestroyNotify)cs_cut_unref);
  g_ptr_array_unref (lines->members);
  g_ptr_array_unref (lines->retired);
  cs_flows_free (lines->flows);
  g_mutex_clear (&lines->lock);
  g_mutex_clear (&lines->file_lock);
  g_mutex_clear (&lines->change_lock);
  g_free (lines->path);
  g_free (lines);
}

/* ---- before the cut ---- */

static bool
has_name (const GPtrArray *names, const char *name)
{
  return g_ptr_array_find_with_equal_func ((GPtrArray *)names, name, g_str_equal, NULL);
}

void
cs_cluster_lines_set_vms (CsClusterLines *lines, const GPtrArray *names, bool all)
{
  g_autoptr (GPtrArray) gone = g_ptr_array_new ();
  g_mutex_lock (&lines->change_lock);
  g_mutex_lock (&lines->lock);
  for (guint i = 0; i < names->len; i++)
    if (cs_cluster_lines_member (lines, g_ptr_array_index (names, i)) == NULL)
      {
        CsLineMember *member = cs_line_member_new (g_ptr_array_index (names, i));
        cs_line_raise_highest (member->line, lines->floor);
        cs_line_advance (member->line);
        g_ptr_array_add (lines->members, member);
      }
  for (guint i = lines->members->len; all && i-- > 0;)
    {
      CsLineMember *member = g_ptr_array_index (lines->members, i);
      if (has_name (names, member->name))
        continue;
      while (member->watches->len > 0)
        g_ptr_array_add (gone, g_ptr_array_steal_index (member->watches, 0));
      lines->floor = MAX (lines->floor, cs_line_highest (member->line));
      g_ptr_array_add (lines->retired, g_ptr_array_steal_index (lines->members, i));
    }
  g_mutex_unlock (&lines->lock);
  if (gone->len > 0)
    cs_cluster_lines_unwatch (lines, gone);
  g_mutex_unlock (&lines->change_lock);
}

bool
cs_cluster_lines_reserve (CsClusterLines *lines, const GPtrArray *names, GError **error)
{
  g_mutex_lock (&lines->lock);
  for (guint i = 0; i < names->len; i++)
    {
      CsLineMember *member = cs_cluster_lines_member (lines, g_ptr_array_index (names, i));
      if (member != NULL)
        cs_line_reserve (member->line);
    }
  g_mutex_unlock (&lines->lock);
  return cs_cluster_lines_save (lines, error);
}

/* ---- for the agent ---- */

bool
cs_cluster_lines_merge (CsClusterLines *lines, const char *vm, const char *other, guint64 interval,
                        GError **error)
{
  g_mutex_lock (&lines->lock);
  CsLineMember *member = cs_cluster_lines_member (lines, vm);
  CsLineMember *peer = cs_cluster_lines_member (lines, other);
  bool valid = member != NULL && peer != NULL && interval <= cs_line_highest (peer->line);
  if (valid && member != peer)
    cs_line_merge (member->line, other, interval, CS_DEPENDENCY_AGENT);
  g_mutex_unlock (&lines->lock);
  if (!valid)
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                 "VM '%s' says that it depends on interval %" G_GUINT64_FORMAT
                 " of '%s', which has never been",
                 vm, interval, other);
  return valid;
}

guint64
cs_cluster_lines_interval (CsClusterLines *lines, const char *vm)
{
  g_mutex_lock (&lines->lock);
  const CsLineMember *member = cs_cluster_lines_member (lines, vm);
  guint64 sequence = member != NULL ? cs_line_sequence (member->line) : 0;
  g_mutex_unlock (&lines->lock);
  return sequence;
}

guint64
cs_cluster_lines_next_interval (CsClusterLines *lines, const char *vm)
{
  g_mutex_lock (&lines->lock);
  const CsLineMember *member = cs_cluster_lines_member (lines, vm);
  guint64 highest = member != NULL ? cs_line_highest (member->line) : 0;
  g_mutex_unlock (&lines->lock);
  return highest;
}
