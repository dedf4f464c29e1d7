/* Manifests and deps.show's answer of any content: what comes out is a consistent line of snapshots
 * that are there. */
#include "config.h"

#include "coord/recover-plan.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static void
check_plan (const CsClusterHistory *history, guint failed)
{
  const CsHistory *graph = cs_cluster_history_graph (history);
  guint n = cs_cluster_history_n_vms (history);
  g_autoptr (CsRecoveryLine) line = cs_recovery_line (graph, &failed, 1);
  g_autoptr (CsRecoverPlan) plan = cs_recover_plan_new (history, &failed, 1);
  g_autoptr (CsJson) rows = cs_recover_plan_rows (plan, 0);
  g_autofree guint64 *positions = g_new0 (guint64, n + 1);
  for (guint i = 0; i < n; i++)
    {
      CsRecoverAction action = cs_recover_plan_action (plan, i);
      json_object *row = json_object_array_get_idx (rows, i);
      positions[i] = line->members[i].position;
      g_assert (cs_json_string (row, "reason") != NULL);
      g_assert ((cs_json_string (row, "snapshot") != NULL)
                == (action == CS_RECOVER_START || action == CS_RECOVER_ROLL_BACK));
    }
  g_assert (cs_history_is_consistent (graph, positions));
  g_assert (cs_recover_plan_action (plan, failed) != CS_RECOVER_KEEP);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static const char *const names[] = { "a", "b", "c" };
  g_autoptr (CsJson) object = cs_json_parse_object ((const char *)data, size, NULL);
  if (object == NULL)
    return 0;
  g_autoptr (CsClusterHistory) history =
      cs_cluster_history_new (names, G_N_ELEMENTS (names), cs_json_array (object, "manifests"),
                              cs_json_array (object, "live"));
  g_autofree bool *exchanged = cs_cluster_history_exchanged (history);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_assert (!exchanged[i * G_N_ELEMENTS (names) + i]);
      check_plan (history, i);
    }
  return 0;
}
