#include "config.h"

#include "coord/cli-clone.h"

#include "common/error.h"
#include "coord/cluster-directory.h"
#include "coord/name.h"

#define MAX_COUNT 256

const CsColumn cs_clone_columns[] = {
  { "name", "Cluster", CS_COLUMN_TEXT },        { "running", "Time to running", CS_COLUMN_TIME },
  { "memory", "Memory", CS_COLUMN_SIZE },       { "disk", "Disk", CS_COLUMN_SIZE },
  { "directory", "Directory", CS_COLUMN_TEXT }, { 0 },
};

typedef struct
{
  char *name;
  CsRpc *rpc;
  bool defined;
} Clone;

struct CsCliClones
{
  CsCli *cli;
  char *store;
  char *source;    /* "CLUSTER/SNAPSHOT" */
  char *directory; /* absolute, or NULL */
  GArray *clones;  /* of Clone */
};

static Clone *
clone_at (const CsCliClones *clones, guint i)
{
  return &g_array_index (clones->clones, Clone, i);
}

static void
clone_clear (gpointer data)
{
  Clone *clone = data;
  g_free (clone->name);
  cs_rpc_close (clone->rpc);
}

void
cs_cli_clones_free (CsCliClones *clones)
{
  if (clones == NULL)
    return;
  g_array_unref (clones->clones);
  g_free (clones->store);
  g_free (clones->source);
  g_free (clones->directory);
  g_free (clones);
}

static bool
count_of (const CsCli *cli, guint64 *count, GError **error)
{
  const char *text = cs_arguments_value (cli->arguments, CS_OPTION_COUNT);
  *count = 0;
  if (text == NULL || g_ascii_string_to_unsigned (text, 10, 1, MAX_COUNT, count, NULL))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "option '--count': '%s' is no number from 1 to %d", text, MAX_COUNT);
  return false;
}

static bool
check_name (const CsCli *cli, const char *name, GError **error)
{
  if (!cs_name_check ("cluster", name, error))
    return false;
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, name, &failure);
  if (g_error_matches (failure, CS_ERROR, CS_ERROR_NOT_FOUND))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
               "cluster '%s' exists already: choose another name for the clone", name);
  return false;
}

static bool
add_clone (CsCliClones *clones, char *name, GError **error)
{
  Clone clone = { .name = name };
  bool ok = check_name (clones->cli, name, error)
            && (clone.rpc = cs_cli_connect_new (clones->cli, error)) != NULL;
  g_array_append_val (clones->clones, clone);
  return ok;
}

/* What is of no use without --clone. */
static bool
check_alone (const CsCli *cli, GError **error)
{
  static const CsOption options[] = { CS_OPTION_COUNT, CS_OPTION_DIRECTORY };
  for (gsize i = 0; i < G_N_ELEMENTS (options); i++)
    if (cs_arguments_has (cli->arguments, options[i]))
      {
        g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "option '--%s' needs '--clone'",
                     cs_option_name (options[i]));
        return false;
      }
  return true;
}

bool
cs_cli_clones_new (CsCli *cli, const char *store, const char *cluster, const char *snapshot,
                   CsCliClones **result, GError **error)
{
  const char *name = cs_arguments_value (cli->arguments, CS_OPTION_CLONE);
  const char *directory = cs_arguments_value (cli->arguments, CS_OPTION_DIRECTORY);
  guint64 count;
  *result = NULL;
  if (name == NULL)
    return check_alone (cli, error);
  if (!count_of (cli, &count, error))
    return false;
  g_autoptr (CsCliClones) clones = g_new0 (CsCliClones, 1);
  clones->cli = cli;
  clones->store = g_strdup (store);
  clones->source = g_strdup_printf ("%s/%s", cluster, snapshot);
  clones->directory = directory != NULL ? g_canonicalize_filename (directory, NULL) : NULL;
  clones->clones = g_array_new (FALSE, FALSE, sizeof (Clone));
  g_array_set_clear_func (clones->clones, clone_clear);
  if (count <= 1 && !add_clone (clones, g_strdup (name), error))
    return false;
  for (guint64 i = 1; count > 1 && i <= count; i++)
    if (!add_clone (clones, g_strdup_printf ("%s-%" G_GUINT64_FORMAT, name, i), error))
      return false;
  *result = g_steal_pointer (&clones);
  return true;
}

void
cs_cli_clones_add (CsCliClones *clones, CsRestoreJob *job, json_object *vms)
{
  for (guint i = 0; i < clones->clones->len; i++)
    cs_restore_job_add_clone (job, clone_at (clones, i)->rpc, json_object_get (vms),
                              clone_at (clones, i)->name, clones->directory);
}

static CsCluster *
cluster_of (const CsCliClones *clones, const Clone *clone, json_object *answer, GError **error)
{
  g_autoptr (CsCluster) cluster = cs_cluster_new (clone->name, clones->store, error);
  if (cluster == NULL || !cs_cluster_set_clone_of (cluster, clones->source, error))
    return NULL;
  json_object *vms = cs_json_array (cs_json_member_object (answer, "clone"), "vms");
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    {
      json_object *vm = json_object_array_get_idx (vms, i);
      const char *name = cs_json_string (vm, "name");
      if (!cs_cluster_add_vm (cluster, name != NULL ? name : "", cs_json_string (vm, "uri"),
                              cs_json_string (vm, "domain"), cs_json_string (vm, "qmp"), error))
        return NULL;
    }
  if (cs_cluster_n_vms (cluster) > 0)
    return g_steal_pointer (&cluster);
  g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
               "clusnapd does not know clones: it is older than this clusnap, restart it");
  return NULL;
}

bool
cs_cli_clones_define (CsCliClones *clones, guint i, json_object *answer, GError **error)
{
  Clone *clone = clone_at (clones, i);
  g_autoptr (CsCluster) cluster = cluster_of (clones, clone, answer, error);
  if (cluster == NULL || !cs_cluster_directory_add (clones->cli->state_directory, cluster, error))
    return false;
  return clone->defined = true;
}

void
cs_cli_clones_forget (CsCliClones *clones)
{
  for (guint i = 0; i < clones->clones->len; i++)
    {
      Clone *clone = clone_at (clones, i);
      if (clone->defined)
        cs_cluster_directory_remove (clones->cli->state_directory, clone->name, NULL);
      clone->defined = false;
    }
}

/* The longest of its VMs'. */
static guint64
time_to_running (json_object *report, const char *clone)
{
  json_object *vms = cs_json_array (report, "vms");
  g_autofree char *prefix = g_strconcat (clone, "/", NULL);
  guint64 longest = 0;
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    {
      json_object *vm = json_object_array_get_idx (vms, i);
      const char *name = cs_json_string (vm, "name");
      if (name != NULL && g_str_has_prefix (name, prefix))
        longest = MAX (longest, cs_json_uint (vm, "running", 0));
    }
  return longest;
}

void
cs_cli_clones_report (CsCliClones *clones, json_object *report)
{
  json_object *rows = json_object_new_array ();
  json_object_object_add (report, "clones", rows);
  for (guint i = 0; i < clones->clones->len; i++)
    {
      const char *name = clone_at (clones, i)->name;
      json_object *params = json_object_new_object (), *row = json_object_new_object ();
      cs_json_add_string (params, "clone", name);
      g_autoptr (CsJson) shown = cs_cli_call (clones->cli, "clone.show", params, NULL);
      cs_json_merge (row, shown);
      json_object_object_del (row, "vms");
      cs_json_add_string (row, "name", name);
      cs_json_add_uint (row, "running", time_to_running (report, name));
      json_object_array_add (rows, row);
    }
}
