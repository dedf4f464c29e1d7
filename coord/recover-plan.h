/* What a recovery does with each VM of a cluster, and why: the recovery line in the user's words.
 */
#ifndef CS_COORD_RECOVER_PLAN_H
#define CS_COORD_RECOVER_PLAN_H

#include "coord/history.h"

typedef enum
{
  CS_RECOVER_KEEP,      /* not touched at all */
  CS_RECOVER_START,     /* it does not run: started from its snapshot */
  CS_RECOVER_ROLL_BACK, /* it runs: taken back in place */
  CS_RECOVER_LOST,      /* no snapshot of it is old enough */
} CsRecoverAction;

typedef struct CsRecoverPlan CsRecoverPlan;

/* @failed: numbers of the VMs (@n_failed) that failed, or are said to have. */
CsRecoverPlan *cs_recover_plan_new (const CsClusterHistory *history, const guint *failed,
                                    guint n_failed);
void cs_recover_plan_free (CsRecoverPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsRecoverPlan, cs_recover_plan_free)

CsRecoverAction cs_recover_plan_action (const CsRecoverPlan *plan, guint vm);
/* How many VMs that is done with. */
guint cs_recover_plan_count (const CsRecoverPlan *plan, CsRecoverAction action);
/* Whether both do the same with every VM. */
bool cs_recover_plan_equal (const CsRecoverPlan *one, const CsRecoverPlan *other);

/* [{name, action: "keep"|"start"|"roll back"|"lost", snapshot?, lost?: us, reason, because?: {vm,
 * interval, sources: text}}], new; lost: how much of the VM's work is undone at time @now (us since
 * 1970); because: the other one's interval that sends it back. */
json_object *cs_recover_plan_rows (const CsRecoverPlan *plan, gint64 now);

/* [{name, snapshot}] of the VMs that are started or rolled back, as rollback.begin takes it; new.
 */
json_object *cs_recover_plan_vms (const CsRecoverPlan *plan);

#endif
