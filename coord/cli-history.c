#include "config.h"

#include "coord/cli-history.h"

#include "common/error.h"

struct CsCliHistory
{
  CsCli *cli;
  const CsCluster *cluster;
  char *store;
  GHashTable *manifests; /* by snapshot: json_object */
};

static void
manifest_destroy (gpointer manifest)
{
  json_object_put (manifest);
}

CsCliHistory *
cs_cli_history_new (CsCli *cli, const CsCluster *cluster, const char *store)
{
  CsCliHistory *history = g_new0 (CsCliHistory, 1);
  history->cli = cli;
  history->cluster = cluster;
  history->store = g_strdup (store);
  history->manifests = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, manifest_destroy);
  return history;
}

void
cs_cli_history_free (CsCliHistory *history)
{
  if (history == NULL)
    return;
  g_hash_table_unref (history->manifests);
  g_free (history->store);
  g_free (history);
}

/* True also for one that is damaged, or was deleted meanwhile. */
static bool
read_manifest (CsCliHistory *history, const char *snapshot, GError **error)
{
  const char *cluster = cs_cluster_name (history->cluster);
  g_autoptr (GError) own = NULL;
  g_autoptr (CsJson) answer = cs_cli_call (history->cli, "snapshot.show",
                                           cs_cli_params (history->store, cluster, snapshot), &own);
  json_object *manifest = answer != NULL ? cs_json_member_object (answer, "manifest") : NULL;
  if (manifest != NULL)
    g_hash_table_insert (history->manifests, g_strdup (snapshot), json_object_get (manifest));
  if (own == NULL || g_error_matches (own, CS_ERROR, CS_ERROR_NOT_FOUND))
    return true;
  if (!g_error_matches (own, CS_ERROR, CS_ERROR_CORRUPT))
    {
      g_propagate_error (error, g_steal_pointer (&own));
      return false;
    }
  cs_cli_note (history->cli, "clusnap: snapshot '%s' is left out: %s", snapshot, own->message);
  return true;
}

bool
cs_cli_history_read (CsCliHistory *history, GError **error)
{
  g_autoptr (CsJson) list =
      cs_cli_snapshots (history->cli, history->store, cs_cluster_name (history->cluster), error);
  if (list == NULL)
    return false;
  for (gsize i = 0; i < json_object_array_length (list); i++)
    {
      json_object *entry = json_object_array_get_idx (list, i);
      const char *snapshot = cs_json_string (entry, "snapshot");
      const char *message = cs_json_string (entry, "message");
      if (snapshot == NULL || g_hash_table_contains (history->manifests, snapshot))
        continue;
      if (g_strcmp0 (cs_json_string (entry, "state"), "ok") != 0)
        cs_cli_note (history->cli, "clusnap: snapshot '%s' is left out: %s", snapshot,
                     message != NULL ? message : "it is damaged");
      else if (!read_manifest (history, snapshot, error))
        return false;
    }
  return true;
}

static json_object *
ask_live (CsCliHistory *history, GError **error)
{
  json_object *params = cs_cli_params (history->store, cs_cluster_name (history->cluster), NULL);
  json_object_object_add (params, "vms", cs_cluster_vm_refs (history->cluster));
  return cs_cli_call (history->cli, "deps.show", params, error);
}

CsClusterHistory *
cs_cli_history_now (CsCliHistory *history, GError **error)
{
  guint n = cs_cluster_n_vms (history->cluster);
  g_autoptr (CsJson) live = ask_live (history, error);
  if (live == NULL)
    return NULL;
  g_autofree const char **names = g_new0 (const char *, n + 1);
  for (guint i = 0; i < n; i++)
    names[i] = cs_cluster_vm (history->cluster, i)->name;
  g_autoptr (CsJson) manifests = json_object_new_array ();
  GHashTableIter all;
  gpointer manifest;
  g_hash_table_iter_init (&all, history->manifests);
  while (g_hash_table_iter_next (&all, NULL, &manifest))
    json_object_array_add (manifests, json_object_get (manifest));
  return cs_cluster_history_new (names, n, manifests, cs_json_array (live, "vms"));
}
