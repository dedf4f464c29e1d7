#include "config.h"

#include "coord/cli-choose.h"

#include "common/error.h"
#include "coord/name.h"

#include <string.h>

static bool
has_name (json_object *names, const char *name)
{
  for (gsize i = 0; i < json_object_array_length (names); i++)
    if (strcmp (json_object_get_string (json_object_array_get_idx (names, i)), name) == 0)
      return true;
  return false;
}

bool
cs_cli_choose_vms (CsCli *cli, CsOption option, json_object **names, GError **error)
{
  const char *const *given = cs_arguments_values (cli->arguments, option);
  g_autoptr (CsJson) all = json_object_new_array ();
  *names = NULL;
  for (; *given != NULL; given++)
    {
      g_auto (GStrv) list = g_strsplit (*given, ",", -1);
      for (char **name = list; *name != NULL; name++)
        {
          if (!cs_name_check ("VM", *name, error))
            return false;
          if (!has_name (all, *name))
            json_object_array_add (all, json_object_new_string (*name));
        }
    }
  if (json_object_array_length (all) > 0)
    *names = g_steal_pointer (&all);
  return true;
}

GArray *
cs_cli_choose_numbers (const CsCluster *cluster, json_object *names, GError **error)
{
  g_autoptr (GArray) numbers = g_array_new (FALSE, FALSE, sizeof (guint));
  for (guint i = 0; i < cs_cluster_n_vms (cluster); i++)
    if (has_name (names, cs_cluster_vm (cluster, i)->name))
      g_array_append_val (numbers, i);
  for (gsize k = 0; k < json_object_array_length (names); k++)
    {
      const char *name = json_object_get_string (json_object_array_get_idx (names, k));
      bool found = false;
      for (guint i = 0; i < numbers->len && !found; i++)
        found =
            strcmp (cs_cluster_vm (cluster, g_array_index (numbers, guint, i))->name, name) == 0;
      if (found)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                   "cluster '%s' has no VM '%s': see 'clusnap cluster show %s'",
                   cs_cluster_name (cluster), name, cs_cluster_name (cluster));
      return NULL;
    }
  return g_steal_pointer (&numbers);
}

static bool
is_partial (json_object *object)
{
  return json_object_get_boolean (json_object_object_get (object, "partial"));
}

char *
cs_cli_choose_latest (CsCli *cli, const char *store, const char *cluster, GError **error)
{
  json_object *latest = NULL;
  guint partial = 0;
  g_autoptr (CsJson) snapshots = cs_cli_snapshots (cli, store, cluster, error);
  if (snapshots == NULL)
    return NULL;
  for (gsize i = 0; i < json_object_array_length (snapshots); i++)
    {
      /* One that is damaged does not say when it was taken. */
      json_object *one = json_object_array_get_idx (snapshots, i);
      const char *created = cs_json_string (one, "created");
      partial += is_partial (one);
      if (created != NULL && !is_partial (one)
          && g_strcmp0 (created, cs_json_string (latest, "created")) > 0)
        latest = one;
    }
  const char *name = cs_json_string (latest, "snapshot");
  if (name == NULL && partial > 0)
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                 "cluster '%s' has no snapshot of all its VMs, only partial ones (%u): "
                 "'clusnap recover %s' finds out which of them belong together; or name one",
                 cluster, partial, cluster);
  else if (name == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                 "cluster '%s' has no snapshot in the store at '%s': see 'clusnap snapshot list', "
                 "or name another store with --store",
                 cluster, store);
  return g_strdup (name);
}

void
cs_cli_note_partial (CsCli *cli, const char *store, const char *cluster, const char *snapshot,
                     const char *effect)
{
  g_autoptr (CsJson) answer =
      cs_cli_call (cli, "snapshot.show", cs_cli_params (store, cluster, snapshot), NULL);
  json_object *manifest = answer != NULL ? cs_json_member_object (answer, "manifest") : NULL;
  json_object *vms = cs_json_array (manifest, "vms");
  if (vms == NULL || !is_partial (manifest))
    return;
  g_autoptr (GString) names = g_string_new (NULL);
  for (gsize i = 0; i < json_object_array_length (vms); i++)
    {
      const char *name = cs_json_string (json_object_array_get_idx (vms, i), "name");
      g_string_append_printf (names, "%s'%s'", i > 0 ? ", " : "", name != NULL ? name : "?");
    }
  cs_cli_note (cli, "snapshot '%s' is a partial one, of %s only: %s", snapshot, names->str, effect);
}
