#include "config.h"

#include "coord/cli-snapshot-create.h"

#include "common/error.h"

/* What a failure of each VM would cost as of now. */
json_object *
cs_creation_domino (const CsCreation *creation)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsClusterHistory) history = cs_cli_history_read (creation->history, &error)
                                             ? cs_cli_history_now (creation->history, &error)
                                             : NULL;
  if (history == NULL)
    {
      cs_cli_note (creation->cli, "clusnap: what a failure would cost is not known: %s",
                   error->message);
      return NULL;
    }
  json_object *rows = json_object_new_array ();
  for (guint i = 0; i < cs_cluster_history_n_vms (history); i++)
    {
      guint others, depth;
      json_object *row = json_object_new_object ();
      cs_history_domino (cs_cluster_history_graph (history), i, &others, &depth);
      cs_json_add_string (row, "name", cs_cluster_history_vm (history, i)->name);
      cs_json_add_uint (row, "others", others);
      cs_json_add_uint (row, "depth", depth);
      json_object_array_add (rows, row);
    }
  return rows;
}

/* A clusnapd that cannot tell leaves @creation without history. */
static bool
ask_history (CsCreation *creation, CsClusterHistory **now, GError **error)
{
  g_autoptr (GError) own = NULL;
  creation->history = cs_cli_history_new (creation->cli, creation->cluster, creation->store);
  *now = cs_cli_history_read (creation->history, &own)
             ? cs_cli_history_now (creation->history, &own)
             : NULL;
  if (*now != NULL)
    return true;
  g_clear_pointer (&creation->history, cs_cli_history_free);
  if (g_error_matches (own, CS_ERROR, CS_ERROR_UNSUPPORTED))
    return true;
  g_propagate_error (error, g_steal_pointer (&own));
  return false;
}

bool
cs_creation_plan (CsCreation *creation, GError **error)
{
  CsClusterHistory *now = NULL;
  CsPolicyView view = { .n = cs_cluster_n_vms (creation->cluster),
                        .domino_limit = cs_cluster_domino_limit (creation->cluster) };
  if (creation->policy->needs_history && !ask_history (creation, &now, error))
    return false;
  g_autoptr (CsClusterHistory) history = now;
  g_autofree bool *exchanged = history != NULL ? cs_cluster_history_exchanged (history) : NULL;
  view.exchanged = exchanged;
  view.history = history != NULL ? cs_cluster_history_graph (history) : NULL;
  creation->plan = creation->policy->plan (&view);
  if (creation->plan->note != NULL)
    cs_cli_note (creation->cli, "policy '%s': %s", creation->policy->name, creation->plan->note);
  return true;
}
