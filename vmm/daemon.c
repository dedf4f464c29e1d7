#include "config.h"

#include "vmm/daemon.h"

#include "common/error.h"
#include "common/fault.h"
#include "common/json.h"
#include "vmm/host-rollback.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum
{
  LOCK_RETRIES = 200,    /* while a clusnapd that was killed is being taken apart */
  LOCK_RETRY = 10000,    /* us */
  CLAIM_RETRY = 20000,   /* us between two attempts to claim a VM that a job holds */
  DISK_STEP = 500000,    /* us between two looks at disks that are being filled */
  KEEP_TIME = 600000000, /* us that what a rollback has read is kept for the next one */
};

static bool
lock_run_directory (CsDaemon *daemon, const char *run_directory, GError **error)
{
  g_autofree char *path = g_build_filename (run_directory, "lock", NULL);
  daemon->lock_fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (daemon->lock_fd < 0)
    return cs_error_set_errno (error, errno, "cannot open '%s'", path);
  for (guint i = 0; i < LOCK_RETRIES; i++)
    {
      if (flock (daemon->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
      g_usleep (LOCK_RETRY);
    }
  g_set_error (
      error, CS_ERROR, CS_ERROR_BUSY,
      "another clusnapd runs with run directory '%s': give this one its own with --run-dir",
      run_directory);
  return false;
}

CsDaemon *
cs_daemon_new (const CsDaemonOptions *options, GError **error)
{
  g_autoptr (CsDaemon) daemon = g_new0 (CsDaemon, 1);
  g_autofree char *journal = g_build_filename (options->run_directory, "journal", NULL);
  daemon->lock_fd = -1;
  g_mutex_init (&daemon->lock);
  g_mutex_init (&daemon->lines_lock);
  daemon->retired_lines = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_cluster_lines_free);
  daemon->lines = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                         (GDestroyNotify)cs_cluster_lines_free);
  g_cond_init (&daemon->filled);
  daemon->vms = cs_vm_table_new ();
  daemon->kept = cs_kept_pages_new (options->rollback_memory);
  daemon->stores =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)cs_store_close);
  daemon->retired = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_store_close);
  daemon->scratch_directory = g_strdup (options->scratch_directory);
  daemon->log_directory = g_strdup (options->log_directory);
  daemon->state_directory = g_strdup (options->state_directory);
  daemon->clones_directory = g_build_filename (options->state_directory, "clones", NULL);
  daemon->clones = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  daemon->serve_directory = g_build_filename (options->run_directory, "serve", NULL);
  const char *directories[] = { options->run_directory, daemon->scratch_directory,
                                daemon->log_directory };
  for (gsize i = 0; i < G_N_ELEMENTS (directories); i++)
    if (g_mkdir_with_parents (directories[i], 0700) < 0)
      {
        cs_error_set_errno (error, errno, "cannot make directory '%s'", directories[i]);
        return NULL;
      }
  /* QEMU of another user passes through, to the sockets; what else lies there has modes of its own.
   */
  if (g_mkdir (daemon->serve_directory, 0711) < 0 && errno != EEXIST)
    {
      cs_error_set_errno (error, errno, "cannot make directory '%s'", daemon->serve_directory);
      return NULL;
    }
  if (chmod (daemon->serve_directory, 0711) < 0 || chmod (options->run_directory, 0711) < 0)
    {
      cs_error_set_errno (error, errno, "cannot open '%s' for QEMU", daemon->serve_directory);
      return NULL;
    }
  if (!lock_run_directory (daemon, options->run_directory, error))
    return NULL;
  g_cond_init (&daemon->ended);
  daemon->journal = cs_journal_open (journal, error);
  return daemon->journal ? g_steal_pointer (&daemon) : NULL;
}

void
cs_daemon_sweep (CsDaemon *daemon)
{
  cs_daemon_sweep_lines (daemon);
  cs_kept_pages_expire (daemon->kept, g_get_monotonic_time () - KEEP_TIME);
}

void
cs_daemon_free (CsDaemon *daemon)
{
  if (daemon == NULL)
    return;
  g_mutex_lock (&daemon->lock);
  daemon->leaving = true;
  if (daemon->filling > 0)
    g_message ("waiting for the memory of %u VMs, which arrives after a restore", daemon->filling);
  while (daemon->filling > 0)
    g_cond_wait (&daemon->filled, &daemon->lock);
  daemon->ending = true;
  g_cond_broadcast (&daemon->ended);
  g_mutex_unlock (&daemon->lock);
  g_clear_pointer (&daemon->recoverer, g_thread_join);
  cs_vm_table_free (daemon->vms);
  cs_kept_pages_free (daemon->kept);
  g_hash_table_unref (daemon->stores);
  g_ptr_array_unref (daemon->retired);
  cs_journal_free (daemon->journal);
  if (daemon->lock_fd >= 0)
    close (daemon->lock_fd);
  g_free (daemon->scratch_directory);
  g_free (daemon->log_directory);
  g_free (daemon->state_directory);
  g_free (daemon->clones_directory);
  g_hash_table_unref (daemon->lines);
  g_ptr_array_unref (daemon->retired_lines);
  g_mutex_clear (&daemon->lines_lock);
  g_hash_table_unref (daemon->clones);
  g_free (daemon->serve_directory);
  g_mutex_clear (&daemon->lock);
  g_cond_clear (&daemon->filled);
  g_cond_clear (&daemon->ended);
  g_free (daemon);
}

/* Whether directory @path still is the one that @store was opened in: somebody may have removed it
 * and made another. */
static bool
store_is_current (const CsStore *store, const char *path)
{
  g_autofree char *marker = g_build_filename (path, "clusnap-store.json", NULL);
  g_autoptr (CsJson) content = json_object_from_file (marker);
  return g_strcmp0 (cs_json_string (content, "uuid"), cs_store_uuid (store)) == 0;
}

CsStore *
cs_daemon_store (CsDaemon *daemon, const char *path, GError **error)
{
  if (!g_path_is_absolute (path))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "store path '%s' is not absolute", path);
      return NULL;
    }
  g_autofree char *canonical = g_canonicalize_filename (path, NULL);
  g_mutex_lock (&daemon->lock);
  CsStore *store = g_hash_table_lookup (daemon->stores, canonical);
  if (store != NULL && !store_is_current (store, canonical))
    {
      g_hash_table_steal (daemon->stores, canonical);
      g_ptr_array_add (daemon->retired, g_steal_pointer (&store));
    }
  if (store == NULL && (store = cs_store_open (canonical, error)) != NULL)
    g_hash_table_insert (daemon->stores, g_strdup (canonical), store);
  g_mutex_unlock (&daemon->lock);
  return store;
}

bool
cs_daemon_claim_clone (CsDaemon *daemon, const char *name, GError **error)
{
  g_mutex_lock (&daemon->lock);
  bool claimed = g_hash_table_add (daemon->clones, g_strdup (name));
  g_mutex_unlock (&daemon->lock);
  if (!claimed)
    g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                 "clone '%s' is being made or removed by somebody else: try again later", name);
  return claimed;
}

void
cs_daemon_release_clone (CsDaemon *daemon, const char *name)
{
  g_mutex_lock (&daemon->lock);
  g_hash_table_remove (daemon->clones, name);
  g_mutex_unlock (&daemon->lock);
}

/* ---- memory that is still arriving ---- */

typedef struct
{
  CsDaemon *daemon;
  CsVm *vm;
  bool warned;
} FillWatch;

/* Who would resume a VM that we stop for a moment, should we be killed?  One that its user has
 * paused is not ours to resume: *@added is false. */
static bool
journal_pause (CsJournal *journal, CsVm *vm, CsMonitor *monitor, bool *added, GError **error)
{
  bool running;
  *added = false;
  if (!cs_monitor_status (monitor, &running, NULL, error))
    return false;
  if (running)
    *added = cs_journal_add (journal, "pause", vm->ref, cs_monitor_pid (monitor), NULL, error);
  return *added || !running;
}

/* @func stops the VM. */
static bool
journalled (const FillWatch *watch, CsRestore *restore,
            bool (*func) (CsRestore *restore, GError **error), GError **error)
{
  CsVm *vm = watch->vm;
  CsJournal *journal = watch->daemon->journal;
  CsMonitor *monitor = cs_restore_monitor (restore);
  bool added;
  bool done = journal_pause (journal, vm, monitor, &added, error) && func (restore, error);
  if (added && cs_monitor_make_run (monitor, NULL))
    cs_journal_remove (journal, "pause", vm->ref);
  return done;
}

static bool
finish_restore (CsRestore *restore, GError **error)
{
  return cs_restore_finish (restore, NULL, error);
}

/* @error is needed. */
static bool
finish_memory (const FillWatch *watch, CsRestore *restore, GError **error)
{
  bool finished = journalled (watch, restore, finish_restore, error);
  if (!finished)
    g_warning ("VM '%s': its memory is not complete: %s", watch->vm->ref->name, (*error)->message);
  return finished;
}

/* We end, its disks are still lazy: the next clusnapd goes on with them, which the entry in the
 * journal tells it.  Without QEMU it has all of them to do. */
static bool
leave_disks (gpointer data, GError **error)
{
  const FillWatch *watch = data;
  CsVm *vm = watch->vm;
  CsRestore *restore = cs_vm_filling (vm);
  g_autoptr (GError) own = NULL;
  if (restore == NULL || !cs_monitor_is_alive (cs_restore_monitor (restore)))
    return true;
  bool left = finish_memory (watch, restore, &own) && cs_fault_point ("leave", &own);
  json_object *state = left ? cs_restore_to_json (restore) : NULL;
  if (state != NULL)
    left = cs_journal_change (watch->daemon->journal, "fill", vm->ref, "restore", state, &own);
  else if (left)
    cs_journal_remove (watch->daemon->journal, "fill", vm->ref);
  if (left && state != NULL)
    g_message ("VM '%s': the next clusnapd goes on with filling its disks", vm->ref->name);
  if (own != NULL)
    g_warning ("VM '%s': the next clusnapd is told of its memory, not only of its disks: %s",
               vm->ref->name, own->message);
  return true;
}

static bool
finish_filling (gpointer data, GError **error)
{
  const FillWatch *watch = data;
  CsVm *vm = watch->vm;
  CsRestore *restore = cs_vm_filling (vm);
  /* A snapshot or another restore of the VM found its QEMU gone before we did. */
  if (restore == NULL)
    return true;
  g_autoptr (GError) own = NULL;
  CsMonitor *monitor = cs_restore_monitor (restore);
  bool finished = finish_memory (watch, restore, &own);
  /* Disks that nobody completes now are completed by the next clusnapd. */
  bool gone = !cs_monitor_is_alive (monitor) && !cs_restore_disks_are_filling (restore);
  cs_vm_end_filling (vm, finished ? NULL : own->message);
  if (!finished && !gone)
    g_propagate_error (error, g_steal_pointer (&own));
  return finished || gone;
}

/* What a restore leaves for when its VMs run: not to delay the answer to it. */
static bool
commit_disks (gpointer data, GError **error)
{
  const FillWatch *watch = data;
  CsRestore *restore = cs_vm_filling (watch->vm);
  if (restore != NULL)
    cs_restore_commit_disks (restore);
  cs_journal_remove (watch->daemon->journal, "load", watch->vm->ref);
  cs_journal_sweep_marks (watch->daemon->journal);
  return true;
}

static bool
step_disks_task (gpointer data, GError **error)
{
  const FillWatch *watch = data;
  CsRestore *restore = cs_vm_filling (watch->vm);
  if (restore == NULL)
    return true;
  bool ok = cs_restore_step_disks (restore, error);
  return (!cs_restore_disks_want_stop (restore)
          || journalled (watch, restore, cs_restore_change_over_disks, ok ? error : NULL))
         && ok;
}

/* A job that has the VM claimed comes first; a failure (of the store, of libvirt) may pass. */
static void
step_disks (FillWatch *watch)
{
  CsVm *vm = watch->vm;
  g_autoptr (GError) error = NULL;
  if (cs_vm_claim_briefly (vm, "filling its disks", NULL))
    {
      bool ok = cs_worker_run (vm->worker, step_disks_task, watch, &error);
      cs_vm_release (vm);
      if (!ok && !watch->warned)
        g_warning ("%s; trying again", error->message);
      watch->warned = !ok;
    }
  if (!cs_vm_fill_is_complete (vm))
    g_usleep (DISK_STEP);
}

/* Only disks are left to do, and that to the next clusnapd. */
static bool
is_left (const FillWatch *watch)
{
  CsDaemon *daemon = watch->daemon;
  g_mutex_lock (&daemon->lock);
  bool leaving = daemon->leaving;
  g_mutex_unlock (&daemon->lock);
  return leaving && cs_vm_disks_are_filling (watch->vm);
}

static gpointer
watch_filling (gpointer data)
{
  g_autofree FillWatch *watch = data;
  CsVm *vm = watch->vm;
  bool left;
  cs_worker_run (vm->worker, commit_disks, watch, NULL);
  while (!(left = is_left (watch)) && !cs_vm_fill_is_complete (vm))
    if (cs_vm_disks_are_filling (vm))
      step_disks (watch);
    else
      g_usleep (CLAIM_RETRY);
  while (!cs_vm_claim_briefly (vm, "the end of a restore", NULL))
    g_usleep (CLAIM_RETRY);
  /* What failed stays in the journal: a clusnapd that starts anew tries again, and until then the
   * guest waits for the pages that are missing rather than reading something else. */
  if (left)
    cs_worker_run (vm->worker, leave_disks, watch, NULL);
  else if (cs_worker_run (vm->worker, finish_filling, watch, NULL))
    cs_journal_remove (watch->daemon->journal, "fill", vm->ref);
  cs_vm_release (vm);
  g_mutex_lock (&watch->daemon->lock);
  watch->daemon->filling--;
  g_cond_broadcast (&watch->daemon->filled);
  g_mutex_unlock (&watch->daemon->lock);
  return NULL;
}

void
cs_daemon_watch_filling (CsDaemon *daemon, CsVm *vm)
{
  FillWatch *watch = g_new0 (FillWatch, 1);
  watch->daemon = daemon;
  watch->vm = vm;
  g_mutex_lock (&daemon->lock);
  daemon->filling++;
  g_mutex_unlock (&daemon->lock);
  g_thread_unref (g_thread_new ("fill-watch", watch_filling, watch));
}
