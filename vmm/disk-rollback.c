/* The rollback of all disks of one VM.
 *
 * Theory of operation.  While the VM runs every disk gets nodes that let us take its place in front
 * of the disk (disk-divert.c) and a writable export behind which there is an empty node yet;
 * the export's block status is that of the live dirty bitmap, or of the disk's allocation where
 * all is to be written.  The connections are made then, and the old content of what is known to
 * differ is read ahead (disk-old.c).
 * In the pause the final bitmap is read (`stop` has drained: it is exact).  Unless nothing is to be
 * written, the exports take the disks' place, what was known and what came late is written
 * (disk-write.c), all is flushed, and the guest's devices get their disks back.  One transaction
 * begins the next bitmap.  The old
 * one cannot go in the same transaction, since its export holds it: it goes afterwards, and until
 * then tells truly where the disk may differ from the base, with our own writes. */
#include "config.h"

#include "vmm/disk-rollback.h"

#include "common/error.h"
#include "common/fault.h"
#include "vmm/disk-cleanup.h"
#include "vmm/disk-divert.h"
#include "vmm/disk-flush.h"
#include "vmm/disk-private.h"
#include "vmm/disk-read.h"
#include "vmm/disk-server.h"
#include "vmm/disk-write.h"
#include "vmm/transaction.h"

typedef struct
{
  const CsDisk *disk; /* borrowed */
  CsDiskOld *old;
  CsNbd *nbd;
  CsBitmap *nonzero; /* whole disks: room for what is not zero at the stop; NULL else */
  bool had_bitmap;   /* the old bitmap is there, active or not */
  gint64 flush;      /* request */
} Target;

struct CsDiskRollback
{
  /* immutable */
  CsMonitor *monitor;
  GPtrArray *disks;
  char *bitmap; /* NULL: none */
  char *next;
  CsDiskFlush *preflush;
  GPtrArray *targets;
  CsDiskServer *server; /* NULL while it is not ours */
  CsDiskDivert *divert;
  CsDiskWriter *writer;

  /* how far it came */
  bool attached; /* something of ours may be in QEMU */
  bool done;     /* the next bitmap stands */
};

static void
target_free (Target *target)
{
  cs_nbd_free (target->nbd);
  cs_disk_old_free (target->old);
  cs_bitmap_free (target->nonzero);
  g_free (target);
}

static bool G_GNUC_PRINTF (4, 5) refuse (const CsDiskRollback *rollback, const CsDisk *disk,
                                         GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *reason = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "%s: disk '%s' cannot be rolled back in place: %s; restore the snapshot instead",
               cs_monitor_name (rollback->monitor), disk->name, reason);
  return false;
}

/* The volume of @disk in @image, when it is of the disk's size. */
static bool
find_volume (CsImage *image, const CsDisk *disk, guint *volume, guint64 *length)
{
  CsVolumeInfo info = { 0 };
  bool found = image != NULL && cs_image_find_volume (image, CS_VOLUME_DISK, disk->name, volume);
  if (found)
    cs_image_volume_info (image, *volume, &info);
  *length = info.length;
  return found && info.length == disk->size;
}

static bool
add_target (CsDiskRollback *rollback, const CsDiskRollbackOptions *options, const CsDisk *disk,
            json_object *info, GError **error)
{
  guint volume, base_volume;
  guint64 length;
  if (!find_volume (options->target, disk, &volume, &length))
    return length == 0 ? refuse (rollback, disk, error, "it is not in the snapshot")
                       : refuse (rollback, disk, error,
                                 "it has %" G_GUINT64_FORMAT " bytes, and %" G_GUINT64_FORMAT
                                 " in the snapshot",
                                 disk->size, length);
  json_object *bitmap = rollback->bitmap ? cs_disk_find_bitmap (info, rollback->bitmap) : NULL;
  bool known = cs_member_true (bitmap, "recording") && !cs_member_true (bitmap, "inconsistent")
               && find_volume (options->base, disk, &base_volume, &length);
  Target *target = g_new0 (Target, 1);
  g_ptr_array_add (rollback->targets, target);
  target->disk = disk;
  target->had_bitmap = bitmap != NULL;
  target->old = cs_disk_old_new (options->target, volume);
  if (known)
    cs_disk_old_want_difference (target->old, options->base, base_volume);
  else
    {
      target->nonzero = cs_bitmap_new (cs_bitmap_size (cs_disk_old_wanted (target->old)));
      cs_disk_old_want_all (target->old);
    }
  return true;
}

static bool
add_targets (CsDiskRollback *rollback, const CsDiskRollbackOptions *options,
             const CsBlockGraph *graph, GError **error)
{
  g_autoptr (GPtrArray) nodes = cs_block_graph_nodes (graph);
  for (guint i = 0; i < nodes->len; i++)
    if (g_str_has_prefix (nodes->pdata[i], CS_DISK_PREFIX))
      {
        g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                     "%s: a capture or rollback of its disks is under way already (node '%s')",
                     cs_monitor_name (rollback->monitor), (char *)nodes->pdata[i]);
        return false;
      }
  for (guint i = 0; i < rollback->disks->len; i++)
    {
      const CsDisk *disk = rollback->disks->pdata[i];
      json_object *info = cs_block_graph_info (graph, disk->node);
      if (info == NULL || cs_disk_find_bitmap (info, rollback->next) != NULL)
        {
          g_set_error (error, CS_ERROR, info == NULL ? CS_ERROR_GONE : CS_ERROR_EXISTS,
                       info == NULL ? "%s: disk '%s' was taken out"
                                    : "%s: disk '%s' has a bitmap of the new one's name already",
                       cs_monitor_name (rollback->monitor), disk->name);
          return false;
        }
      if (!add_target (rollback, options, disk, info, error))
        return false;
      cs_disk_flush_add (rollback->preflush, graph, cs_monitor_pid (rollback->monitor), disk->node);
    }
  return true;
}

static bool
add_export (CsDiskRollback *rollback, guint i, const char *export, GError **error)
{
  const Target *target = rollback->targets->pdata[i];
  g_autofree char *back = g_strdup_printf (CS_DISK_BACK "%u", i);
  json_object *arguments =
      cs_json_strings ("type", "nbd", "id", export, "name", export, "node-name", back, NULL);
  json_object_object_add (arguments, "writable", json_object_new_boolean (true));
  if (target->nonzero == NULL)
    {
      /* QEMU gives out a bitmap that still records with a writable export only. */
      json_object *bitmaps = json_object_new_array ();
      json_object_array_add (
          bitmaps, cs_json_strings ("node", target->disk->node, "name", rollback->bitmap, NULL));
      json_object_object_add (arguments, "bitmaps", bitmaps);
    }
  return cs_monitor_execute (rollback->monitor, "block-export-add", arguments, NULL, error);
}

/* Exports disk @i, connects, and reads the differences so far. */
static bool
connect_target (CsDiskRollback *rollback, guint i, guint64 *budget, GError **error)
{
  Target *target = rollback->targets->pdata[i];
  g_autofree char *export = g_strdup_printf (CS_DISK_EXPORT, i);
  g_autofree char *context = target->nonzero != NULL
                                 ? g_strdup ("base:allocation")
                                 : g_strconcat ("qemu:dirty-bitmap:", rollback->bitmap, NULL);
  if (!add_export (rollback, i, export, error))
    return false;
  target->nbd = cs_nbd_connect (cs_disk_server_path (rollback->server), export, context, error);
  if (target->nbd == NULL)
    return false;
  if (cs_nbd_size (target->nbd) != target->disk->size)
    return refuse (rollback, target->disk, error, "its size was changed just now");
  return (target->nonzero != NULL
          || cs_disk_load_dirty (target->nbd, target->disk->size, cs_disk_old_wanted (target->old),
                                 error))
         && cs_disk_old_read_ahead (target->old, budget, error);
}

static bool
prepare (CsDiskRollback *rollback, const CsDiskRollbackOptions *options, GError **error)
{
  guint64 budget = options->read_ahead;
  g_autoptr (CsBlockGraph) graph = cs_block_graph_load (rollback->monitor, error);
  if (graph == NULL || !add_targets (rollback, options, graph, error))
    return false;
  if (rollback->disks->len == 0)
    return true;
  rollback->attached = true;
  rollback->divert = cs_disk_divert_new (rollback->monitor, rollback->disks, graph, error);
  if (rollback->divert == NULL)
    return false;
  rollback->server = cs_disk_server_start (rollback->monitor, options->scratch_directory, error);
  if (rollback->server == NULL)
    return false;
  rollback->writer = cs_disk_writer_new ();
  for (guint i = 0; i < rollback->targets->len; i++)
    if (!connect_target (rollback, i, &budget, error))
      return false;
  /* Last, so that the guest goes through our nodes for a short time only. */
  return cs_disk_divert_insert (rollback->divert, error);
}

CsDiskRollback *
cs_disk_rollback_new (const CsDiskRollbackOptions *options, GError **error)
{
  g_autoptr (CsDiskRollback) rollback = g_new0 (CsDiskRollback, 1);
  rollback->monitor = options->monitor;
  rollback->disks = g_ptr_array_ref (options->disks);
  rollback->bitmap = g_strdup (options->bitmap);
  rollback->next = g_strdup (options->next);
  rollback->preflush = cs_disk_flush_new ();
  rollback->targets = g_ptr_array_new_with_free_func ((GDestroyNotify)target_free);
  return prepare (rollback, options, error) ? g_steal_pointer (&rollback) : NULL;
}

bool
cs_disk_rollback_preflush (CsDiskRollback *rollback, GError **error)
{
  return cs_disk_flush_run (rollback->preflush, error);
}

/* What became dirty until the stop.  Sets *@any where something is to be written. */
static bool
load_dirty (CsDiskRollback *rollback, bool *any, GError **error)
{
  *any = false;
  for (guint i = 0; i < rollback->targets->len; i++)
    {
      Target *target = rollback->targets->pdata[i];
      CsBitmap *wanted = cs_disk_old_wanted (target->old);
      if (target->nonzero == NULL
          && !cs_disk_load_dirty (target->nbd, target->disk->size, wanted, error))
        return false;
      *any = *any || cs_bitmap_count (wanted) > 0;
    }
  return true;
}

/* Our exports have the disks' place. */
static bool
write_target (CsDiskRollback *rollback, Target *target, bool *touched, guint64 *bytes,
              GError **error)
{
  guint64 size = target->disk->size;
  if (target->nonzero != NULL)
    {
      if (!cs_disk_load_allocated (target->nbd, 0, size, target->nonzero, error))
        return false;
      cs_disk_old_drop_zero (target->old, target->nonzero);
    }
  if (!cs_disk_writer_run (rollback->writer, target->nbd, size, target->old, touched, bytes, error))
    return false;
  target->flush = cs_nbd_flush (target->nbd, error);
  return target->flush > 0;
}

static bool
write_all (CsDiskRollback *rollback, bool *touched, guint64 *bytes, GError **error)
{
  for (guint i = 0; i < rollback->targets->len; i++)
    {
      Target *target = rollback->targets->pdata[i];
      if (!write_target (rollback, target, touched, bytes, error))
        {
          g_prefix_error (error,
                          "%s: cannot roll back disk '%s': ", cs_monitor_name (rollback->monitor),
                          target->disk->name);
          return false;
        }
    }
  /* All disks' flushes are under way. */
  for (guint i = 0; i < rollback->targets->len; i++)
    {
      Target *target = rollback->targets->pdata[i];
      if (!cs_nbd_wait (target->nbd, target->flush, error))
        {
          g_prefix_error (error,
                          "%s: cannot flush disk '%s': ", cs_monitor_name (rollback->monitor),
                          target->disk->name);
          return false;
        }
    }
  return true;
}

/* The devices get their disks back also after an error. */
static bool
write_diverted (CsDiskRollback *rollback, bool *touched, guint64 *bytes, GError **error)
{
  g_autoptr (GError) local = NULL;
  if (!cs_fault_point ("rollback-divert", error))
    return false;
  if (!cs_disk_divert_switch (rollback->divert, true, error))
    {
      /* Without an answer nobody knows whether it was done. */
      if (!cs_disk_divert_switch (rollback->divert, false, NULL))
        *touched = true;
      return false;
    }
  bool ok = write_all (rollback, touched, bytes, error);
  if (cs_disk_divert_switch (rollback->divert, false, &local))
    return ok;
  *touched = true;
  if (ok)
    g_propagate_error (error, g_steal_pointer (&local));
  return false;
}

static bool
begin_next (CsDiskRollback *rollback, GError **error)
{
  json_object *actions = json_object_new_array ();
  for (guint i = 0; i < rollback->disks->len; i++)
    cs_transaction_add_bitmap (actions, ((CsDisk *)rollback->disks->pdata[i])->node,
                               rollback->next);
  return cs_monitor_execute (rollback->monitor, "transaction", cs_transaction_arguments (actions),
                             NULL, error);
}

bool
cs_disk_rollback_apply (CsDiskRollback *rollback, bool *touched, guint64 *bytes, GError **error)
{
  *bytes = 0;
  g_assert (!rollback->done);
  bool any;
  if (rollback->disks->len > 0
      && (!load_dirty (rollback, &any, error)
          || (any && !write_diverted (rollback, touched, bytes, error))
          || !begin_next (rollback, error)))
    return false;
  rollback->done = true;
  return true;
}

static void
remove_bitmaps (CsDiskRollback *rollback)
{
  for (guint i = 0; i < rollback->targets->len; i++)
    {
      const Target *target = rollback->targets->pdata[i];
      if (target->had_bitmap)
        cs_monitor_execute (
            rollback->monitor, "block-dirty-bitmap-remove",
            cs_json_strings ("node", target->disk->node, "name", rollback->bitmap, NULL), NULL,
            NULL);
    }
}

void
cs_disk_rollback_free (CsDiskRollback *rollback)
{
  if (rollback == NULL)
    return;
  /* Requests in flight use the writer's memory. */
  for (guint i = 0; i < rollback->targets->len; i++)
    g_clear_pointer (&((Target *)rollback->targets->pdata[i])->nbd, cs_nbd_free);
  if (rollback->attached)
    {
      cs_monitor_set_deadline (rollback->monitor, 0);
      /* Errors: QEMU is gone, and all with it; or cs_disks_cleanup takes the rest out. */
      cs_disk_remove_ours (rollback->monitor, rollback->server != NULL, NULL);
    }
  if (rollback->done)
    remove_bitmaps (rollback);
  cs_disk_writer_free (rollback->writer);
  cs_disk_divert_free (rollback->divert);
  cs_disk_server_free (rollback->server);
  g_ptr_array_unref (rollback->targets);
  cs_disk_flush_free (rollback->preflush);
  g_ptr_array_unref (rollback->disks);
  g_free (rollback->bitmap);
  g_free (rollback->next);
  g_free (rollback);
}
