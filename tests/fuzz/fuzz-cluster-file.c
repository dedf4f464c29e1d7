/* cs_cluster_parse on any bytes: what it accepts can be written and read again, unchanged. */
#include "config.h"

#include "coord/cluster.h"
#include "coord/name.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsCluster) cluster = cs_cluster_parse ((const char *)data, size, "input", &error);
  g_assert ((cluster == NULL) == (error != NULL));
  if (cluster == NULL)
    return 0;
  g_assert (cs_name_check ("cluster", cs_cluster_name (cluster), NULL));
  g_assert (cs_cluster_n_vms (cluster) > 0);
  for (guint i = 0; i < cs_cluster_n_vms (cluster); i++)
    {
      const CsClusterVm *vm = cs_cluster_vm (cluster, i);
      g_assert (cs_name_check ("VM", vm->name, NULL));
      g_assert ((vm->qmp == NULL) == (vm->uri != NULL && vm->domain != NULL));
    }
  gsize length = 0, length_again = 0;
  g_autofree char *yaml = cs_cluster_to_yaml (cluster, &length, &error);
  g_assert_no_error (error);
  g_autoptr (CsCluster) again = cs_cluster_parse (yaml, length, "output", &error);
  g_assert_no_error (error);
  g_autofree char *yaml_again = cs_cluster_to_yaml (again, &length_again, &error);
  g_assert_cmpstr (yaml, ==, yaml_again);
  return 0;
}
