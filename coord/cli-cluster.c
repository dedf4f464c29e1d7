/* clusnap cluster … */
#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "coord/cluster-directory.h"
#include "coord/duration.h"
#include "coord/name.h"

#include <string.h>

#define DEFAULT_URI "qemu:///system"

const CsColumn cs_cluster_list_columns[] = {
  { "name", "Cluster", CS_COLUMN_TEXT },
  { "vms", "VMs", CS_COLUMN_LIST },
  { "store", "Store", CS_COLUMN_TEXT },
  { "message", "Problem", CS_COLUMN_TEXT },
  { 0 },
};

static const CsColumn disk_columns[] = {
  { "vm", "VM", CS_COLUMN_TEXT },         { "name", "Disk", CS_COLUMN_TEXT },
  { "size", "Size", CS_COLUMN_SIZE },     { "format", "Format", CS_COLUMN_TEXT },
  { "filename", "File", CS_COLUMN_TEXT }, { 0 },
};

static const CsColumn vm_columns[] = {
  { "name", "VM", CS_COLUMN_TEXT },           { "source", "Source", CS_COLUMN_TEXT },
  { "status", "Status", CS_COLUMN_TEXT },     { "pid", "PID", CS_COLUMN_COUNT },
  { "memory", "Memory", CS_COLUMN_SIZE },     { "qemu-version", "QEMU", CS_COLUMN_TEXT },
  { "tracked", "Tracked", CS_COLUMN_BOOL },   { "base", "Base", CS_COLUMN_TEXT },
  { "problems", "Problems", CS_COLUMN_LIST }, { 0 },
};

const CsColumn cs_cluster_show_columns[] = {
  { "name", "Cluster", CS_COLUMN_TEXT },
  { "store", "Store", CS_COLUMN_TEXT },
  { "policy", "Policy", CS_COLUMN_TEXT },
  { "domino-limit", "Domino limit", CS_COLUMN_COUNT },
  { "pause-deadline", "Pause deadline", CS_COLUMN_TIME },
  { "agent", "Agent", CS_COLUMN_TEXT },
  { "clone-of", "Clone of", CS_COLUMN_TEXT },
  { "memory", "Memory in use", CS_COLUMN_SIZE },
  { "disk", "Disk in use", CS_COLUMN_SIZE },
  { "directory", "Directory", CS_COLUMN_TEXT },
  { "vms", "VMs", CS_COLUMN_ROWS, false, vm_columns },
  { "disks", "Disks", CS_COLUMN_ROWS, false, disk_columns },
  { 0 },
};

static bool
add_domains (CsCli *cli, CsCluster *cluster, GError **error)
{
  const char *uri = cs_arguments_value (cli->arguments, CS_OPTION_URI);
  for (guint i = 1; i < cs_cli_n_operands (cli); i++)
    {
      const char *domain = cs_cli_operand (cli, i);
      if (!cs_cluster_add_vm (cluster, domain, uri != NULL ? uri : DEFAULT_URI, domain, NULL,
                              error))
        return false;
    }
  if (uri == NULL || cs_cli_n_operands (cli) > 1)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "option '--uri' needs DOMAINs behind the name");
  return false;
}

static bool
add_sockets (CsCli *cli, CsCluster *cluster, GError **error)
{
  const char *const *values = cs_arguments_values (cli->arguments, CS_OPTION_QMP);
  for (; *values != NULL; values++)
    {
      const char *equals = strchr (*values, '=');
      if (equals == NULL || equals == *values || equals[1] == '\0')
        {
          g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                       "option '--qmp': '%s' is not VM=PATH, as in vm1=/run/vm1.qmp", *values);
          return false;
        }
      g_autofree char *name = g_strndup (*values, (gsize)(equals - *values));
      g_autofree char *path = g_canonicalize_filename (equals + 1, NULL);
      if (!cs_cluster_add_vm (cluster, name, NULL, NULL, path, error))
        return false;
    }
  return true;
}

static CsCluster *
cluster_from_arguments (CsCli *cli, const char *name, GError **error)
{
  g_autoptr (CsCluster) cluster = cs_cluster_new (name, NULL, error);
  if (cluster == NULL || !add_domains (cli, cluster, error) || !add_sockets (cli, cluster, error))
    return NULL;
  if (cs_cluster_n_vms (cluster) > 0)
    return g_steal_pointer (&cluster);
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "cluster '%s' would have no VM: name DOMAINs, or use --qmp or --file", name);
  return NULL;
}

static CsCluster *
cluster_from_file (CsCli *cli, const char *name, const char *file, GError **error)
{
  if (cs_cli_n_operands (cli) > 1 || cs_arguments_has (cli->arguments, CS_OPTION_QMP)
      || cs_arguments_has (cli->arguments, CS_OPTION_URI))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "option '--file' excludes DOMAINs, '--uri' and '--qmp': the file names the VMs");
      return NULL;
    }
  g_autoptr (CsCluster) cluster = cs_cluster_read (file, error);
  if (cluster == NULL || strcmp (cs_cluster_name (cluster), name) == 0)
    return g_steal_pointer (&cluster);
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "cluster file '%s': key 'name': it says '%s', the command line says '%s'", file,
               cs_cluster_name (cluster), name);
  return NULL;
}

static bool
apply_options (CsCli *cli, CsCluster *cluster, GError **error)
{
  const char *store = cs_arguments_value (cli->arguments, CS_OPTION_STORE);
  const char *deadline = cs_arguments_value (cli->arguments, CS_OPTION_PAUSE_DEADLINE);
  const char *policy = cs_arguments_value (cli->arguments, CS_OPTION_POLICY);
  if (policy != NULL && !cs_cluster_set_policy (cluster, policy, error))
    return false;
  g_autofree char *absolute = store != NULL ? g_canonicalize_filename (store, NULL) : NULL;
  if (absolute != NULL && !cs_cluster_set_store (cluster, absolute, error))
    return false;
  return deadline == NULL || cs_cluster_set_pause_deadline (cluster, deadline, error);
}

bool
cs_cli_cluster_create (CsCli *cli, GError **error)
{
  const char *name = cs_cli_operand (cli, 0);
  const char *file = cs_arguments_value (cli->arguments, CS_OPTION_FILE);
  g_autoptr (CsCluster) cluster = file != NULL ? cluster_from_file (cli, name, file, error)
                                               : cluster_from_arguments (cli, name, error);
  if (cluster == NULL || !apply_options (cli, cluster, error)
      || !cs_cluster_directory_add (cli->state_directory, cluster, error))
    return false;
  cs_cli_note (cli, "cluster '%s' has %u VMs", name, cs_cluster_n_vms (cluster));
  return true;
}

bool
cs_cli_cluster_list (CsCli *cli, GError **error)
{
  g_auto (GStrv) names = cs_cluster_directory_list (cli->state_directory, error);
  if (names == NULL)
    return false;
  g_autoptr (CsJson) rows = json_object_new_array ();
  for (char **name = names; *name != NULL; name++)
    {
      g_autoptr (GError) failure = NULL;
      g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, *name, &failure);
      json_object *row = cluster != NULL ? cs_cluster_to_json (cluster) : json_object_new_object ();
      g_autofree char *store = cs_cli_store (cli, cluster);
      cs_json_add_string (row, "name", *name);
      cs_json_add_string (row, "store", cluster != NULL ? store : NULL);
      cs_json_add_string (row, "message", failure != NULL ? failure->message : NULL);
      json_object_array_add (rows, row);
    }
  return cs_cli_print_rows (cli, rows, error);
}

static char *
source_text (const CsClusterVm *vm)
{
  if (vm->qmp != NULL)
    return g_strdup (vm->qmp);
  return g_strdup_printf ("%s %s", vm->uri, vm->domain);
}

static void
add_disks (json_object *disks, const char *vm, json_object *info)
{
  json_object *own = cs_json_array (info, "disks");
  for (gsize i = 0; own != NULL && i < json_object_array_length (own); i++)
    {
      json_object *row = json_object_new_object ();
      cs_json_add_string (row, "vm", vm);
      cs_json_merge (row, json_object_array_get_idx (own, i));
      json_object_array_add (disks, row);
    }
}

/* The VM as it is now; without a daemon its status is unknown and @failure says why. */
static json_object *
vm_row (CsCli *cli, const CsCluster *cluster, guint i, json_object *disks, GError **failure)
{
  const CsClusterVm *vm = cs_cluster_vm (cluster, i);
  json_object *row = json_object_new_object ();
  g_autoptr (CsJson) info = NULL;
  if (*failure == NULL)
    {
      json_object *params = json_object_new_object ();
      json_object_object_add (params, "vm", cs_cluster_vm_ref (cluster, i));
      info = cs_cli_call (cli, "vm.info", params, failure);
    }
  cs_json_merge (row, info);
  g_autofree char *source = source_text (vm);
  cs_json_add_string (row, "name", vm->name);
  cs_json_add_string (row, "source", source);
  if (info == NULL)
    cs_json_add_string (row, "status", "unknown");
  else if (cs_json_string (info, "status") == NULL)
    cs_json_add_string (row, "status", "absent");
  add_disks (disks, vm->name, info);
  return row;
}

/* clusnapd's answer about clone @name, NULL with NOT_FOUND when it has none of that name. */
static json_object *
clone_show (CsCli *cli, const char *name, GError **error)
{
  json_object *params = json_object_new_object ();
  cs_json_add_string (params, "clone", name);
  return cs_cli_call (cli, "clone.show", params, error);
}

static void
add_clone (CsCli *cli, json_object *record, const CsCluster *cluster)
{
  static const char *const copied[] = { "memory", "disk", "directory" };
  if (cs_cluster_clone_of (cluster) == NULL)
    return;
  g_autoptr (CsJson) clone = clone_show (cli, cs_cluster_name (cluster), NULL);
  json_object *member = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (copied); i++)
    if (clone != NULL && json_object_object_get_ex (clone, copied[i], &member))
      json_object_object_add (record, copied[i], json_object_get (member));
}

bool
cs_cli_cluster_show (CsCli *cli, GError **error)
{
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, cs_cli_operand (cli, 0), error);
  if (cluster == NULL)
    return false;
  g_autoptr (CsJson) record = cs_cluster_to_json (cluster);
  g_autofree char *store = cs_cli_store (cli, cluster);
  cs_json_add_string (record, "store", store);
  if (cs_cluster_pause_deadline (cluster) > 0)
    cs_json_add_uint (record, "pause-deadline", cs_cluster_pause_deadline (cluster));
  json_object *vms = json_object_new_array ();
  json_object *disks = json_object_new_array ();
  json_object_object_add (record, "vms", vms);
  json_object_object_add (record, "disks", disks);
  for (guint i = 0; i < cs_cluster_n_vms (cluster); i++)
    json_object_array_add (vms, vm_row (cli, cluster, i, disks, &failure));
  if (g_error_matches (failure, CS_ERROR, CS_ERROR_CANCELLED))
    {
      g_propagate_error (error, g_steal_pointer (&failure));
      return false;
    }
  if (failure != NULL)
    cs_cli_note (cli, "clusnap: how the VMs are is unknown: %s", failure->message);
  else
    add_clone (cli, record, cluster);
  return cs_cli_print_record (cli, record, error);
}

/* ---- delete ---- */

/* A clone's file is all that tells of its VMs and disks: it is not forgotten while they are there.
 */
static bool
check_no_clone (CsCli *cli, const char *name, GError **error)
{
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, name, NULL);
  if (cluster == NULL || cs_cluster_clone_of (cluster) == NULL)
    return true;
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsJson) clone = clone_show (cli, name, &failure);
  if (g_error_matches (failure, CS_ERROR, CS_ERROR_NOT_FOUND))
    return true;
  if (clone == NULL)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&failure),
                                  "whether clone '%s' is still there cannot be told: ", name);
      return false;
    }
  g_set_error (
      error, CS_ERROR, CS_ERROR_REFUSED,
      "cluster '%s' is a clone of '%s' whose VMs, disks and networks are still there: remove "
      "all of it with 'clusnap cluster delete %s --purge'",
      name, cs_cluster_clone_of (cluster), name);
  return false;
}

/* What somebody else made is not ours to end. */
static bool
check_clone (CsCli *cli, const char *name, GError **error)
{
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, name, NULL);
  if (!cs_name_check ("cluster", name, error))
    return false;
  if (cluster == NULL || cs_cluster_clone_of (cluster) != NULL)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "cluster '%s' is no clone: clusnap did not make its VMs and does not remove them; "
               "'clusnap cluster delete %s' only forgets it",
               name, name);
  return false;
}

/* Also when only one of the two, cluster file and clone, is there any more. */
static bool
purge (CsCli *cli, const char *name, GError **error)
{
  if (!check_clone (cli, name, error))
    return false;
  json_object *params = json_object_new_object (), *removed = NULL;
  cs_json_add_string (params, "clone", name);
  g_autoptr (CsJson) answer = cs_cli_call (cli, "clone.remove", params, error);
  if (answer == NULL)
    return false;
  bool was_there =
      json_object_object_get_ex (answer, "removed", &removed) && json_object_get_boolean (removed);
  g_autoptr (GError) failure = NULL;
  if (cs_cluster_directory_remove (cli->state_directory, name, &failure)
      || (was_there && g_error_matches (failure, CS_ERROR, CS_ERROR_NOT_FOUND)))
    return true;
  g_propagate_error (error, g_steal_pointer (&failure));
  return false;
}

/* The daemon goes on counting a cluster's frames until it is told, or its VMs end. */
static void
stop_counting (CsCli *cli, const char *name)
{
  g_autoptr (GError) unsaid = NULL;
  json_object *params = json_object_new_object ();
  cs_json_add_string (params, "cluster", name);
  g_autoptr (CsJson) answer = cs_cli_call (cli, "deps.forget", params, &unsaid);
  if (answer == NULL)
    g_debug ("%s", unsaid->message);
}

bool
cs_cli_cluster_delete (CsCli *cli, GError **error)
{
  bool all = cs_arguments_has (cli->arguments, CS_OPTION_PURGE);
  for (guint i = 0; i < cs_cli_n_operands (cli); i++)
    {
      const char *name = cs_cli_operand (cli, i);
      bool done = all ? purge (cli, name, error)
                      : check_no_clone (cli, name, error)
                            && cs_cluster_directory_remove (cli->state_directory, name, error);
      if (!done)
        return false;
      stop_counting (cli, name);
    }
  return true;
}
