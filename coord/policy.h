/* Policies: which VMs of a cluster share a snapshot's barrier.
 *
 * A policy is a table entry and one function, in a file of its own (policy-NAME.c); it knows no
 * daemon and no file, only numbers, and the mechanism below it is the same for all: a snapshot job
 * per set (Badrinath, Morin and Vallee: common mechanisms, many policies). */
#ifndef CS_COORD_POLICY_H
#define CS_COORD_POLICY_H

#include "coord/recovery-line.h"

#define CS_POLICY_DEFAULT "coordinated"
#define CS_POLICY_DOMINO_LIMIT 3

/* What a policy looks at: VMs 0 ... n - 1, as they are now. */
typedef struct
{
  guint n;
  const bool *exchanged; /* [i * n + j]: VM i has seen something of VM j's present interval; NULL:
                            not known */
  const CsHistory *history; /* with the present intervals; NULL: not known */
  guint domino_limit;       /* snapshots that a failure may cost a VM */
} CsPolicyView;

typedef struct
{
  GPtrArray *sets; /* of GArray of guint, each in rising order: VMs that share a barrier; every VM
                      is in one; in the order in which they are taken */
  char *note; /* for the user: why these and not what the policy would else do.  NULL: as usual */
} CsPolicyPlan;

void cs_policy_plan_free (CsPolicyPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsPolicyPlan, cs_policy_plan_free)

typedef struct
{
  const char *name;
  const char *sentence;
  bool needs_history; /* looks at more than n */
  bool has_domino;    /* what a failure would cost is worth telling */
  CsPolicyPlan *(*plan) (const CsPolicyView *view);
} CsPolicy;

extern const CsPolicy cs_policy_coordinated;
extern const CsPolicy cs_policy_independent;
extern const CsPolicy cs_policy_group;

/* NULL when there is none of that name. */
const CsPolicy *cs_policy_find (const char *name);
/* "coordinated, independent, group": new. */
char *cs_policy_names (void);

/* For the policies: a plan without sets; adds an empty set to @plan, borrowed; all VMs in one. */
CsPolicyPlan *cs_policy_plan_new (void);
GArray *cs_policy_plan_add (CsPolicyPlan *plan);
CsPolicyPlan *cs_policy_plan_all (guint n, const char *note);

#endif
