/* Theory of operation
 *
 * What a clusnapd that was killed left is in its journal.  The order in which it is made good:
 *
 *   0. restores that had not begun to release their VMs are undone (restore-journal.h); of the
 * others all VMs go on, those without missing memory in step 4;
 *   1. fills: memory that is missing is served again, from here on.  First, because a QEMU whose
 *      main loop waits for a page is deaf to its monitor;
 *   2. clones: their disks are served again, for `stop` waits for them; what was not finished goes;
 *   3. rollbacks that had begun to change VMs are done again, all VMs of one before any of them
 * runs;
 *   4. pauses: what else stands is resumed.  Over the connection of the fill where there is one: a
 *      bare QEMU takes one client at a time;
 *   5. only now does anybody watch the fills: their end takes a VM that stands for one that its
 * user has paused, and a cont in the middle of it would lose writes.
 *
 * A QEMU that does not answer now (stopped, its host starved) must not stay paused when it comes
 * back: its entry stays and is tried again in the background until the VM runs or is gone.
 */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/daemon.h"
#include "vmm/disk.h"
#include "vmm/host-rollback.h"
#include "vmm/lazy-disks.h"
#include "vmm/pause-priority.h"
#include "vmm/restore-journal.h"

enum
{
  RETRY_INTERVAL = 1000000, /* us */
};

static bool
is_kind (json_object *entry, const char *kind)
{
  return g_strcmp0 (cs_json_string (entry, "kind"), kind) == 0;
}

/* ---- VMs that were being loaded ---- */

/* Whether all VMs of its restore were loaded and allowed to run. */
static bool
was_released (CsDaemon *daemon, json_object *entry)
{
  const char *job = cs_json_string (entry, "job");
  return job != NULL && cs_journal_is_marked (daemon->journal, job);
}

/* Servers of the new disks. */
static void
undo_serving (CsDaemon *daemon, json_object *entry)
{
  json_object *serving = cs_json_member_object (entry, "serving");
  const char *path = cs_json_string (entry, "store");
  CsStore *store = serving != NULL && path != NULL ? cs_daemon_store (daemon, path, NULL) : NULL;
  if (store != NULL)
    cs_lazy_disks_undo (store, serving);
}

static void
undo_load (CsDaemon *daemon, json_object *entry)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsVmRef) ref = cs_vm_ref_from_json (cs_json_member_object (entry, "vm"), &error);
  if (ref == NULL || !cs_restore_journal_back (entry, &error))
    {
      g_warning ("a restore that was interrupted cannot be undone: %s", error->message);
      return;
    }
  undo_serving (daemon, entry);
  g_message ("VM '%s': undid its restore, which was interrupted", ref->name);
  cs_journal_remove (daemon->journal, "fill", ref);
  cs_journal_remove (daemon->journal, "load", ref);
}

static void
undo_loads (CsDaemon *daemon, GPtrArray *entries)
{
  for (guint i = 0; i < entries->len; i++)
    {
      json_object *entry = g_ptr_array_index (entries, i);
      if (is_kind (entry, "load") && !was_released (daemon, entry))
        undo_load (daemon, entry);
    }
}

/* ---- memory that was still arriving ---- */

typedef struct
{
  CsVm *vm;
  CsStore *store;
  const char *snapshot; /* that its memory comes from */
  json_object *state;
} Resumption;

/* The VM's next snapshot is a delta to the image that its memory comes from: pages that are not
 * there yet are in no other place.  What the killed daemon's scans consumed is not known, so all
 * that is there counts as written. */
static CsVmBase *
base_of_filling (const Resumption *resumption, CsRestore *restore, GError **error)
{
  CsTracker *tracker = cs_restore_tracker (restore);
  json_object *document = cs_json_member_object (resumption->state, "vm");
  CsVmBase *base =
      cs_vm_base_new (resumption->store, cs_json_string (document, "image"), tracker, NULL, NULL);
  base->snapshot = g_strdup (resumption->snapshot);
  for (guint i = 0; i < cs_tracker_n_blocks (tracker); i++)
    {
      CsBitmap *written = g_hash_table_lookup (base->blocks, cs_tracker_block (tracker, i)->name);
      if (cs_tracker_resident (tracker, i, written, error))
        continue;
      cs_vm_base_free (base);
      return NULL;
    }
  return base;
}

static bool
resume_filling (gpointer data, GError **error)
{
  Resumption *resumption = data;
  CsRestore *restore = cs_restore_from_json (resumption->store, resumption->state, error);
  if (restore == NULL)
    return false;
  /* Killed between the journal and cont: all VMs of the restore were loaded, so it goes on, and is
   * not ended where that fails now. */
  cs_restore_commit (restore);
  bool running = json_object_get_boolean (json_object_object_get (resumption->state, "running"));
  if (!running && !cs_restore_resume (restore, error))
    {
      cs_restore_free (restore);
      return false;
    }
  cs_restore_commit (restore);
  g_autoptr (GError) unknown = NULL;
  /* What was written since its memory came, nobody knows: its next snapshot is a whole one. */
  bool disks_only = cs_restore_lazy (restore) == NULL;
  CsVmBase *base = disks_only ? NULL : base_of_filling (resumption, restore, &unknown);
  if (base != NULL || disks_only)
    cs_vm_adopt (resumption->vm, cs_restore_monitor (restore), base);
  else
    g_warning ("VM '%s': it can be captured when its memory is complete: %s",
               resumption->vm->ref->name, unknown->message);
  cs_vm_set_filling (resumption->vm, restore);
  return true;
}

/* A VM that ended while its disks were being filled: they get the rest now, before anybody starts
 * it again.  Delays our start; where it fails the entry stays for the next one. */
static bool
fill_offline (CsDaemon *daemon, json_object *entry, GError **error)
{
  json_object *restore = cs_json_member_object (entry, "restore");
  json_object *disks = cs_json_member_object (restore, "disks");
  json_object *document = cs_json_member_object (restore, "vm");
  const char *path = cs_json_string (entry, "store");
  if (disks == NULL)
    return true;
  CsStore *store = cs_daemon_store (daemon, path ? path : "", error);
  g_autoptr (CsLazyDisks) lazy = NULL;
  if (store != NULL)
    lazy =
        cs_lazy_disks_from_json (store, cs_json_member_object (document, "source"), disks, error);
  return lazy != NULL && cs_lazy_disks_finish_offline (lazy, error);
}

/* Whose fill goes on: added to @filling. */
static bool
recover_filling (CsDaemon *daemon, json_object *entry, GPtrArray *filling, GError **error)
{
  g_autoptr (CsVmRef) ref = cs_vm_ref_from_json (cs_json_member_object (entry, "vm"), error);
  if (ref == NULL)
    return false;
  if (!cs_journal_is_current (entry))
    {
      if (!fill_offline (daemon, entry, error))
        {
          g_prefix_error (error, "VM '%s': its disks are still lazy: ", ref->name);
          return false;
        }
      cs_journal_remove (daemon->journal, "fill", ref);
      return true;
    }
  Resumption resumption = { .vm = cs_vm_table_get (daemon->vms, ref),
                            .snapshot = cs_json_string (entry, "snapshot"),
                            .state = cs_json_member_object (entry, "restore") };
  const char *store = cs_json_string (entry, "store");
  g_autoptr (GError) own = NULL;
  resumption.store = cs_daemon_store (daemon, store ? store : "", &own);
  if (resumption.store != NULL
      && cs_worker_run (resumption.vm->worker, resume_filling, &resumption, &own))
    {
      bool memory = cs_restore_lazy (cs_vm_filling (resumption.vm)) != NULL;
      g_message ("VM '%s': goes on with filling its %s", ref->name, memory ? "memory" : "disks");
      g_ptr_array_add (filling, resumption.vm);
      return true;
    }
  /* Killed between the last page and the end of the entry. */
  if (g_error_matches (own, CS_ERROR, CS_ERROR_STATE))
    {
      cs_journal_remove (daemon->journal, "fill", ref);
      return true;
    }
  g_propagate_prefixed_error (error, g_steal_pointer (&own),
                              "VM '%s' waits for memory that cannot be brought: ", ref->name);
  return false;
}

/* ---- VMs that were paused ---- */

typedef struct
{
  CsDaemon *daemon;
  CsVm *vm;
  json_object *entry;
  CsTask *task;
  bool resumed; /* it stood */
} Pause;

static void
pause_free (gpointer data)
{
  Pause *pause = data;
  json_object_put (pause->entry);
  g_free (pause);
}

/* In the VM's worker.  Things of ours that cannot be taken out of its QEMU now are the next
 * snapshot's to remove. */
static bool
resume_one (gpointer data, GError **error)
{
  Pause *pause = data;
  CsVm *vm = pause->vm;
  const char *kind = cs_json_string (pause->entry, "kind");
  if (is_kind (pause->entry, "load") && !cs_restore_journal_forward (pause->entry, error))
    return false;
  /* A rollback of it could not be finished: half taken back it must not run. */
  bool is_half_back = is_kind (pause->entry, "pause")
                      && cs_journal_has (pause->daemon->journal, "rollback", vm->ref);
  if (!cs_journal_is_current (pause->entry) || is_half_back)
    {
      cs_journal_remove (pause->daemon->journal, kind, vm->ref);
      return true;
    }
  g_autoptr (CsMonitor) own = cs_vm_filling (vm) ? NULL : cs_vm_ref_connect (vm->ref, error);
  CsMonitor *monitor = own != NULL ? own : cs_vm_monitor (vm);
  bool running = true;
  if (monitor == NULL || !cs_monitor_status (monitor, &running, NULL, error))
    return false;
  g_autoptr (GError) unsettled = NULL;
  if (!running && cs_vm_filling (vm) != NULL
      && !cs_restore_settle_disks (cs_vm_filling (vm), &unsettled))
    g_warning ("VM '%s': %s", vm->ref->name, unsettled->message);
  if (!running && !cs_monitor_cont (monitor, error))
    return false;
  /* It ran before the one before us could say so. */
  cs_pause_priority_drop (cs_monitor_pid (monitor));
  pause->resumed = !running;
  g_autoptr (GError) left = NULL;
  if (!cs_disks_cleanup (monitor, vm->base ? vm->base->bitmap : NULL, &left))
    g_warning ("VM '%s': %s", vm->ref->name, left->message);
  cs_journal_remove (pause->daemon->journal, kind, vm->ref);
  return true;
}

static GPtrArray *
pauses_of (CsDaemon *daemon, GPtrArray *entries)
{
  GPtrArray *pauses = g_ptr_array_new_with_free_func (pause_free);
  for (guint i = 0; i < entries->len; i++)
    {
      json_object *entry = g_ptr_array_index (entries, i);
      g_autoptr (GError) error = NULL;
      if (!is_kind (entry, "pause") && (!is_kind (entry, "load") || !was_released (daemon, entry)))
        continue;
      g_autoptr (CsVmRef) ref = cs_vm_ref_from_json (cs_json_member_object (entry, "vm"), &error);
      if (ref == NULL)
        {
          g_warning ("damaged journal entry: %s", error->message);
          continue;
        }
      Pause *pause = g_new0 (Pause, 1);
      pause->daemon = daemon;
      pause->vm = cs_vm_table_get (daemon->vms, ref);
      pause->entry = json_object_get (entry);
      g_ptr_array_add (pauses, pause);
    }
  return pauses;
}

/* All at once, so that none waits for one that does not answer.  Leaves in @pauses what is to be
 * tried again. */
static void
resume_all (GPtrArray *pauses)
{
  guint resumed = 0;
  for (guint i = 0; i < pauses->len; i++)
    {
      Pause *pause = g_ptr_array_index (pauses, i);
      pause->task = cs_worker_post (pause->vm->worker, resume_one, pause);
    }
  for (guint i = pauses->len; i-- > 0;)
    {
      Pause *pause = g_ptr_array_index (pauses, i);
      g_autoptr (GError) error = NULL;
      bool done = cs_task_wait (pause->task, &error);
      resumed += done && pause->resumed;
      if (done)
        g_ptr_array_remove_index_fast (pauses, i);
      else
        g_warning ("VM '%s' may be left paused, trying again: %s", pause->vm->ref->name,
                   error->message);
    }
  if (resumed > 0)
    g_message ("resumed %u VM(s) that a clusnapd before us had paused", resumed);
}

/* True when the VM needs no further attempt.  A VM that a job has claimed meanwhile was found
 * running by its first look. */
static bool
try_again (Pause *pause)
{
  if (!cs_vm_claim_briefly (pause->vm, "its recovery", NULL))
    return false;
  bool done = cs_worker_run (pause->vm->worker, resume_one, pause, NULL);
  cs_vm_release (pause->vm);
  if (done && pause->resumed)
    g_message ("resumed VM '%s', which had not answered", pause->vm->ref->name);
  return done;
}

typedef struct
{
  CsDaemon *daemon;
  GPtrArray *pauses;
} Retry;

static gpointer
retry (gpointer data)
{
  g_autofree Retry *again = data;
  g_autoptr (GPtrArray) pauses = again->pauses;
  CsDaemon *daemon = again->daemon;
  g_mutex_lock (&daemon->lock);
  while (pauses->len > 0 && !daemon->ending)
    {
      gint64 until = g_get_monotonic_time () + RETRY_INTERVAL;
      if (g_cond_wait_until (&daemon->ended, &daemon->lock, until))
        continue;
      g_mutex_unlock (&daemon->lock);
      for (guint i = pauses->len; i-- > 0;)
        if (try_again (g_ptr_array_index (pauses, i)))
          g_ptr_array_remove_index_fast (pauses, i);
      g_mutex_lock (&daemon->lock);
    }
  g_mutex_unlock (&daemon->lock);
  cs_journal_sweep_marks (daemon->journal);
  return NULL;
}

static void
retry_later (CsDaemon *daemon, GPtrArray *pauses)
{
  Retry *again = g_new0 (Retry, 1);
  again->daemon = daemon;
  again->pauses = g_ptr_array_ref (pauses);
  daemon->recoverer = g_thread_new ("recoverer", retry, again);
}

void
cs_daemon_recover (CsDaemon *daemon)
{
  cs_journal_sweep_unfinished (daemon->journal);
  g_autoptr (GPtrArray) loads = cs_journal_read (daemon->journal);
  undo_loads (daemon, loads);
  g_autoptr (GPtrArray) entries = cs_journal_read (daemon->journal);
  g_autoptr (GPtrArray) filling = g_ptr_array_new ();
  for (guint i = 0; i < entries->len; i++)
    {
      g_autoptr (GError) error = NULL;
      json_object *entry = g_ptr_array_index (entries, i);
      if (is_kind (entry, "fill") && !recover_filling (daemon, entry, filling, &error))
        g_warning ("%s", error->message);
    }
  cs_daemon_recover_clones (daemon);
  cs_host_rollback_recover (daemon);
  g_autoptr (GPtrArray) standing = cs_journal_read (daemon->journal);
  g_autoptr (GPtrArray) pauses = pauses_of (daemon, standing);
  resume_all (pauses);
  cs_journal_sweep_marks (daemon->journal);
  for (guint i = 0; i < filling->len; i++)
    cs_daemon_watch_filling (daemon, g_ptr_array_index (filling, i));
  if (pauses->len > 0)
    retry_later (daemon, pauses);
}
