/* deps.show, deps.forget; the lines of all clusters that this daemon knows. */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/cluster-lines.h"
#include "vmm/daemon.h"

#include <string.h>

#define SUFFIX ".json"

CsClusterLines *
cs_daemon_lines (CsDaemon *daemon, CsStore *store, const char *cluster, GError **error)
{
  g_mutex_lock (&daemon->lines_lock);
  CsClusterLines *lines = g_hash_table_lookup (daemon->lines, cluster);
  g_mutex_unlock (&daemon->lines_lock);
  if (lines != NULL)
    return lines;
  g_autoptr (CsClusterLines) opened =
      cs_cluster_lines_open (daemon->state_directory, store, cluster, error);
  if (opened == NULL)
    return NULL;
  /* Somebody else may have been faster. */
  g_mutex_lock (&daemon->lines_lock);
  lines = g_hash_table_lookup (daemon->lines, cluster);
  if (lines == NULL)
    {
      lines = g_steal_pointer (&opened);
      g_hash_table_insert (daemon->lines, g_strdup (cluster), lines);
    }
  g_mutex_unlock (&daemon->lines_lock);
  return lines;
}

void
cs_daemon_recover_lines (CsDaemon *daemon)
{
  const char *name;
  g_autofree char *path = g_build_filename (daemon->state_directory, "dependencies", NULL);
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      g_autoptr (GError) error = NULL;
      if (!g_str_has_suffix (name, SUFFIX))
        continue;
      g_autofree char *cluster = g_strndup (name, strlen (name) - strlen (SUFFIX));
      if (cs_daemon_lines (daemon, NULL, cluster, &error) == NULL)
        g_warning ("cluster '%s': %s", cluster, error->message);
    }
  cs_daemon_sweep_lines (daemon);
}

void
cs_daemon_sweep_lines (CsDaemon *daemon)
{
  g_mutex_lock (&daemon->lines_lock);
  g_autoptr (GList) all = g_hash_table_get_values (daemon->lines);
  g_mutex_unlock (&daemon->lines_lock);
  for (GList *at = all; at != NULL; at = at->next)
    cs_cluster_lines_sweep (at->data);
}

/* Those of @all that @refs name (NULL: all). */
static json_object *
choose (json_object *all, const GPtrArray *refs)
{
  json_object *chosen = json_object_new_array ();
  for (guint i = 0; i < refs->len; i++)
    {
      json_object *one =
          cs_json_find_named (all, ((const CsVmRef *)g_ptr_array_index (refs, i))->name);
      if (one != NULL)
        json_object_array_add (chosen, json_object_get (one));
    }
  return chosen;
}

json_object *
cs_rpc_deps_show (CsRpcPeer *peer, json_object *params, GError **error)
{
  const char *cluster = cs_rpc_string (params, "cluster", error);
  g_autoptr (GPtrArray) refs = cluster != NULL ? cs_rpc_vm_refs (params, "vms", error) : NULL;
  CsStore *store = refs != NULL ? cs_rpc_store (peer, params, error) : NULL;
  CsClusterLines *lines =
      store != NULL ? cs_daemon_lines (cs_rpc_peer_user_data (peer), store, cluster, error) : NULL;
  if (lines == NULL)
    return NULL;
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  for (guint i = 0; i < refs->len; i++)
    g_ptr_array_add (names, ((CsVmRef *)g_ptr_array_index (refs, i))->name);
  cs_cluster_lines_set_vms (lines, names, false);
  g_autoptr (CsJson) all = cs_cluster_lines_show (lines);
  json_object *result = json_object_new_object ();
  json_object_object_add (result, "vms", choose (all, refs));
  return result;
}

/* The lines stay in the table, without VMs: somebody may be using them. */
json_object *
cs_rpc_deps_forget (CsRpcPeer *peer, json_object *params, GError **error)
{
  const char *cluster = cs_rpc_string (params, "cluster", error);
  CsClusterLines *lines =
      cluster != NULL ? cs_daemon_lines (cs_rpc_peer_user_data (peer), NULL, cluster, error) : NULL;
  return lines != NULL && cs_cluster_lines_forget (lines, error) ? json_object_new_object () : NULL;
}
