#include "config.h"

#include "coord/cluster.h"

#include "common/error.h"
#include "coord/cluster-private.h"
#include "coord/duration.h"
#include "coord/policy.h"

static void
clear_vm (CsClusterVm *vm)
{
  g_free (vm->name);
  g_free (vm->uri);
  g_free (vm->domain);
  g_free (vm->qmp);
}

void
cs_cluster_free (CsCluster *cluster)
{
  if (cluster == NULL)
    return;
  for (guint i = 0; i < cluster->n_vms; i++)
    clear_vm (&cluster->vms[i]);
  g_free (cluster->vms);
  g_free (cluster->name);
  g_free (cluster->store);
  g_free (cluster->pause_deadline);
  g_free (cluster->agent);
  g_free (cluster->policy);
  g_free (cluster->domino_limit);
  g_free (cluster->clone_of);
  g_free (cluster);
}

CsCluster *
cs_cluster_new (const char *name, const char *store, GError **error)
{
  g_autoptr (CsCluster) cluster = g_new0 (CsCluster, 1);
  cluster->name = g_strdup (name);
  cluster->store = g_strdup (store);
  cluster->policy = g_strdup (CS_POLICY_DEFAULT);
  return cs_cluster_check (cluster, error) ? g_steal_pointer (&cluster) : NULL;
}

bool
cs_cluster_add_vm (CsCluster *cluster, const char *name, const char *uri, const char *domain,
                   const char *qmp, GError **error)
{
  if (cluster->n_vms >= CS_CLUSTER_MAX_VMS)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "cluster '%s' has %d VMs already: more are not possible", cluster->name,
                   CS_CLUSTER_MAX_VMS);
      return false;
    }
  cluster->vms = g_renew (CsClusterVm, cluster->vms, cluster->n_vms + 1);
  cluster->vms[cluster->n_vms] = (CsClusterVm){
    .name = g_strdup (name),
    .uri = g_strdup (uri),
    .domain = g_strdup (domain),
    .qmp = g_strdup (qmp),
  };
  if (cs_cluster_check_vm (cluster, cluster->n_vms++, error))
    return true;
  clear_vm (&cluster->vms[--cluster->n_vms]);
  return false;
}

bool
cs_cluster_set_store (CsCluster *cluster, const char *store, GError **error)
{
  if (!cs_cluster_check_path ("store", store, error))
    return false;
  g_free (cluster->store);
  cluster->store = g_strdup (store);
  return true;
}

bool
cs_cluster_set_pause_deadline (CsCluster *cluster, const char *text, GError **error)
{
  if (!cs_duration_parse (text, &cluster->pause_deadline_us, error))
    return false;
  g_free (cluster->pause_deadline);
  cluster->pause_deadline = g_strdup (text);
  return true;
}

bool
cs_cluster_set_clone_of (CsCluster *cluster, const char *source, GError **error)
{
  if (!cs_cluster_check_clone_of (source, error))
    return false;
  g_free (cluster->clone_of);
  cluster->clone_of = g_strdup (source);
  return true;
}

bool
cs_cluster_set_policy (CsCluster *cluster, const char *policy, GError **error)
{
  if (!cs_cluster_check_policy (policy, error))
    return false;
  g_free (cluster->policy);
  cluster->policy = g_strdup (policy);
  return true;
}

const char *
cs_cluster_policy (const CsCluster *cluster)
{
  return cluster->policy != NULL ? cluster->policy : CS_POLICY_DEFAULT;
}

guint
cs_cluster_domino_limit (const CsCluster *cluster)
{
  return cluster->domino_limit != NULL ? *cluster->domino_limit : CS_POLICY_DOMINO_LIMIT;
}

const char *
cs_cluster_clone_of (const CsCluster *cluster)
{
  return cluster->clone_of;
}

const char *
cs_cluster_name (const CsCluster *cluster)
{
  return cluster->name;
}

const char *
cs_cluster_store (const CsCluster *cluster)
{
  return cluster->store;
}

guint64
cs_cluster_pause_deadline (const CsCluster *cluster)
{
  return cluster->pause_deadline_us;
}

const char *
cs_cluster_agent (const CsCluster *cluster)
{
  return cluster->agent;
}

guint
cs_cluster_n_vms (const CsCluster *cluster)
{
  return cluster->n_vms;
}

const CsClusterVm *
cs_cluster_vm (const CsCluster *cluster, guint i)
{
  g_assert (i < cluster->n_vms);
  return &cluster->vms[i];
}

json_object *
cs_cluster_vm_ref (const CsCluster *cluster, guint i)
{
  const CsClusterVm *vm = cs_cluster_vm (cluster, i);
  json_object *ref = json_object_new_object ();
  cs_json_add_string (ref, "name", vm->name);
  cs_json_add_string (ref, "uri", vm->uri);
  cs_json_add_string (ref, "domain", vm->domain);
  cs_json_add_string (ref, "qmp", vm->qmp);
  return ref;
}

json_object *
cs_cluster_vm_refs (const CsCluster *cluster)
{
  json_object *refs = json_object_new_array ();
  for (guint i = 0; i < cluster->n_vms; i++)
    json_object_array_add (refs, cs_cluster_vm_ref (cluster, i));
  return refs;
}

json_object *
cs_cluster_to_json (const CsCluster *cluster)
{
  json_object *object = json_object_new_object ();
  cs_json_add_string (object, "name", cluster->name);
  cs_json_add_string (object, "policy", cs_cluster_policy (cluster));
  if (cluster->domino_limit != NULL)
    cs_json_add_uint (object, "domino-limit", *cluster->domino_limit);
  cs_json_add_string (object, "agent", cluster->agent);
  cs_json_add_string (object, "clone-of", cluster->clone_of);
  json_object_object_add (object, "vms", cs_cluster_vm_refs (cluster));
  return object;
}
