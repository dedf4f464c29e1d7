/* clusnap cluster set: what may be changed of a cluster that is defined.  The daemon is not asked:
 * it knows no policies, and what it knows of the VMs stays true. */
#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "coord/cluster-directory.h"

#include <string.h>

static bool
change (CsCluster *cluster, const char *word, GError **error)
{
  const char *equals = strchr (word, '=');
  if (equals == NULL || equals == word)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "'%s' is not KEY=VALUE, as in policy=group",
                   word);
      return false;
    }
  g_autofree char *key = g_strndup (word, (gsize)(equals - word));
  return cs_cluster_change (cluster, key, equals + 1, error);
}

bool
cs_cli_cluster_set (CsCli *cli, GError **error)
{
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, cs_cli_operand (cli, 0), error);
  if (cluster == NULL)
    return false;
  for (guint i = 1; i < cs_cli_n_operands (cli); i++)
    if (!change (cluster, cs_cli_operand (cli, i), error))
      {
        g_prefix_error (error, "nothing of cluster '%s' was changed: ", cs_cluster_name (cluster));
        return false;
      }
  return cs_cluster_directory_replace (cli->state_directory, cluster, error);
}
