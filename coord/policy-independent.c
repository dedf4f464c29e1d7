/* Each VM by itself, one after the other: no VM waits for another.
 *
 * The price is the domino effect (Randell 1975): where the VMs talk, a snapshot of one of them is
 * undone by what another has to undo, and that for one snapshot after the other.  It is bounded
 * here: were any VM to fail now, and another be sent back more than domino_limit snapshots for it,
 * all share one barrier this time; no line has ever to go back behind such a cut. */
#include "config.h"

#include "coord/policy.h"

/* Whether some VM would find no snapshot that is old enough, were VM @failed to fail now. */
static bool
would_lose (const CsPolicyView *view, guint failed)
{
  g_autoptr (CsRecoveryLine) line = cs_recovery_line (view->history, &failed, 1);
  for (guint i = 0; i < line->n; i++)
    if (line->members[i].position == CS_RECOVERY_LOST)
      return true;
  return false;
}

/* Why the VMs are not to be taken one by one this time; NULL: they are. */
static char *
reason_for_all (const CsPolicyView *view)
{
  if (view->history == NULL)
    return g_strdup ("who depends on whom is not known");
  guint deepest = 0;
  for (guint i = 0; i < view->n; i++)
    {
      guint others, depth;
      if (would_lose (view, i))
        return g_strdup ("there is no line of snapshots yet that all could go back to");
      cs_history_domino (view->history, i, &others, &depth);
      deepest = MAX (deepest, depth);
    }
  if (deepest <= view->domino_limit)
    return NULL;
  return g_strdup_printf ("a failure would now cost %u snapshots (domino effect; the limit is %u)",
                          deepest, view->domino_limit);
}

static CsPolicyPlan *
plan (const CsPolicyView *view)
{
  g_autofree char *reason = reason_for_all (view);
  if (reason != NULL)
    {
      g_autofree char *note = g_strconcat (reason, ": all VMs share one barrier", NULL);
      return cs_policy_plan_all (view->n, note);
    }
  CsPolicyPlan *own = cs_policy_plan_new ();
  for (guint i = 0; i < view->n; i++)
    {
      GArray *set = cs_policy_plan_add (own);
      g_array_append_val (set, i);
    }
  return own;
}

const CsPolicy cs_policy_independent = {
  .name = "independent",
  .sentence = "each VM by itself",
  .needs_history = true,
  .has_domino = true,
  .plan = plan,
};
