#include "config.h"

#include "vmm/vm.h"

#include "common/bitmap.h"
#include "common/error.h"
#include "vmm/disk.h"

#include <string.h>

enum
{
  BRIEF_CLAIM = 30000000, /* us */
};

struct CsVmTable
{
  GMutex lock;
  GHashTable *vms; /* key -> CsVm, under lock; entries stay */
};

static CsVm *
vm_new (const CsVmRef *ref, const char *key)
{
  CsVm *vm = g_new0 (CsVm, 1);
  vm->key = g_strdup (key);
  vm->ref = cs_vm_ref_copy (ref);
  vm->worker = cs_worker_new ("vm");
  g_mutex_init (&vm->lock);
  g_cond_init (&vm->fill_ended);
  g_cond_init (&vm->unclaimed);
  return vm;
}

static void
vm_free (gpointer data)
{
  CsVm *vm = data;
  cs_worker_free (vm->worker);
  cs_restore_free (vm->filling);
  cs_vm_close (vm);
  cs_vm_forget_base (vm);
  cs_vm_ref_free (vm->ref);
  g_mutex_clear (&vm->lock);
  g_cond_clear (&vm->fill_ended);
  g_cond_clear (&vm->unclaimed);
  g_free (vm->base_image);
  g_free (vm->fill_failure);
  g_free (vm->claimed_by);
  g_free (vm->key);
  g_free (vm);
}

CsVmTable *
cs_vm_table_new (void)
{
  CsVmTable *table = g_new0 (CsVmTable, 1);
  g_mutex_init (&table->lock);
  table->vms = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, vm_free);
  return table;
}

void
cs_vm_table_free (CsVmTable *table)
{
  if (table == NULL)
    return;
  g_hash_table_unref (table->vms);
  g_mutex_clear (&table->lock);
  g_free (table);
}

CsVm *
cs_vm_table_get (CsVmTable *table, const CsVmRef *ref)
{
  g_autofree char *key = cs_vm_ref_key (ref);
  g_mutex_lock (&table->lock);
  CsVm *vm = g_hash_table_lookup (table->vms, key);
  if (vm == NULL)
    {
      vm = vm_new (ref, key);
      g_hash_table_insert (table->vms, g_strdup (key), vm);
    }
  g_mutex_unlock (&table->lock);
  return vm;
}

static bool
claim (CsVm *vm, const char *holder, bool brief, GError **error)
{
  gint64 end = g_get_monotonic_time () + BRIEF_CLAIM;
  g_mutex_lock (&vm->lock);
  while (vm->claimed_by != NULL && vm->claim_is_brief
         && g_cond_wait_until (&vm->unclaimed, &vm->lock, end))
    ;
  bool claimed = vm->claimed_by == NULL;
  if (claimed)
    {
      vm->claimed_by = g_strdup (holder);
      vm->claim_is_brief = brief;
    }
  else
    g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                 "VM '%s' is busy with %s: wait for its end, or stop it", vm->ref->name,
                 vm->claimed_by);
  g_mutex_unlock (&vm->lock);
  return claimed;
}

bool
cs_vm_claim (CsVm *vm, const char *holder, GError **error)
{
  return claim (vm, holder, false, error);
}

bool
cs_vm_claim_briefly (CsVm *vm, const char *holder, GError **error)
{
  return claim (vm, holder, true, error);
}

void
cs_vm_release (CsVm *vm)
{
  g_mutex_lock (&vm->lock);
  g_clear_pointer (&vm->claimed_by, g_free);
  g_cond_broadcast (&vm->unclaimed);
  g_mutex_unlock (&vm->lock);
}

CsRestore *
cs_vm_filling (CsVm *vm)
{
  g_mutex_lock (&vm->lock);
  CsRestore *filling = vm->filling;
  g_mutex_unlock (&vm->lock);
  return filling;
}

CsMonitor *
cs_vm_monitor (CsVm *vm)
{
  CsRestore *filling = cs_vm_filling (vm);
  return filling != NULL ? cs_restore_monitor (filling) : vm->monitor;
}

CsTracker *
cs_vm_tracker (CsVm *vm)
{
  CsRestore *filling = cs_vm_filling (vm);
  CsTracker *tracker = filling != NULL ? cs_restore_tracker (filling) : NULL;
  return tracker != NULL ? tracker : vm->tracker;
}

void
cs_vm_reset (CsVm *vm)
{
  if (cs_vm_filling (vm) != NULL)
    cs_vm_end_filling (vm, "the VM was restored again while its memory was arriving");
  cs_vm_close (vm);
  cs_vm_forget_base (vm);
}

void
cs_vm_adopt (CsVm *vm, CsMonitor *monitor, CsVmBase *base)
{
  vm->pid = cs_monitor_pid (monitor);
  vm->start_time = cs_process_start_time (vm->pid);
  cs_vm_set_base (vm, base);
}

void
cs_vm_set_filling (CsVm *vm, CsRestore *restore)
{
  g_mutex_lock (&vm->lock);
  vm->filling = restore;
  vm->fill_ended_at = 0;
  g_clear_pointer (&vm->fill_failure, g_free);
  g_mutex_unlock (&vm->lock);
}

/* The pages that the restore's own last scan consumed. */
static void
take_dirty (CsVm *vm, CsRestore *restore)
{
  CsTracker *tracker = vm->tracker;
  CsBitmap **dirty = cs_restore_steal_dirty (restore);
  for (guint i = 0; dirty != NULL && dirty[i] != NULL; i++)
    {
      const CsRamBlock *block = cs_tracker_block (tracker, i);
      CsBitmap *carried = vm->base ? g_hash_table_lookup (vm->base->blocks, block->name) : NULL;
      if (carried != NULL && cs_bitmap_size (carried) == cs_bitmap_size (dirty[i]))
        cs_bitmap_or (carried, dirty[i]);
      else if (vm->base != NULL)
        g_hash_table_remove (vm->base->blocks, block->name);
      cs_bitmap_free (dirty[i]);
    }
  g_free (dirty);
}

/* The VM is gone: its disks must not need a server any more.  A QEMU that is just dying still has
 * them locked. */
static void
complete_disks (CsVm *vm, CsRestore *restore)
{
  g_autoptr (GError) error = NULL;
  for (guint attempt = 0; attempt < 10; attempt++)
    {
      g_clear_error (&error);
      if (cs_restore_step_disks (restore, &error))
        return;
      g_usleep (500000);
    }
  g_warning ("VM '%s' has ended and needs a server for its disks: %s", vm->ref->name,
             error->message);
}

void
cs_vm_end_filling (CsVm *vm, const char *failure)
{
  guint64 done, total, disk_done, disk_total;
  CsRestoreTimes times;
  CsRestore *restore = cs_vm_filling (vm);
  if (failure != NULL && !cs_monitor_is_alive (cs_restore_monitor (restore)))
    complete_disks (vm, restore);
  cs_restore_progress (restore, &done, &total);
  cs_restore_disk_progress (restore, &disk_done, &disk_total);
  cs_restore_times (restore, &times);
  if (failure != NULL)
    cs_vm_forget_base (vm);
  /* Of one whose memory was there when a clusnapd before us ended, only the disks are left. */
  else if (cs_restore_tracker (restore) != NULL)
    {
      vm->tracker = cs_restore_steal_tracker (restore);
      take_dirty (vm, restore);
    }
  g_mutex_lock (&vm->lock);
  vm->filling = NULL;
  vm->fill_pages = total;
  vm->fill_faults = times.faults;
  vm->fill_disk_bytes = disk_total;
  vm->fill_prefetched = times.prefetched;
  vm->fill_ended_at = g_get_monotonic_time ();
  vm->fill_failure = g_strdup (failure);
  g_cond_broadcast (&vm->fill_ended);
  g_mutex_unlock (&vm->lock);
  cs_restore_free (restore);
}

bool
cs_vm_fill_is_complete (CsVm *vm)
{
  g_mutex_lock (&vm->lock);
  bool complete = vm->filling == NULL || cs_restore_is_filled (vm->filling);
  g_mutex_unlock (&vm->lock);
  return complete;
}

bool
cs_vm_disks_are_filling (CsVm *vm)
{
  g_mutex_lock (&vm->lock);
  bool filling = vm->filling != NULL && cs_restore_disks_are_filling (vm->filling);
  g_mutex_unlock (&vm->lock);
  return filling;
}

bool
cs_vm_wait_filled (CsVm *vm, gint64 timeout)
{
  gint64 end = g_get_monotonic_time () + timeout;
  g_mutex_lock (&vm->lock);
  while (vm->filling != NULL && g_cond_wait_until (&vm->fill_ended, &vm->lock, end))
    ;
  bool filled = vm->filling == NULL;
  g_mutex_unlock (&vm->lock);
  return filled;
}

void
cs_vm_fill (CsVm *vm, CsVmFill *fill)
{
  g_mutex_lock (&vm->lock);
  *fill = (CsVmFill){ .done = vm->fill_pages,
                      .total = vm->fill_pages,
                      .faults = vm->fill_faults,
                      .disk_done = vm->fill_disk_bytes,
                      .disk_total = vm->fill_disk_bytes,
                      .prefetched = vm->fill_prefetched,
                      .ended_at = vm->fill_ended_at,
                      .failure = g_strdup (vm->fill_failure) };
  if (vm->filling != NULL)
    {
      cs_restore_progress (vm->filling, &fill->done, &fill->total);
      cs_restore_disk_progress (vm->filling, &fill->disk_done, &fill->disk_total);
    }
  g_mutex_unlock (&vm->lock);
}

bool
cs_vm_open (CsVm *vm, GError **error)
{
  CsRestore *filling = cs_vm_filling (vm);
  if (filling != NULL && cs_monitor_is_alive (cs_restore_monitor (filling)))
    {
      cs_monitor_forget_events (cs_restore_monitor (filling));
      return true;
    }
  if (filling != NULL)
    cs_vm_end_filling (vm, "the VM ended while its memory was arriving");
  cs_vm_close (vm);
  vm->monitor = cs_vm_ref_connect (vm->ref, error);
  if (vm->monitor == NULL)
    return false;
  pid_t pid = cs_monitor_pid (vm->monitor);
  guint64 start_time = cs_process_start_time (pid);
  if (pid != vm->pid || start_time != vm->start_time)
    {
      cs_vm_forget_base (vm);
      vm->pid = pid;
      vm->start_time = start_time;
    }
  return true;
}

void
cs_vm_close (CsVm *vm)
{
  g_clear_pointer (&vm->monitor, cs_monitor_close);
}

void
cs_vm_forget_base (CsVm *vm)
{
  cs_vm_set_base (vm, NULL);
  g_clear_pointer (&vm->tracker, cs_tracker_free);
  vm->pid = 0;
  vm->start_time = 0;
}

void
cs_vm_set_base (CsVm *vm, CsVmBase *base)
{
  if (base != NULL)
    cs_store_pin (base->store, base->image);
  if (vm->base != NULL)
    {
      cs_store_unpin (vm->base->store, vm->base->image);
      cs_vm_base_free (vm->base);
    }
  vm->base = base;
  g_mutex_lock (&vm->lock);
  g_free (vm->base_image);
  vm->base_image = g_strdup (base != NULL ? base->image : NULL);
  vm->base_pid = vm->pid;
  vm->base_start_time = vm->start_time;
  g_mutex_unlock (&vm->lock);
}

static bool
is_based_on (CsVm *vm, const char *image)
{
  g_mutex_lock (&vm->lock);
  bool is_base = g_strcmp0 (vm->base_image, image) == 0;
  pid_t pid = vm->base_pid;
  guint64 start_time = vm->base_start_time;
  g_mutex_unlock (&vm->lock);
  return is_base && start_time != 0 && cs_process_start_time (pid) == start_time;
}

bool
cs_vm_table_is_based_on (CsVmTable *table, json_object *images)
{
  gsize n = images != NULL ? json_object_array_length (images) : 0;
  g_mutex_lock (&table->lock);
  g_autoptr (GList) vms = g_hash_table_get_values (table->vms);
  g_mutex_unlock (&table->lock);
  for (gsize i = 0; i < n; i++)
    {
      const char *image = json_object_get_string (json_object_array_get_idx (images, i));
      for (GList *at = vms; image != NULL && at != NULL; at = at->next)
        if (is_based_on (at->data, image))
          return true;
    }
  return false;
}

static void
bitmap_free (gpointer data)
{
  cs_bitmap_free (data);
}

CsVmBase *
cs_vm_base_new (CsStore *store, const char *image, CsTracker *tracker, const char *bitmap,
                GPtrArray *disks)
{
  CsVmBase *base = g_new0 (CsVmBase, 1);
  base->store = store;
  base->image = g_strdup (image);
  base->bitmap = g_strdup (bitmap);
  base->disks = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  base->blocks = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, bitmap_free);
  for (guint i = 0; i < cs_tracker_n_blocks (tracker); i++)
    {
      const CsRamBlock *block = cs_tracker_block (tracker, i);
      g_hash_table_insert (base->blocks, g_strdup (block->name),
                           cs_bitmap_new (block->used_length / CS_PAGE_SIZE));
    }
  for (guint i = 0; disks != NULL && i < disks->len; i++)
    {
      const CsDisk *disk = g_ptr_array_index (disks, i);
      g_hash_table_insert (base->disks, g_strdup (disk->name),
                           g_strdup_printf ("%" G_GUINT64_FORMAT, disk->size));
    }
  return base;
}

void
cs_vm_base_free (CsVmBase *base)
{
  if (base == NULL)
    return;
  g_free (base->image);
  g_free (base->snapshot);
  g_free (base->bitmap);
  g_hash_table_unref (base->disks);
  g_hash_table_unref (base->blocks);
  g_free (base);
}

bool
cs_vm_base_has_disks (const CsVmBase *base, GPtrArray *disks)
{
  if (base->bitmap == NULL)
    return false;
  for (guint i = 0; i < disks->len; i++)
    {
      const CsDisk *disk = g_ptr_array_index (disks, i);
      g_autofree char *size = g_strdup_printf ("%" G_GUINT64_FORMAT, disk->size);
      if (g_strcmp0 (g_hash_table_lookup (base->disks, disk->name), size) != 0)
        return false;
    }
  return true;
}
