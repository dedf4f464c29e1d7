#include "config.h"

#include "coord/policy.h"

#include <string.h>

static const CsPolicy *const policies[] = {
  &cs_policy_coordinated,
  &cs_policy_independent,
  &cs_policy_group,
};

const CsPolicy *
cs_policy_find (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (policies); i++)
    if (strcmp (policies[i]->name, name) == 0)
      return policies[i];
  return NULL;
}

char *
cs_policy_names (void)
{
  g_autoptr (GString) names = g_string_new (NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (policies); i++)
    g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", policies[i]->name);
  return g_string_free (g_steal_pointer (&names), FALSE);
}

static void
set_destroy (gpointer set)
{
  g_array_unref (set);
}

CsPolicyPlan *
cs_policy_plan_new (void)
{
  CsPolicyPlan *plan = g_new0 (CsPolicyPlan, 1);
  plan->sets = g_ptr_array_new_with_free_func (set_destroy);
  return plan;
}

void
cs_policy_plan_free (CsPolicyPlan *plan)
{
  if (plan == NULL)
    return;
  g_ptr_array_unref (plan->sets);
  g_free (plan->note);
  g_free (plan);
}

GArray *
cs_policy_plan_add (CsPolicyPlan *plan)
{
  GArray *set = g_array_new (FALSE, FALSE, sizeof (guint));
  g_ptr_array_add (plan->sets, set);
  return set;
}

CsPolicyPlan *
cs_policy_plan_all (guint n, const char *note)
{
  CsPolicyPlan *plan = cs_policy_plan_new ();
  GArray *set = cs_policy_plan_add (plan);
  for (guint i = 0; i < n; i++)
    g_array_append_val (set, i);
  plan->note = g_strdup (note);
  return plan;
}
