#include "config.h"

#include "common/error.h"
#include "coord/cluster-private.h"

#include <string.h>

static const char *const fixed[] = { "name", "store", "clone-of", "vms" };

static bool
refuse (const CsCluster *cluster, const char *key, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (fixed); i++)
    if (strcmp (key, fixed[i]) == 0)
      {
        g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
                     "key '%s' of cluster '%s' cannot be changed: what is known of its VMs and "
                     "their snapshots would be of others; make a new cluster for that",
                     key, cluster->name);
        return false;
      }
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "unknown key '%s': policy, domino-limit, agent and pause-deadline can be changed",
               key);
  return false;
}

static bool
change_domino_limit (CsCluster *cluster, const char *value, GError **error)
{
  guint64 limit = 0;
  g_clear_pointer (&cluster->domino_limit, g_free);
  if (*value == '\0')
    return true;
  if (!g_ascii_string_to_unsigned (value, 10, 1, CS_CLUSTER_MAX_DOMINO_LIMIT, &limit, NULL))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "key 'domino-limit': '%s' is no number from 1 to %d", value,
                   CS_CLUSTER_MAX_DOMINO_LIMIT);
      return false;
    }
  cluster->domino_limit = g_new (guint, 1);
  *cluster->domino_limit = (guint)limit;
  return true;
}

bool
cs_cluster_change (CsCluster *cluster, const char *key, const char *value, GError **error)
{
  const struct
  {
    const char *key;
    char **text;
  } texts[] = {
    { "policy", &cluster->policy },
    { "agent", &cluster->agent },
    { "pause-deadline", &cluster->pause_deadline },
  };
  if (strcmp (key, "domino-limit") == 0)
    return change_domino_limit (cluster, value, error);
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    if (strcmp (key, texts[i].key) == 0)
      {
        g_free (*texts[i].text);
        *texts[i].text = *value != '\0' ? g_strdup (value) : NULL;
        return cs_cluster_check (cluster, error);
      }
  return refuse (cluster, key, error);
}
