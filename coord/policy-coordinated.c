/* All VMs at one barrier: one consistent cut.  A failure costs nobody more than what came after the
 * latest snapshot, and the VMs stand as long as the slowest of them takes. */
#include "config.h"

#include "coord/policy.h"

static CsPolicyPlan *
plan (const CsPolicyView *view)
{
  return cs_policy_plan_all (view->n, NULL);
}

const CsPolicy cs_policy_coordinated = {
  .name = "coordinated",
  .sentence = "all VMs at one barrier",
  .plan = plan,
};
