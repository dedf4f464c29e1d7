/* VMs that have exchanged something since their latest snapshots share a barrier: the connected
 * components of that relation.  VMs that have nothing to do with each other do not wait for each
 * other, and are not rolled back with each other.
 *
 * VMs of different components may begin to talk between two barriers of one command.  That makes
 * no snapshot wrong: each has its own vector of dependencies, read while its VMs stand, and the
 * recovery line is computed from these; it only may have to go back further. */
#include "config.h"

#include "coord/policy.h"

/* @component: a number per VM, the smallest of its members. */
static void
join (guint *component, guint n, guint one, guint other)
{
  guint low = MIN (component[one], component[other]);
  guint high = MAX (component[one], component[other]);
  for (guint i = 0; i < n; i++)
    if (component[i] == high)
      component[i] = low;
}

static CsPolicyPlan *
plan (const CsPolicyView *view)
{
  guint n = view->n;
  if (view->exchanged == NULL)
    return cs_policy_plan_all (n, "who depends on whom is not known: all VMs share one barrier");
  g_autofree guint *component = g_new (guint, n + 1);
  for (guint i = 0; i < n; i++)
    component[i] = i;
  for (guint i = 0; i < n; i++)
    for (guint j = 0; j < n; j++)
      if (i != j && view->exchanged[i * n + j])
        join (component, n, i, j);
  CsPolicyPlan *groups = cs_policy_plan_new ();
  for (guint first = 0; first < n; first++)
    {
      if (component[first] != first)
        continue;
      GArray *set = cs_policy_plan_add (groups);
      for (guint i = first; i < n; i++)
        if (component[i] == first)
          g_array_append_val (set, i);
    }
  return groups;
}

const CsPolicy cs_policy_group = {
  .name = "group",
  .sentence = "VMs that have exchanged something since their latest snapshots at one barrier",
  .needs_history = true,
  .has_domino = true,
  .plan = plan,
};
