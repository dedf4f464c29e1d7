#include "config.h"

#include "coord/recover-plan.h"

typedef struct
{
  CsRecoverAction action;
  char *name;
  char *snapshot; /* or NULL */
  gint64 created; /* us since 1970; 0: not known */
  char *reason;
  json_object *because; /* see cs_recover_plan_rows; NULL: it failed, or nothing is done with it */
} Member;

struct CsRecoverPlan
{
  guint n;
  Member *members;
};

static const char *const action_names[] = {
  [CS_RECOVER_KEEP] = "keep",
  [CS_RECOVER_START] = "start",
  [CS_RECOVER_ROLL_BACK] = "roll back",
  [CS_RECOVER_LOST] = "lost",
};

/* ---- why ---- */

static char *
dependency_text (const CsClusterHistory *history, guint number)
{
  const CsDependency *dependency =
      cs_history_dependency (cs_cluster_history_graph (history), number);
  const char *sources = cs_cluster_history_sources (history, number);
  return g_strdup_printf (
      "depends on interval %" G_GUINT64_FORMAT " of '%s'%s%s%s, which is undone",
      dependency->from_interval, cs_cluster_history_vm (history, dependency->from)->name,
      *sources != '\0' ? " (" : "", sources, *sources != '\0' ? ")" : "");
}

/* What sent it back. */
static json_object *
because_of (const CsClusterHistory *history, const CsRecoveryMember *member)
{
  if (member->reason == CS_RECOVERY_UNTOUCHED || member->dependency == CS_RECOVERY_NO_DEPENDENCY)
    return NULL;
  const CsDependency *dependency =
      cs_history_dependency (cs_cluster_history_graph (history), member->dependency);
  json_object *because = json_object_new_object ();
  cs_json_add_string (because, "vm", cs_cluster_history_vm (history, dependency->from)->name);
  cs_json_add_uint (because, "interval", dependency->from_interval);
  cs_json_add_string (because, "sources", cs_cluster_history_sources (history, member->dependency));
  return because;
}

static char *
reason_text (const CsClusterHistory *history, guint vm, const CsRecoveryMember *member)
{
  const CsHistoryVm *one = cs_cluster_history_vm (history, vm);
  g_autofree char *dependency = member->dependency != CS_RECOVERY_NO_DEPENDENCY
                                    ? dependency_text (history, member->dependency)
                                    : NULL;
  const char *failure = one->running ? "it is said to have failed" : "it does not run";
  if (member->reason == CS_RECOVERY_UNTOUCHED)
    return g_strdup (one->running ? "nothing that it depends on is undone"
                                  : "it does not run, is not said to have failed, and nothing that "
                                    "it depends on is undone");
  const char *end = "";
  if (member->position == CS_RECOVERY_LOST)
    end = one->known ? "; no snapshot of it is old enough" : "; clusnapd does not know its history";
  if (member->reason == CS_RECOVERY_DEPENDENT)
    return g_strconcat (dependency, end, NULL);
  return g_strconcat (failure, dependency != NULL ? ", and " : "",
                      dependency != NULL ? dependency : "", end, NULL);
}

/* ---- what ---- */

static CsRecoverAction
action_of (const CsClusterHistory *history, guint vm, const CsRecoveryMember *member)
{
  if (member->position == CS_RECOVERY_STAYS)
    return CS_RECOVER_KEEP;
  if (member->position == CS_RECOVERY_LOST)
    return CS_RECOVER_LOST;
  return cs_cluster_history_vm (history, vm)->running ? CS_RECOVER_ROLL_BACK : CS_RECOVER_START;
}

static gint64
parse_time (const char *text)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = text != NULL ? g_date_time_new_from_iso8601 (text, utc) : NULL;
  return time == NULL
             ? 0
             : g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time);
}

static void
fill_member (Member *one, const CsClusterHistory *history, guint vm, const CsRecoveryMember *member)
{
  const char *created = NULL;
  one->action = action_of (history, vm, member);
  one->name = g_strdup (cs_cluster_history_vm (history, vm)->name);
  one->reason = reason_text (history, vm, member);
  one->because = because_of (history, member);
  if (one->action == CS_RECOVER_START || one->action == CS_RECOVER_ROLL_BACK)
    one->snapshot =
        g_strdup (cs_cluster_history_snapshot (history, vm, member->position, &created));
  one->created = parse_time (created);
}

CsRecoverPlan *
cs_recover_plan_new (const CsClusterHistory *history, const guint *failed, guint n_failed)
{
  g_autoptr (CsRecoveryLine) line =
      cs_recovery_line (cs_cluster_history_graph (history), failed, n_failed);
  CsRecoverPlan *plan = g_new0 (CsRecoverPlan, 1);
  plan->n = line->n;
  plan->members = g_new0 (Member, plan->n + 1);
  for (guint i = 0; i < plan->n; i++)
    fill_member (&plan->members[i], history, i, &line->members[i]);
  return plan;
}

void
cs_recover_plan_free (CsRecoverPlan *plan)
{
  if (plan == NULL)
    return;
  for (guint i = 0; i < plan->n; i++)
    {
      g_free (plan->members[i].name);
      g_free (plan->members[i].snapshot);
      g_free (plan->members[i].reason);
      json_object_put (plan->members[i].because);
    }
  g_free (plan->members);
  g_free (plan);
}

CsRecoverAction
cs_recover_plan_action (const CsRecoverPlan *plan, guint vm)
{
  g_assert (vm < plan->n);
  return plan->members[vm].action;
}

guint
cs_recover_plan_count (const CsRecoverPlan *plan, CsRecoverAction action)
{
  guint count = 0;
  for (guint i = 0; i < plan->n; i++)
    count += plan->members[i].action == action;
  return count;
}

bool
cs_recover_plan_equal (const CsRecoverPlan *one, const CsRecoverPlan *other)
{
  if (one->n != other->n)
    return false;
  for (guint i = 0; i < one->n; i++)
    if (one->members[i].action != other->members[i].action
        || g_strcmp0 (one->members[i].name, other->members[i].name) != 0
        || g_strcmp0 (one->members[i].snapshot, other->members[i].snapshot) != 0)
      return false;
  return true;
}

json_object *
cs_recover_plan_rows (const CsRecoverPlan *plan, gint64 now)
{
  json_object *rows = json_object_new_array ();
  for (guint i = 0; i < plan->n; i++)
    {
      const Member *member = &plan->members[i];
      json_object *row = json_object_new_object ();
      cs_json_add_string (row, "name", member->name);
      cs_json_add_string (row, "action", action_names[member->action]);
      cs_json_add_string (row, "snapshot", member->snapshot);
      if (member->created > 0)
        cs_json_add_uint (row, "lost", (guint64)MAX (now - member->created, 0));
      cs_json_add_string (row, "reason", member->reason);
      if (member->because != NULL)
        json_object_object_add (row, "because", json_object_get (member->because));
      json_object_array_add (rows, row);
    }
  return rows;
}

json_object *
cs_recover_plan_vms (const CsRecoverPlan *plan)
{
  json_object *vms = json_object_new_array ();
  for (guint i = 0; i < plan->n; i++)
    {
      const Member *member = &plan->members[i];
      if (member->snapshot == NULL)
        continue;
      json_object *vm = json_object_new_object ();
      cs_json_add_string (vm, "name", member->name);
      cs_json_add_string (vm, "snapshot", member->snapshot);
      json_object_array_add (vms, vm);
    }
  return vms;
}
