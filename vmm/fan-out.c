#include "config.h"

#include "vmm/fan-out.h"

#include "common/error.h"

#include <string.h>

void
cs_fan_out_begin (GPtrArray *members, CsTaskFunc func)
{
  for (guint i = 0; i < members->len; i++)
    {
      CsMember *member = g_ptr_array_index (members, i);
      if (member->task == NULL)
        member->task = cs_worker_post (member->vm->worker, func, member);
    }
}

/* Keeps the error that tells most: the first that is not a mere consequence of another. */
static void
keep_error (GError **kept, GError *error)
{
  bool better = *kept == NULL
                || (g_error_matches (*kept, CS_ERROR, CS_ERROR_CANCELLED)
                    && !g_error_matches (error, CS_ERROR, CS_ERROR_CANCELLED));
  if (!better)
    {
      g_error_free (error);
      return;
    }
  g_clear_error (kept);
  *kept = error;
}

bool
cs_fan_out_end (GPtrArray *members, GError **error)
{
  GError *first = NULL;
  for (guint i = 0; i < members->len; i++)
    {
      CsMember *member = g_ptr_array_index (members, i);
      GError *own = NULL;
      if (member->task == NULL || cs_task_wait (g_steal_pointer (&member->task), &own))
        continue;
      g_autofree char *quoted = g_strdup_printf ("'%s'", member->vm->ref->name);
      if (strstr (own->message, quoted) == NULL)
        g_prefix_error (&own, "VM %s: ", quoted);
      keep_error (&first, own);
    }
  if (first == NULL)
    return true;
  g_propagate_error (error, first);
  return false;
}

bool
cs_fan_out (GPtrArray *members, CsTaskFunc func, GError **error)
{
  cs_fan_out_begin (members, func);
  return cs_fan_out_end (members, error);
}

bool
cs_fan_out_claim (GPtrArray *members, const char *holder, GError **error)
{
  for (guint i = 0; i < members->len; i++)
    {
      CsMember *member = g_ptr_array_index (members, i);
      if (cs_vm_claim (member->vm, holder, error))
        continue;
      while (i-- > 0)
        cs_vm_release (((CsMember *)g_ptr_array_index (members, i))->vm);
      return false;
    }
  return true;
}
