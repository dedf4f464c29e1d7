/* Theory of operation
 *
 * The barrier has two sides: no VM is changed before all stand, and none runs before all are back.
 * In between lies one decision, taken under the job's lock, once:
 *
 * - UNDECIDED: each VM's worker has stopped its VM and waits, at most until its deadline.  A VM
 *   that does not stop, the deadline, or cs_host_rollback_cancel decide for UNDO.
 * - DECIDING: apply was asked for; the journal is told that VMs may be half rolled back.  What
 *   fails here: UNDO.
 * - UNDO: every worker lets its VM run, untouched.
 * - GO: every worker takes its VM back.  From here on nothing is undone and nothing stops the job,
 *   whether or not anybody waits for it.
 *
 * VMs that do not run are started from the snapshot, paused, in DECIDING: while the others ran,
 * what these send would reach them out of the abandoned time.
 *
 * A VM that fails past GO while another one is changed already has no way back: its QEMU is ended
 * and it is started from the snapshot, like those that did not run.  If all fail before they have
 * written anything, all of them run on untouched after all.
 *
 * The workers keep the deadline, as in a snapshot (docs/threads.md): the caller may hang.
 */
#include "config.h"

#include "vmm/host-rollback.h"

#include "common/error.h"
#include "common/fault.h"
#include "common/json.h"
#include "vmm/manifest-vms.h"

CsRollbackVm *
cs_host_rollback_vm (const CsHostRollback *job, guint i)
{
  return g_ptr_array_index (job->vms, i);
}

/* The VMs that are (not) to be started from the snapshot. */
static GPtrArray *
subset (const CsHostRollback *job, bool cold)
{
  GPtrArray *some = g_ptr_array_new ();
  for (guint i = 0; i < job->vms->len; i++)
    if ((cs_host_rollback_vm (job, i)->cold != NULL) == cold)
      g_ptr_array_add (some, cs_host_rollback_vm (job, i));
  return some;
}

/* ---- begin ---- */

static void
vm_free (gpointer data)
{
  CsRollbackVm *vm = data;
  g_clear_error (&vm->failure);
  json_object_put (vm->agent);
  g_free (vm->reason);
  g_free (vm->time);
  g_free (vm);
}

typedef struct
{
  CsHostRollback *job;
  const char *snapshot;
} Chosen;

static void
add_vm (json_object *document, const CsVmRef *ref, gpointer data)
{
  const Chosen *chosen = data;
  CsHostRollback *job = chosen->job;
  CsRollbackVm *vm = g_new0 (CsRollbackVm, 1);
  vm->job = job;
  vm->document = document;
  vm->snapshot = chosen->snapshot;
  vm->member.vm = cs_vm_table_get (job->daemon->vms, ref);
  g_ptr_array_add (job->vms, vm);
}

/* Whoever deletes the snapshot meanwhile: what it holds stays while the job needs it. */
static void
pin_images (CsHostRollback *job, void (*func) (CsStore *store, const char *image))
{
  for (guint i = 0; i < job->vms->len; i++)
    {
      const char *image = cs_json_string (cs_host_rollback_vm (job, i)->document, "image");
      if (image != NULL)
        func (job->store, image);
    }
}

/* The manifest of @snapshot, read once; its name is the job's from then on. */
static const char *
open_manifest (CsHostRollback *job, const char *snapshot, GError **error)
{
  gpointer kept = NULL;
  if (g_hash_table_lookup_extended (job->manifests, snapshot, &kept, NULL))
    return kept;
  json_object *manifest = cs_store_manifest_get (job->store, job->cluster, snapshot, error);
  if (manifest == NULL)
    return NULL;
  char *name = g_strdup (snapshot);
  g_hash_table_insert (job->manifests, name, manifest);
  return name;
}

static bool
choose (CsHostRollback *job, const char *snapshot, json_object *names, GError **error)
{
  Chosen chosen = { job, open_manifest (job, snapshot, error) };
  return chosen.snapshot != NULL
         && cs_manifest_vms_choose (g_hash_table_lookup (job->manifests, chosen.snapshot),
                                    chosen.snapshot, names, add_vm, &chosen, error);
}

/* An entry of the request: a name, or {name, snapshot}. */
static bool
choose_one (CsHostRollback *job, const char *snapshot, json_object *entry, GError **error)
{
  bool is_name = json_object_is_type (entry, json_type_string);
  const char *name = is_name ? json_object_get_string (entry) : cs_json_string (entry, "name");
  const char *own = is_name ? NULL : cs_json_string (entry, "snapshot");
  if (name == NULL || (own == NULL && snapshot == NULL))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "member 'vms' must hold names, or objects with a name and a snapshot");
      return false;
    }
  for (guint i = 0; i < job->vms->len; i++)
    if (g_strcmp0 (cs_rollback_vm_name (cs_host_rollback_vm (job, i)), name) == 0)
      {
        g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "VM '%s' is to go back twice", name);
        return false;
      }
  g_autoptr (CsJson) names = json_object_new_array ();
  json_object_array_add (names, json_object_new_string (name));
  return choose (job, own != NULL ? own : snapshot, names, error);
}

static bool
choose_all (CsHostRollback *job, const char *snapshot, json_object *wanted, GError **error)
{
  if (wanted == NULL && snapshot != NULL)
    return choose (job, snapshot, NULL, error);
  gsize n = wanted != NULL ? json_object_array_length (wanted) : 0;
  for (gsize i = 0; i < n; i++)
    if (!choose_one (job, snapshot, json_object_array_get_idx (wanted, i), error))
      return false;
  if (n > 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "no VM was named that is to go back");
  return false;
}

static char *
target_of (const CsHostRollback *job)
{
  if (g_hash_table_size (job->manifests) > 1)
    return g_strdup_printf ("%u snapshots", g_hash_table_size (job->manifests));
  return g_strdup_printf ("snapshot '%s'", cs_host_rollback_vm (job, 0)->snapshot);
}

static void
manifest_destroy (gpointer manifest)
{
  json_object_put (manifest);
}

CsHostRollback *
cs_host_rollback_new (CsDaemon *daemon, CsStore *store, const char *cluster, const char *snapshot,
                      json_object *wanted, GError **error)
{
  CsHostRollback *job = g_new0 (CsHostRollback, 1);
  job->daemon = daemon;
  job->store = store;
  job->manifests = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, manifest_destroy);
  job->cluster = g_strdup (cluster);
  job->id = g_uuid_string_random ();
  job->cancellable = g_cancellable_new ();
  job->vms = g_ptr_array_new_with_free_func (vm_free);
  g_mutex_init (&job->lock);
  g_cond_init (&job->changed);
  bool chosen =
      choose_all (job, snapshot, wanted, error)
      && (job->lines = cs_job_lines_new (daemon, store, cluster, job->vms, NULL, error)) != NULL;
  pin_images (job, cs_store_pin);
  if (chosen)
    {
      job->target = target_of (job);
      return job;
    }
  cs_host_rollback_free (job);
  return NULL;
}

static bool
claim (CsHostRollback *job, GError **error)
{
  g_autofree char *holder = g_strdup_printf ("a rollback to %s", job->target);
  job->claimed = cs_fan_out_claim (job->vms, holder, error);
  return job->claimed;
}

bool
cs_host_rollback_begin (CsHostRollback *job, GError **error)
{
  if (!claim (job, error))
    return false;
  /* Here and not when they are started again: the others stand then. */
  cs_cluster_lines_sweep (cs_job_lines_cluster (job->lines));
  return cs_fan_out (job->vms, cs_rollback_vm_look, error)
         && cs_fault_point ("rollback-begin", error);
}

bool
cs_host_rollback_prepare (CsHostRollback *job, GError **error)
{
  return cs_fan_out (job->vms, cs_rollback_vm_prepare, error);
}

/* ---- pause ---- */

static bool
all_answered (const GPtrArray *vms)
{
  for (guint i = 0; i < vms->len; i++)
    if (!((CsRollbackVm *)g_ptr_array_index (vms, i))->answered)
      return false;
  return true;
}

bool
cs_host_rollback_pause (CsHostRollback *job, GError **error)
{
  g_autoptr (GPtrArray) in_place = subset (job, false);
  cs_fan_out_begin (in_place, cs_rollback_vm_stand);
  g_mutex_lock (&job->lock);
  while (job->decision == CS_ROLLBACK_UNDECIDED && !all_answered (in_place))
    g_cond_wait (&job->changed, &job->lock);
  bool stand = job->decision == CS_ROLLBACK_UNDECIDED;
  g_mutex_unlock (&job->lock);
  if (stand)
    return true;
  cs_host_rollback_cancel (job);
  if (cs_fan_out_end (in_place, error))
    g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "the rollback was given up");
  return false;
}

/* ---- apply ---- */

/* From @from to @to; false when it was decided otherwise meanwhile. */
static bool
decide (CsHostRollback *job, CsRollbackDecision from, CsRollbackDecision to)
{
  g_mutex_lock (&job->lock);
  bool is_ours = job->decision == from;
  if (is_ours)
    job->decision = to;
  g_cond_broadcast (&job->changed);
  g_mutex_unlock (&job->lock);
  return is_ours;
}

/* The last that may fail without harm. */
static bool
make_ready (CsHostRollback *job, GError **error)
{
  g_autoptr (GPtrArray) cold = subset (job, true);
  return cs_host_rollback_journal (job, CS_ROLLBACK_PHASE_APPLY, error)
         && cs_fault_point ("rollback-journal", error)
         && cs_fan_out (cold, cs_rollback_vm_load, error);
}

/* All of @in_place failed before they wrote anything. */
static bool
none_is_changed (const GPtrArray *in_place, GError **error)
{
  const CsRollbackVm *failed = NULL;
  for (guint i = 0; i < in_place->len; i++)
    {
      const CsRollbackVm *vm = g_ptr_array_index (in_place, i);
      if (cs_rollback_is_past_return (vm->rollback) || vm->failure == NULL)
        return false;
      failed = vm;
    }
  if (failed == NULL)
    return false;
  g_propagate_prefixed_error (error, g_error_copy (failed->failure),
                              "VM '%s': ", cs_rollback_vm_name (failed));
  return true;
}

bool
cs_host_rollback_apply (CsHostRollback *job, GError **error)
{
  g_autoptr (GPtrArray) in_place = subset (job, false);
  g_autoptr (GError) consequence = NULL;
  if (!decide (job, CS_ROLLBACK_UNDECIDED, CS_ROLLBACK_DECIDING))
    {
      if (cs_fan_out_end (in_place, error))
        g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "the rollback was given up");
      return false;
    }
  bool ready = make_ready (job, error);
  decide (job, CS_ROLLBACK_DECIDING, ready ? CS_ROLLBACK_GO : CS_ROLLBACK_UNDO);
  cs_fan_out_end (in_place, &consequence);
  if (!ready || none_is_changed (in_place, error))
    return false;
  job->applied = true;
  cs_fan_out (job->vms, cs_rollback_vm_replace, NULL);
  return true;
}

bool
cs_host_rollback_redo (CsHostRollback *job, GError **error)
{
  if (!claim (job, error))
    return false;
  decide (job, CS_ROLLBACK_UNDECIDED, CS_ROLLBACK_GO);
  for (guint i = 0; i < job->vms->len; i++)
    cs_host_rollback_vm (job, i)->journalled = true;
  job->applied = true;
  cs_fan_out (job->vms, cs_rollback_vm_redo, NULL);
  cs_fan_out (job->vms, cs_rollback_vm_replace, NULL);
  return true;
}

/* ---- release ---- */

/* VMs that were started anew are not ended any more after a crash.  The mark goes when the last of
 * the old disks has gone, as in a restore. */
static bool
mark_started (CsHostRollback *job, GError **error)
{
  g_autoptr (GPtrArray) cold = subset (job, true);
  return cold->len == 0 || cs_journal_mark (job->daemon->journal, job->id, error);
}

/* Nothing is undone any more: that it cannot be written down does not stop the VMs. */
static void
journal_release (CsHostRollback *job)
{
  g_autoptr (GError) unsaid = NULL;
  bool written = true;
  for (guint i = 0; i < job->vms->len; i++)
    {
      CsRollbackVm *vm = cs_host_rollback_vm (job, i);
      if (vm->cold != NULL && vm->failure == NULL && vm->resumed_at == 0)
        written = written && cs_cold_restore_journal (vm->cold, &unsaid);
    }
  written = written && mark_started (job, &unsaid)
            && cs_host_rollback_journal (job, CS_ROLLBACK_PHASE_RESUME, &unsaid)
            && cs_fault_point ("rollback-release", &unsaid);
  if (!written)
    g_warning ("rollback to %s: %s", job->target, unsaid->message);
}

/* The VMs are free; the daemon goes on filling those that were started. */
static bool
let_go (CsHostRollback *job, GError **error)
{
  g_autoptr (GString) lost = g_string_new (NULL);
  g_autoptr (GPtrArray) filling = g_ptr_array_new ();
  for (guint i = 0; i < job->vms->len; i++)
    {
      CsRollbackVm *vm = cs_host_rollback_vm (job, i);
      if (vm->failure == NULL && vm->cold != NULL)
        g_ptr_array_add (filling, vm->member.vm);
      if (vm->failure != NULL)
        g_string_append_printf (lost, "%sVM '%s': %s ('clusnap restore %s %s --vm %s')",
                                lost->len > 0 ? "; " : "", cs_rollback_vm_name (vm),
                                vm->failure->message, job->cluster, vm->snapshot,
                                cs_rollback_vm_name (vm));
      else if (vm->cold != NULL)
        cs_cold_restore_hand_over (vm->cold);
    }
  cs_fan_out (job->vms, cs_rollback_vm_free, NULL);
  for (guint i = 0; i < job->vms->len; i++)
    cs_vm_release (cs_host_rollback_vm (job, i)->member.vm);
  job->claimed = false;
  cs_journal_sweep_marks (job->daemon->journal);
  for (guint i = 0; i < filling->len; i++)
    cs_daemon_watch_filling (job->daemon, g_ptr_array_index (filling, i));
  if (lost->len == 0)
    return true;
  g_set_error (
      error, CS_ERROR, CS_ERROR_STATE,
      "not all VMs came back, the others run as in their snapshots: %s.  When the cause is "
      "gone, end what is left of such a VM and use that command",
      lost->str);
  return false;
}

void
cs_host_rollback_begin_branches (CsHostRollback *job)
{
  g_autoptr (GPtrArray) documents = g_ptr_array_new ();
  for (guint i = 0; i < job->vms->len; i++)
    g_ptr_array_add (documents, cs_host_rollback_vm (job, i)->document);
  cs_job_lines_go_back (job->lines, documents);
}

bool
cs_host_rollback_release (CsHostRollback *job, GError **error)
{
  g_assert (job->applied && job->claimed);
  journal_release (job);
  cs_host_rollback_begin_branches (job);
  cs_fan_out (job->vms, cs_rollback_vm_resume, NULL);
  /* What did not run then is replaced once more. */
  cs_fan_out (job->vms, cs_rollback_vm_replace, NULL);
  g_autoptr (GError) unsaid = NULL;
  if (!mark_started (job, &unsaid))
    g_warning ("rollback to %s: %s", job->target, unsaid->message);
  cs_fan_out (job->vms, cs_rollback_vm_resume, NULL);
  cs_job_lines_settle (job->lines);
  for (guint i = 0; i < job->vms->len; i++)
    {
      CsRollbackVm *vm = cs_host_rollback_vm (job, i);
      vm->interval =
          cs_cluster_lines_interval (cs_job_lines_cluster (job->lines), vm->member.vm->ref->name);
    }
  cs_fan_out (job->vms, cs_rollback_vm_after_restore, NULL);
  if (job->set_time)
    cs_fan_out (job->vms, cs_rollback_vm_set_time, NULL);
  return let_go (job, error);
}

/* ---- end ---- */

bool
cs_host_rollback_is_undone (CsHostRollback *job)
{
  g_mutex_lock (&job->lock);
  bool undone = job->decision == CS_ROLLBACK_UNDO;
  g_mutex_unlock (&job->lock);
  return undone;
}

void
cs_host_rollback_cancel (CsHostRollback *job)
{
  g_mutex_lock (&job->lock);
  bool undone = job->decision == CS_ROLLBACK_UNDECIDED || job->decision == CS_ROLLBACK_UNDO;
  if (undone)
    job->decision = CS_ROLLBACK_UNDO;
  for (guint i = 0; undone && i < job->vms->len; i++)
    if (cs_host_rollback_vm (job, i)->rollback != NULL)
      cs_rollback_cancel (cs_host_rollback_vm (job, i)->rollback);
  g_cond_broadcast (&job->changed);
  g_mutex_unlock (&job->lock);
}

void
cs_host_rollback_free (CsHostRollback *job)
{
  if (job == NULL)
    return;
  g_autoptr (GError) error = NULL;
  cs_host_rollback_cancel (job);
  if (!cs_fan_out_end (job->vms, &error))
    g_debug ("rollback to %s: %s", job->target ? job->target : "?", error->message);
  g_clear_error (&error);
  if (job->applied && job->claimed && !cs_host_rollback_release (job, &error))
    g_warning ("rollback of cluster '%s' to %s: %s", job->cluster, job->target, error->message);
  if (job->claimed)
    {
      cs_fan_out (job->vms, cs_rollback_vm_free, NULL);
      for (guint i = 0; i < job->vms->len; i++)
        cs_vm_release (cs_host_rollback_vm (job, i)->member.vm);
    }
  pin_images (job, cs_store_unpin);
  cs_job_lines_free (job->lines);
  g_ptr_array_unref (job->vms);
  g_hash_table_unref (job->manifests);
  g_object_unref (job->cancellable);
  g_mutex_clear (&job->lock);
  g_cond_clear (&job->changed);
  g_free (job->cluster);
  g_free (job->target);
  g_free (job->id);
  g_free (job);
}
