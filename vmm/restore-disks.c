#include "config.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/error.h"
#include "common/fault.h"
#include "common/fd.h"
#include "vmm/restore-private.h"

/* More do not read the store any faster. */
#define DISKS_AT_ONCE 4

typedef struct
{
  const CsDisk *disk;
  guint volume;
  char *lazy_backing; /* NULL: written before the VM starts */
  CsDiskRestore *result;
  GError *error;
} DiskJob;

typedef struct
{
  CsImage *image;
  GCancellable *cancellable;
} DiskWork;

static void
write_disk (gpointer data, gpointer user_data)
{
  DiskJob *job = data;
  const DiskWork *work = user_data;
  job->result = cs_disk_restore_new (job->disk, work->image, job->volume, job->lazy_backing,
                                     work->cancellable, &job->error);
}

/* Runs the jobs; each has a result or an error afterwards. */
static bool
run_jobs (DiskJob *jobs, guint n, DiskWork *work, GError **error)
{
  g_autoptr (GError) problem = NULL;
  GThreadPool *pool = g_thread_pool_new (write_disk, work, DISKS_AT_ONCE, FALSE, &problem);
  if (pool == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "cannot start threads: %s", problem->message);
      return false;
    }
  for (guint i = 0; i < n; i++)
    g_thread_pool_push (pool, &jobs[i], NULL);
  g_thread_pool_free (pool, FALSE, TRUE);
  return true;
}

static bool
collect (CsRestore *restore, DiskJob *jobs, guint n, GError **error)
{
  bool ok = true;
  for (guint i = 0; i < n; i++)
    {
      if (jobs[i].result != NULL)
        g_ptr_array_add (restore->disks, jobs[i].result);
      else if (jobs[i].error != NULL && ok)
        {
          g_propagate_prefixed_error (error, g_steal_pointer (&jobs[i].error),
                                      "VM '%s': disk '%s': ", restore->document->name,
                                      jobs[i].disk->name);
          ok = false;
        }
      g_clear_error (&jobs[i].error);
      g_clear_pointer (&jobs[i].lazy_backing, g_free);
    }
  return ok;
}

/* The disks that are filled while the VM runs, where there are such. */
static bool
plan_lazy_disks (CsRestore *restore, DiskJob *jobs, guint n, GError **error)
{
  guint64 rate = restore->fill_rate > 0 ? (guint64)restore->fill_rate << 20 : 0;
  if (restore->serve_directory == NULL)
    return true;
  for (guint i = 0; i < n; i++)
    {
      if (!cs_lazy_disks_can (jobs[i].disk, restore->document->source))
        continue;
      if (restore->lazy_disks == NULL)
        restore->lazy_disks =
            cs_lazy_disks_new (restore->store, restore->document->image, restore->document->source,
                               restore->serve_directory, rate, error);
      if (restore->lazy_disks == NULL)
        {
          g_prefix_error (error, "VM '%s': ", restore->document->name);
          return false;
        }
      jobs[i].lazy_backing = cs_lazy_disks_add (restore->lazy_disks, jobs[i].disk, error);
      if (jobs[i].lazy_backing == NULL)
        {
          g_prefix_error (error, "VM '%s': disk '%s': ", restore->document->name,
                          jobs[i].disk->name);
          return false;
        }
    }
  return restore->lazy_disks == NULL
         || cs_restore_journal_serving (restore->journal, cs_store_path (restore->store),
                                        cs_lazy_disks_to_json (restore->lazy_disks), error);
}

bool
cs_restore_write_disks (CsRestore *restore, GCancellable *cancellable, GError **error)
{
  guint n = restore->document->disks->len;
  if (n == 0)
    return true;
  g_autofree DiskJob *jobs = g_new0 (DiskJob, n);
  for (guint i = 0; i < n; i++)
    {
      jobs[i].disk = g_ptr_array_index (restore->document->disks, i);
      jobs[i].volume = g_array_index (restore->document->disk_volumes, guint, i);
    }
  DiskWork work = { .image = restore->image, .cancellable = cancellable };
  if (!plan_lazy_disks (restore, jobs, n, error) || !run_jobs (jobs, n, &work, error)
      || !collect (restore, jobs, n, error) || !cs_fault_point ("disks", error)
      || !cs_restore_journal_switching (restore->journal, error))
    return false;
  for (guint i = 0; i < n; i++)
    if (!cs_disk_restore_switch (g_ptr_array_index (restore->disks, i), error))
      {
        g_prefix_error (error, "VM '%s': disk '%s': ", restore->document->name, jobs[i].disk->name);
        return false;
      }
  return cs_fault_point ("switch", error);
}

void
cs_restore_commit_disks (CsRestore *restore)
{
  for (guint i = 0; i < restore->disks->len; i++)
    cs_disk_restore_commit (g_ptr_array_index (restore->disks, i));
  g_ptr_array_set_size (restore->disks, 0);
}

void
cs_restore_flush_disks (CsRestore *restore)
{
  for (guint i = 0; i < restore->document->disks->len; i++)
    {
      const CsDisk *disk = g_ptr_array_index (restore->document->disks, i);
      if (!disk->writeback || disk->filename[0] == '\0')
        continue;
      const char *overlay =
          restore->lazy_disks != NULL ? cs_lazy_disks_overlay (restore->lazy_disks, disk) : NULL;
      /* A failure is QEMU's to find: its own flush follows. */
      cs_autofd int fd =
          open (overlay != NULL ? overlay : disk->filename, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
      if (fd >= 0)
        fdatasync (fd);
    }
}

/* Its memory is there, or needs none any more.  A process that is just ending loses its memory
 * before its monitor tells. */
static bool
is_done_with_memory (CsRestore *restore)
{
  g_autoptr (GError) error = NULL;
  if (restore->lazy == NULL)
    return true;
  return cs_lazy_is_filled (restore->lazy)
         && (cs_lazy_check (restore->lazy, &error)
             || g_error_matches (error, CS_ERROR, CS_ERROR_GONE)
             || !cs_monitor_is_alive (restore->monitor));
}

bool
cs_restore_disks_are_filling (CsRestore *restore)
{
  return restore->lazy_disks != NULL && !cs_lazy_disks_is_complete (restore->lazy_disks)
         && is_done_with_memory (restore);
}

bool
cs_restore_step_disks (CsRestore *restore, GError **error)
{
  if (restore->lazy_disks == NULL)
    return true;
  if (!cs_fault_point ("disk-fill", error))
    return false;
  bool ok = cs_monitor_is_alive (restore->monitor)
                ? cs_lazy_disks_step (restore->lazy_disks, restore->monitor, error)
                : cs_lazy_disks_finish_offline (restore->lazy_disks, error);
  if (!ok)
    g_prefix_error (error, "VM '%s': ", restore->document->name);
  return ok;
}

bool
cs_restore_disks_want_stop (CsRestore *restore)
{
  return restore->lazy_disks != NULL && cs_lazy_disks_want_stop (restore->lazy_disks);
}

static bool
change_over_in_pause (CsRestore *restore, void *data, GError **error)
{
  return cs_lazy_disks_change_over (restore->lazy_disks, restore->monitor, error);
}

bool
cs_restore_change_over_disks (CsRestore *restore, GError **error)
{
  gint64 pause;
  if (cs_restore_micro_pause (restore, change_over_in_pause, NULL, &pause, error))
    return true;
  g_prefix_error (error, "VM '%s': ", restore->document->name);
  return false;
}

bool
cs_restore_settle_disks (CsRestore *restore, GError **error)
{
  return restore->lazy_disks == NULL || cs_lazy_disks_settle (restore->lazy_disks, error);
}

bool
cs_restore_complete_disks (CsRestore *restore, GError **error)
{
  if (restore->lazy_disks == NULL || cs_lazy_disks_is_complete (restore->lazy_disks)
      || cs_lazy_disks_finish_offline (restore->lazy_disks, error))
    return true;
  g_prefix_error (
      error, "VM '%s': its disks of the last restore are not complete: ", restore->document->name);
  return false;
}

bool
cs_restore_hold_disks (CsRestore *restore, GError **error)
{
  return restore->lazy_disks == NULL
         || cs_lazy_disks_hold (restore->lazy_disks, restore->monitor, error);
}

void
cs_restore_disk_progress (CsRestore *restore, guint64 *done, guint64 *total)
{
  *done = *total = 0;
  if (restore->lazy_disks != NULL)
    cs_lazy_disks_progress (restore->lazy_disks, done, total);
}
