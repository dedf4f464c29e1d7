#include "config.h"

#include "common/error.h"
#include "coord/cluster-private.h"
#include "coord/duration.h"
#include "coord/name.h"
#include "coord/policy.h"

#include <string.h>

static bool G_GNUC_PRINTF (2, 3) invalid (GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, CS_ERROR, CS_ERROR_INVALID, text);
  return false;
}

bool
cs_cluster_check_path (const char *key, const char *path, GError **error)
{
  if (path == NULL || g_path_is_absolute (path))
    return true;
  return invalid (error, "key '%s': '%s' is not an absolute path", key, path);
}

bool
cs_cluster_check_policy (const char *policy, GError **error)
{
  if (cs_policy_find (policy) != NULL)
    return true;
  g_autofree char *names = cs_policy_names ();
  return invalid (error, "key 'policy': '%.64s' is not known: there are %s", policy, names);
}

bool
cs_cluster_check_clone_of (const char *source, GError **error)
{
  if (source == NULL)
    return true;
  g_auto (GStrv) parts = g_strsplit (source, "/", 3);
  if (g_strv_length (parts) != 2)
    return invalid (error, "key 'clone-of': '%s' is not CLUSTER/SNAPSHOT", source);
  if (cs_name_check ("cluster", parts[0], error) && cs_name_check ("snapshot", parts[1], error))
    return true;
  g_prefix_error (error, "key 'clone-of': ");
  return false;
}

static bool
check_vm_source (const CsClusterVm *vm, GError **error)
{
  if (vm->qmp != NULL && (vm->uri != NULL || vm->domain != NULL))
    return invalid (error, "key 'qmp' excludes 'uri' and 'domain'");
  if (vm->qmp == NULL && vm->uri == NULL && vm->domain == NULL)
    return invalid (error, "needs the keys 'uri' and 'domain', or 'qmp'");
  if (vm->qmp == NULL && (vm->uri == NULL || vm->domain == NULL))
    return invalid (error, "key '%s' is missing: 'uri' and 'domain' go together",
                    vm->uri == NULL ? "uri" : "domain");
  return cs_cluster_check_path ("qmp", vm->qmp, error);
}

/* Whether VM @i is not one of those before it, by name or by what it stands for. */
static bool
check_vm_unique (const CsCluster *cluster, guint i, GError **error)
{
  const CsClusterVm *vm = &cluster->vms[i];
  for (guint k = 0; k < i; k++)
    {
      const CsClusterVm *other = &cluster->vms[k];
      if (strcmp (vm->name, other->name) == 0)
        return invalid (error, "key 'name': another VM is called '%s' too", vm->name);
      if (vm->qmp != NULL && g_strcmp0 (vm->qmp, other->qmp) == 0)
        return invalid (error, "key 'qmp': VM '%s' has the socket '%s' too", other->name, vm->qmp);
      if (vm->domain != NULL && g_strcmp0 (vm->domain, other->domain) == 0
          && g_strcmp0 (vm->uri, other->uri) == 0)
        return invalid (error, "key 'domain': VM '%s' is the domain '%s' too", other->name,
                        vm->domain);
    }
  return true;
}

bool
cs_cluster_check_vm (const CsCluster *cluster, guint i, GError **error)
{
  const CsClusterVm *vm = &cluster->vms[i];
  if (!cs_name_check ("VM", vm->name, error))
    {
      g_prefix_error (error, "key 'vms', entry %u, key 'name': ", i + 1);
      return false;
    }
  if (check_vm_source (vm, error) && check_vm_unique (cluster, i, error))
    return true;
  g_prefix_error (error, "key 'vms', VM '%s': ", vm->name);
  return false;
}

bool
cs_cluster_check (CsCluster *cluster, GError **error)
{
  if (!cs_name_check ("cluster", cluster->name, error))
    {
      g_prefix_error (error, "key 'name': ");
      return false;
    }
  cluster->pause_deadline_us = 0;
  if (cluster->pause_deadline != NULL
      && !cs_duration_parse (cluster->pause_deadline, &cluster->pause_deadline_us, error))
    {
      g_prefix_error (error, "key 'pause-deadline': ");
      return false;
    }
  if (cluster->agent != NULL && strcmp (cluster->agent, "auto") != 0
      && strcmp (cluster->agent, "required") != 0 && strcmp (cluster->agent, "off") != 0)
    return invalid (error, "key 'agent': '%s' is not known: 'auto', 'required' or 'off'",
                    cluster->agent);
  if (cluster->domino_limit != NULL
      && (*cluster->domino_limit < 1 || *cluster->domino_limit > CS_CLUSTER_MAX_DOMINO_LIMIT))
    return invalid (error, "key 'domino-limit': it is no number from 1 to %d",
                    CS_CLUSTER_MAX_DOMINO_LIMIT);
  if ((cluster->policy != NULL && !cs_cluster_check_policy (cluster->policy, error))
      || !cs_cluster_check_path ("store", cluster->store, error)
      || !cs_cluster_check_clone_of (cluster->clone_of, error))
    return false;
  for (guint i = 0; i < cluster->n_vms; i++)
    if (!cs_cluster_check_vm (cluster, i, error))
      return false;
  return true;
}
