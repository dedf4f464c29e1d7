/* What a killed clusnapd leaves of a rollback, for the next one.
 *
 * Every VM of the job has an entry; all of them name all VMs and their snapshots, so that whoever
 * finds them knows whether he has them all.  The phases are written to all entries before the first
 * VM is treated accordingly, and entries are removed when the VMs run and their new lines of
 * history are written down:
 *
 *   some entries are missing, or say "prepare"    no VM was changed, or (undone) none is any more
 *   all are there and say "apply"                 any VM may be half rolled back
 *   one says "resume"                             all VMs are back; some run already
 */
#include "config.h"

#include "common/json.h"
#include "vmm/host-rollback.h"

/* As rollback.begin takes them. */
static json_object *
wanted_of (const CsHostRollback *job)
{
  json_object *wanted = json_object_new_array ();
  for (guint i = 0; i < job->vms->len; i++)
    {
      json_object *one = json_object_new_object ();
      cs_json_add_string (one, "name", cs_rollback_vm_name (cs_host_rollback_vm (job, i)));
      cs_json_add_string (one, "snapshot", cs_host_rollback_vm (job, i)->snapshot);
      json_object_array_add (wanted, one);
    }
  return wanted;
}

bool
cs_rollback_vm_journal (CsRollbackVm *vm, const char *phase, GError **error)
{
  CsHostRollback *job = vm->job;
  json_object *extra = json_object_new_object ();
  cs_json_add_string (extra, "job", job->id);
  cs_json_add_string (extra, "store", cs_store_path (job->store));
  cs_json_add_string (extra, "cluster", job->cluster);
  cs_json_add_string (extra, "snapshot", vm->snapshot);
  cs_json_add_string (extra, "phase", phase);
  json_object_object_add (extra, "vms", wanted_of (job));
  vm->journalled = true;
  return cs_journal_add (job->daemon->journal, "rollback", vm->member.vm->ref, vm->member.vm->pid,
                         extra, error);
}

bool
cs_host_rollback_journal (CsHostRollback *job, const char *phase, GError **error)
{
  for (guint i = 0; i < job->vms->len; i++)
    if (!cs_rollback_vm_journal (cs_host_rollback_vm (job, i), phase, error))
      return false;
  return true;
}

void
cs_rollback_vm_unjournal (CsRollbackVm *vm)
{
  if (vm->journalled)
    cs_journal_remove (vm->job->daemon->journal, "rollback", vm->member.vm->ref);
  vm->journalled = false;
}
