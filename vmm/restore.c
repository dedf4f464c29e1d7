/* Theory of operation
 *
 * The parts of a restore in the order in which they can fail: what can be checked without touching
 * anything is checked by cs_restore_new; the disks are written beside the old ones; then they
 * are switched, since QEMU opens its images when it starts; QEMU is started, waiting; its memory
 * is registered and tracked before it loads anything (restore-memory.c), so that what the loading
 * itself writes counts as written by the VM; then it gets its state (restore-feed.c).  Until
 * commit all of that can be undone: QEMU is ended first, then the old disks come back.
 *
 * After commit a lazy VM is filled behind the guest's back.  `finish` waits for that and then takes
 * micro-pauses in which missing pages become the kernel's own business again (lazy-end.c).  A
 * restore that is freed between resume and finish leaves a VM whose faults wait for somebody to
 * take cs_restore_to_json's record: a daemon that ends writes it to its journal first.
 */
#include "config.h"

#include "vmm/restore.h"

#include <string.h>

#include "common/error.h"
#include "common/fault.h"
#include "common/json.h"
#include "vmm/restore-feed.h"
#include "vmm/restore-memory.h"
#include "vmm/restore-private.h"

/* What a micro-pause at the end of a lazy restore may take, and for how many times as long the VM
 * runs before the next one. */
#define END_BUDGET_US 2000
#define END_RUN_FACTOR 4

CsRestore *
cs_restore_alloc (CsStore *store, CsRestoreDocument *document, GError **error)
{
  g_autoptr (CsRestore) restore = g_new0 (CsRestore, 1);
  restore->store = store;
  restore->document = document;
  restore->fill_rate = CS_LAZY_RATE_ADAPTIVE;
  restore->disks = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_disk_restore_free);
  restore->image = cs_image_open (store, document->image, error);
  if (restore->image == NULL)
    {
      g_prefix_error (error, "VM '%s': ", document->name);
      return NULL;
    }
  return cs_restore_document_bind (document, restore->image, error) ? g_steal_pointer (&restore)
                                                                    : NULL;
}

/* A VM's name may hold what a file name cannot. */
static char *
make_log_path (const char *directory, const char *name)
{
  g_autofree char *file = g_strconcat (name, ".log", NULL);
  g_strdelimit (file, "/", '_');
  return g_build_filename (directory, file, NULL);
}

CsRestore *
cs_restore_new (CsStore *store, json_object *vm, const CsRestoreOptions *options, GError **error)
{
  CsRestoreDocument *document = cs_restore_document_parse (vm, error);
  if (document == NULL)
    return NULL;
  g_autoptr (CsRestore) restore = cs_restore_alloc (store, document, error);
  if (restore == NULL || !cs_source_check_absent (document->source, error)
      || !cs_tracker_probe (error))
    return NULL;
  restore->is_lazy = options->lazy;
  restore->fill_rate = options->fill_rate;
  restore->has_disks = options->has_disks;
  restore->disk_bitmap = g_strdup (options->disk_bitmap);
  restore->serve_directory = options->lazy ? g_strdup (options->serve_directory) : NULL;
  if (options->log_directory != NULL)
    restore->log_path = make_log_path (options->log_directory, document->name);
  if (options->journal != NULL)
    {
      restore->journal =
          cs_restore_journal_new (options->journal, options->ref, options->job,
                                  restore->document->source, restore->document->disks, error);
      if (restore->journal == NULL)
        return NULL;
    }
  return g_steal_pointer (&restore);
}

static void
free_dirty (CsBitmap **dirty)
{
  for (guint i = 0; dirty != NULL && dirty[i] != NULL; i++)
    cs_bitmap_free (dirty[i]);
  g_free (dirty);
}

void
cs_restore_free (CsRestore *restore)
{
  if (restore == NULL)
    return;
  if (restore->state != RESTORE_NEW && !restore->committed)
    cs_source_kill (restore->document->source, restore->monitor);
  if (restore->committed)
    cs_restore_commit_disks (restore);
  cs_lazy_free (restore->lazy);
  cs_tracker_free (restore->tracker);
  cs_monitor_close (restore->monitor);
  g_ptr_array_unref (restore->disks);
  cs_restore_journal_free (restore->journal);
  cs_lazy_disks_free (restore->lazy_disks);
  free_dirty (restore->dirty);
  g_clear_pointer (&restore->hint, g_array_unref);
  cs_image_free (restore->image);
  cs_restore_document_free (restore->document);
  g_free (restore->serve_directory);
  g_free (restore->log_path);
  g_free (restore->disk_bitmap);
  g_free (restore);
}

/* --- load --- */

static gint64
lap (gint64 *since)
{
  gint64 now = g_get_monotonic_time (), took = now - *since;
  *since = now;
  return took;
}

static bool
check_cancelled (const CsRestore *restore, GCancellable *cancellable, GError **error)
{
  if (!g_cancellable_is_cancelled (cancellable))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_CANCELLED, "VM '%s': restoring was cancelled",
               restore->document->name);
  return false;
}

static bool
launch (CsRestore *restore, GError **error)
{
  if (restore->lazy_disks != NULL && !cs_lazy_disks_prepare (restore->lazy_disks, error))
    return false;
  g_autoptr (CsJson) source =
      restore->lazy_disks != NULL
          ? cs_lazy_disks_source (restore->lazy_disks, restore->document->source, error)
          : json_object_get (restore->document->source);
  if (source == NULL)
    return false;
  restore->monitor = cs_source_launch (source, restore->log_path, error);
  if (restore->monitor == NULL)
    return false;
  restore->state = RESTORE_LAUNCHED;
  return cs_fault_point ("launch", error)
         && cs_restore_journal_launched (restore->journal, cs_monitor_pid (restore->monitor), error)
         && cs_restore_document_check_qemu (restore->document, restore->monitor, error)
         && (restore->lazy_disks == NULL
             || cs_lazy_disks_check (restore->lazy_disks, restore->monitor, error));
}

typedef struct
{
  CsRestore *restore;
  CsRestoreMemory *memory;
} Feed;

static bool
feed_stream (CsStream *stream, void *user_data, GError **error)
{
  const Feed *feed = user_data;
  g_autoptr (GBytes) devices =
      cs_image_read_bytes (feed->restore->image, feed->restore->document->device_volume, error);
  return devices != NULL && cs_restore_memory_stream (feed->memory, stream, error)
         && cs_stream_end (stream, g_bytes_get_data (devices, NULL), g_bytes_get_size (devices),
                           error);
}

/* Where QEMU's own words are. */
static char *
find_log (const CsRestore *restore)
{
  json_object *domain;
  if (json_object_object_get_ex (restore->document->source, "domain", &domain))
    return g_strdup_printf ("/var/log/libvirt/qemu/%s.log", json_object_get_string (domain));
  return g_strdup (restore->log_path);
}

static bool
feed (CsRestore *restore, CsRestoreMemory *memory, GError **error)
{
  Feed context = { .restore = restore, .memory = memory };
  g_autofree char *log = find_log (restore);
  g_autoptr (GError) problem = NULL;
  if (restore->lazy != NULL)
    cs_lazy_set_kill_on_failure (restore->lazy, true);
  bool ok = cs_restore_feed (restore->monitor, restore->document->machine, log, feed_stream,
                             &context, &problem);
  /* A fault that the store could not answer is the cause, what it did to QEMU is not. */
  if (restore->lazy != NULL && !cs_lazy_check (restore->lazy, error))
    return false;
  if (restore->lazy != NULL)
    cs_lazy_set_kill_on_failure (restore->lazy, false);
  if (!ok)
    g_propagate_error (error, g_steal_pointer (&problem));
  return ok;
}

static bool
load_memory (CsRestore *restore, GCancellable *cancellable, GError **error)
{
  g_autoptr (CsRestoreMemory) memory = cs_restore_memory_new (
      restore->monitor, restore->image, restore->document, restore->is_lazy, cancellable, error);
  if (memory == NULL)
    return false;
  restore->lazy = cs_restore_memory_steal_lazy (memory);
  restore->tracker = cs_restore_memory_steal_tracker (memory);
  if (restore->lazy != NULL)
    {
      cs_lazy_set_fill_rate (restore->lazy, restore->fill_rate);
    }
  return feed (restore, memory, error);
}

static bool
track_disks (CsRestore *restore, GError **error)
{
  if (restore->disk_bitmap == NULL || restore->document->disks->len == 0)
    return true;
  g_autoptr (GPtrArray) disks = cs_disks_query (restore->monitor, error);
  return disks != NULL && cs_disks_track (restore->monitor, disks, restore->disk_bitmap, error);
}

bool
cs_restore_load (CsRestore *restore, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (restore->state == RESTORE_NEW, false);
  gint64 since = g_get_monotonic_time ();
  if ((!restore->has_disks && !cs_restore_write_disks (restore, cancellable, error))
      || !check_cancelled (restore, cancellable, error))
    return false;
  restore->times.disks = lap (&since);
  if (!launch (restore, error) || !check_cancelled (restore, cancellable, error))
    return false;
  restore->times.launch = lap (&since);
  if (!load_memory (restore, cancellable, error)
      || (restore->lazy_disks != NULL
          && !cs_lazy_disks_insert (restore->lazy_disks, restore->monitor, error))
      || !track_disks (restore, error) || !check_cancelled (restore, cancellable, error))
    return false;
  cs_monitor_learn_vcpus (restore->monitor);
  restore->times.load = lap (&since);
  restore->state = RESTORE_LOADED;
  return true;
}

/* --- resume and after --- */

bool
cs_restore_resume (CsRestore *restore, GError **error)
{
  g_return_val_if_fail (restore->state == RESTORE_LOADED, false);
  gint64 since = g_get_monotonic_time ();
  if (!cs_monitor_cont (restore->monitor, error))
    return false;
  restore->state = RESTORE_RUNNING;
  restore->times.resume = lap (&since);
  return true;
}

static void
start_fill (CsRestore *restore)
{
  if (restore->lazy == NULL || restore->state != RESTORE_RUNNING || restore->fill_begun)
    return;
  restore->fill_begun = true;
  cs_restore_use_hint (restore);
  cs_lazy_start_fill (restore->lazy);
}

void
cs_restore_commit (CsRestore *restore)
{
  start_fill (restore);
  restore->committed = true;
  if (restore->lazy_disks != NULL)
    cs_lazy_disks_keep (restore->lazy_disks);
}

void
cs_restore_progress (CsRestore *restore, guint64 *done, guint64 *total)
{
  *done = *total = 0;
  if (restore->lazy != NULL)
    cs_lazy_progress (restore->lazy, done, total);
}

bool
cs_restore_is_filled (CsRestore *restore)
{
  return (restore->lazy == NULL || cs_lazy_is_filled (restore->lazy))
         && !cs_restore_disks_are_filling (restore);
}

static CsBitmap **
alloc_dirty (CsTracker *tracker)
{
  guint n = cs_tracker_n_blocks (tracker);
  CsBitmap **dirty = g_new0 (CsBitmap *, n + 1);
  for (guint i = 0; i < n; i++)
    dirty[i] = cs_bitmap_new (cs_tracker_block (tracker, i)->used_length / CS_PAGE_SIZE);
  return dirty;
}

bool
cs_restore_micro_pause (CsRestore *restore, CsRestorePausedFunc func, void *data, gint64 *pause,
                        GError **error)
{
  bool running;
  g_autoptr (GError) problem = NULL;
  *pause = 0;
  cs_restore_flush_disks (restore);
  if (!cs_monitor_status (restore->monitor, &running, NULL, error))
    return false;
  gint64 since = g_get_monotonic_time ();
  if (running && !cs_monitor_stop (restore->monitor, error))
    return false;
  bool ok = func (restore, data, error);
  bool resumed = !running || cs_monitor_cont (restore->monitor, ok ? error : &problem);
  gint64 took = lap (&since);
  restore->times.micro_pause = MAX (restore->times.micro_pause, took);
  if (running)
    *pause = took;
  return ok && resumed;
}

static bool
end_in_pause (CsRestore *restore, void *finished, GError **error)
{
  return cs_fault_point ("end", error)
         && cs_lazy_end (restore->lazy, restore->dirty, END_BUDGET_US, finished, error);
}

static bool
end_some (CsRestore *restore, bool *finished, GError **error)
{
  gint64 pause;
  if (!cs_restore_micro_pause (restore, end_in_pause, finished, &pause, error))
    return false;
  if (!*finished)
    g_usleep ((gulong)(END_RUN_FACTOR * pause));
  return true;
}

static bool
end_lazy (CsRestore *restore, GError **error)
{
  for (bool finished = false; !finished;)
    if (!end_some (restore, &finished, error))
      return false;
  cs_lazy_end_serving (restore->lazy);
  return true;
}

static bool
wait_filled (CsRestore *restore, GCancellable *cancellable, GError **error)
{
  if (restore->reported)
    cs_lazy_start_fill (restore->lazy); /* perhaps the store is well again */
  bool ok = cs_lazy_wait_filled (restore->lazy, cancellable, error);
  restore->reported = !ok && !cs_lazy_check (restore->lazy, NULL);
  return ok;
}

bool
cs_restore_finish (CsRestore *restore, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (restore->state == RESTORE_RUNNING, false);
  cs_restore_commit_disks (restore);
  if (restore->lazy != NULL && !wait_filled (restore, cancellable, error))
    return false;
  if (restore->dirty == NULL && cs_restore_tracker (restore) != NULL)
    restore->dirty = alloc_dirty (cs_restore_tracker (restore));
  if (restore->lazy != NULL)
    {
      if (!end_lazy (restore, error))
        return false;
      cs_restore_save_hint (restore);
      restore->tracker = cs_lazy_steal_tracker (restore->lazy);
    }
  restore->state = RESTORE_FINISHED;
  return true;
}

void
cs_restore_times (CsRestore *restore, CsRestoreTimes *times)
{
  *times = restore->times;
  if (restore->lazy == NULL)
    return;
  CsLazyFaults faults;
  cs_lazy_faults (restore->lazy, &faults);
  times->faults = faults.count;
  times->prefetched = faults.prefetched;
  times->fault_time = faults.time;
  times->fault_longest = faults.longest;
}

CsMonitor *
cs_restore_monitor (CsRestore *restore)
{
  return restore->monitor;
}

CsMonitor *
cs_restore_steal_monitor (CsRestore *restore)
{
  g_return_val_if_fail (restore->state == RESTORE_FINISHED, NULL);
  return g_steal_pointer (&restore->monitor);
}

CsLazy *
cs_restore_lazy (CsRestore *restore)
{
  return restore->lazy;
}

CsTracker *
cs_restore_tracker (CsRestore *restore)
{
  if (restore->tracker != NULL || restore->lazy == NULL)
    return restore->tracker;
  return cs_lazy_tracker (restore->lazy);
}

CsTracker *
cs_restore_steal_tracker (CsRestore *restore)
{
  g_return_val_if_fail (restore->state == RESTORE_FINISHED, NULL);
  return g_steal_pointer (&restore->tracker);
}

CsBitmap **
cs_restore_steal_dirty (CsRestore *restore)
{
  g_return_val_if_fail (restore->state == RESTORE_FINISHED, NULL);
  return g_steal_pointer (&restore->dirty);
}
