/* The capture of all disks of one VM.
 *
 * Theory of operation (DISKS.md has the figures).  Before the pause every disk gets a scratch
 * image in QEMU whose backing image is the disk, and QEMU's only NBD server is taken.  In
 * the pause one transaction starts on every disk a dirty bitmap (what changes from now on), ends
 * the one before (what changed until now) and starts a backup job that copies nothing by itself,
 * but copies what the guest is about to overwrite into the scratch image.  So the scratch image
 * shows the disk as it was, and after resume the extents of the old bitmap are read from it over
 * NBD.
 *
 * Undoing never loses a change (DESIGN.md section 3, rule 3): the old bitmap is enabled again and
 * then gets the new one's bits, both in one transaction.  Where even that fails, the old bitmap
 * stays disabled, and a disabled bitmap is never trusted: the next capture reads that disk whole.
 *
 * One capture at a time: there is one NBD server, and our nodes in QEMU tell a second one. */
#include "config.h"

#include "vmm/disk-private.h"

#include "common/error.h"
#include "vmm/disk-cleanup.h"
#include "vmm/disk-flush.h"
#include "vmm/disk-read.h"
#include "vmm/disk-scratch.h"
#include "vmm/disk-server.h"
#include "vmm/transaction.h"

/* What guests may overwrite before the first look at the space that is left. */
#define SPACE_AT_START (G_GUINT64_CONSTANT (256) << 20)

struct CsDiskCapture
{
  /* immutable */
  CsMonitor *monitor;
  GPtrArray *disks;
  char *previous; /* NULL: none */
  char *next;
  CsDiskFlush *flush;
  GPtrArray *scratches;
  CsDiskServer *server; /* NULL while it is not ours */
  bool *incremental;    /* per disk: previous is there and active */
  json_object *plan;    /* the transaction's arguments */

  /* how far it came */
  bool attached;  /* something of ours may be in QEMU */
  bool cut;       /* the transaction was sent */
  bool committed; /* the new bitmap stands */
};

static const CsDisk *
disk_at (const CsDiskCapture *capture, guint i)
{
  return capture->disks->pdata[i];
}

static json_object *
bitmap_of (const CsDiskCapture *capture, guint i, const char *name)
{
  return cs_json_strings ("node", disk_at (capture, i)->node, "name", name, NULL);
}

/* Everything is put together before the pause. */
static json_object *
plan_cut (const CsDiskCapture *capture)
{
  json_object *actions = json_object_new_array ();
  for (guint i = 0; i < capture->disks->len; i++)
    {
      const char *node = disk_at (capture, i)->node;
      g_autofree char *job = g_strdup_printf (CS_DISK_JOB, i);
      g_autofree char *target = g_strdup_printf (CS_DISK_NODE, i);
      json_object *backup =
          cs_json_strings ("device", node, "sync", "none", "job-id", job, "target", target, NULL);
      json_object_object_add (backup, "auto-dismiss", json_object_new_boolean (true));
      cs_transaction_add_bitmap (actions, node, capture->next);
      if (capture->incremental[i])
        cs_transaction_add (actions, "block-dirty-bitmap-disable",
                            cs_json_strings ("node", node, "name", capture->previous, NULL));
      cs_transaction_add (actions, "blockdev-backup", backup);
    }
  return cs_transaction_arguments (actions);
}

static bool
check_graph (CsDiskCapture *capture, const CsBlockGraph *graph, GError **error)
{
  g_autoptr (GPtrArray) nodes = cs_block_graph_nodes (graph);
  for (guint i = 0; i < nodes->len; i++)
    if (g_str_has_prefix (nodes->pdata[i], CS_DISK_PREFIX))
      {
        g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                     "%s: a capture of its disks is under way already (node '%s')",
                     cs_monitor_name (capture->monitor), (char *)nodes->pdata[i]);
        return false;
      }
  for (guint i = 0; i < capture->disks->len; i++)
    {
      const CsDisk *disk = disk_at (capture, i);
      json_object *info = cs_block_graph_info (graph, disk->node);
      if (info == NULL || cs_disk_find_bitmap (info, capture->next) != NULL)
        {
          g_set_error (error, CS_ERROR, info == NULL ? CS_ERROR_GONE : CS_ERROR_EXISTS,
                       info == NULL ? "%s: disk '%s' was taken out"
                                    : "%s: disk '%s' has a bitmap of the new one's name already",
                       cs_monitor_name (capture->monitor), disk->name);
          return false;
        }
      json_object *previous =
          capture->previous ? cs_disk_find_bitmap (info, capture->previous) : NULL;
      capture->incremental[i] =
          cs_member_true (previous, "recording") && !cs_member_true (previous, "inconsistent");
      cs_disk_flush_add (capture->flush, graph, cs_monitor_pid (capture->monitor), disk->node);
    }
  return true;
}

static bool
add_scratches (CsDiskCapture *capture, const char *directory, GError **error)
{
  guint64 total = 0;
  for (guint i = 0; i < capture->disks->len; i++)
    {
      CsDiskScratch *scratch = cs_disk_scratch_new (directory, disk_at (capture, i)->size, error);
      if (scratch == NULL)
        return false;
      g_ptr_array_add (capture->scratches, scratch);
      total += disk_at (capture, i)->size;
    }
  if (capture->disks->len > 0
      && !cs_disk_scratch_check_space (capture->scratches->pdata[0], MIN (total, SPACE_AT_START),
                                       error))
    return false;
  capture->attached = true;
  for (guint i = 0; i < capture->disks->len; i++)
    {
      g_autofree char *node = g_strdup_printf (CS_DISK_NODE, i);
      if (!cs_disk_scratch_attach (capture->scratches->pdata[i], capture->monitor, node,
                                   disk_at (capture, i)->node, error))
        {
          g_prefix_error (error, "disk '%s': ", disk_at (capture, i)->name);
          return false;
        }
    }
  return true;
}

static bool
prepare (CsDiskCapture *capture, const char *scratch_directory, GError **error)
{
  g_autoptr (CsBlockGraph) graph = cs_block_graph_load (capture->monitor, error);
  if (graph == NULL || !check_graph (capture, graph, error)
      || !add_scratches (capture, scratch_directory, error))
    return false;
  if (capture->disks->len > 0)
    capture->server = cs_disk_server_start (capture->monitor, scratch_directory, error);
  capture->plan = plan_cut (capture);
  return capture->disks->len == 0 || capture->server != NULL;
}

CsDiskCapture *
cs_disk_capture_new (CsMonitor *monitor, GPtrArray *disks, const char *scratch_directory,
                     const char *previous, const char *next, GError **error)
{
  g_autoptr (CsDiskCapture) capture = g_new0 (CsDiskCapture, 1);
  capture->monitor = monitor;
  capture->disks = g_ptr_array_ref (disks);
  capture->previous = g_strdup (previous);
  capture->next = g_strdup (next);
  capture->flush = cs_disk_flush_new ();
  capture->scratches = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_disk_scratch_free);
  capture->incremental = g_new0 (bool, disks->len + 1);
  return prepare (capture, scratch_directory, error) ? g_steal_pointer (&capture) : NULL;
}

bool
cs_disk_capture_preflush (CsDiskCapture *capture, GError **error)
{
  return cs_disk_flush_run (capture->flush, error);
}

bool
cs_disk_capture_cut (CsDiskCapture *capture, GError **error)
{
  g_assert (!capture->cut);
  if (capture->disks->len == 0)
    return true;
  /* Set before: after a lost reply nobody knows whether it was done. */
  capture->cut = true;
  return cs_monitor_execute (capture->monitor, "transaction", json_object_get (capture->plan), NULL,
                             error);
}

static bool
add_export (CsDiskCapture *capture, guint i, const char *export, GError **error)
{
  g_autofree char *node = g_strdup_printf (CS_DISK_NODE, i);
  json_object *arguments =
      cs_json_strings ("type", "nbd", "id", export, "name", export, "node-name", node, NULL);
  json_object_object_add (arguments, "writable", json_object_new_boolean (false));
  if (capture->incremental[i])
    {
      json_object *bitmaps = json_object_new_array ();
      json_object_array_add (bitmaps, bitmap_of (capture, i, capture->previous));
      json_object_object_add (arguments, "bitmaps", bitmaps);
    }
  return cs_monitor_execute (capture->monitor, "block-export-add", arguments, NULL, error);
}

bool
cs_disk_capture_read (CsDiskCapture *capture, guint i, CsDiskExtentFunc func, void *user_data,
                      GError **error)
{
  const CsDisk *disk = disk_at (capture, i);
  g_autofree char *export = g_strdup_printf (CS_DISK_EXPORT, i);
  g_assert (capture->cut);
  bool ok = add_export (capture, i, export, error);
  if (ok)
    {
      ok = cs_disk_read (cs_disk_server_path (capture->server), export,
                         capture->incremental[i] ? capture->previous : NULL, disk->size,
                         capture->scratches->pdata[i], func, user_data, error);
      /* On failure the whole capture goes, with this export. */
      if (ok)
        ok = cs_monitor_execute (capture->monitor, "block-export-del",
                                 cs_json_strings ("id", export, "mode", "hard", NULL), NULL, error)
             && cs_disk_wait_absent (capture->monitor, "query-block-exports", "id", export, error);
    }
  if (!ok)
    g_prefix_error (error, "%s: cannot read disk '%s': ", cs_monitor_name (capture->monitor),
                    disk->name);
  return ok;
}

static bool
detach (CsDiskCapture *capture, GError **error)
{
  if (!capture->attached)
    return true;
  capture->attached = false;
  return cs_disk_remove_ours (capture->monitor, capture->server != NULL, error);
}

bool
cs_disk_capture_commit (CsDiskCapture *capture, GError **error)
{
  capture->committed = true;
  if (!detach (capture, error))
    return false;
  bool ok = true;
  for (guint i = 0; capture->previous != NULL && i < capture->disks->len; i++)
    {
      g_autoptr (GError) local = NULL;
      bool removed = cs_monitor_execute (capture->monitor, "block-dirty-bitmap-remove",
                                         bitmap_of (capture, i, capture->previous), NULL, &local);
      /* A disk that was read whole may have none, or one that was not trusted. */
      if (removed || !capture->incremental[i])
        continue;
      if (ok)
        g_propagate_error (error, g_steal_pointer (&local));
      ok = false;
    }
  return ok;
}

/* In this order no write falls between the two bitmaps.  A disk whose cut did not happen has no
 * new bitmap: the transaction then fails and changes nothing. */
static void
undo_cut (CsDiskCapture *capture, guint i)
{
  json_object *actions = json_object_new_array ();
  if (capture->incremental[i])
    {
      json_object *merge =
          cs_json_strings ("node", disk_at (capture, i)->node, "target", capture->previous, NULL);
      json_object *sources = json_object_new_array ();
      json_object_array_add (sources, json_object_new_string (capture->next));
      json_object_object_add (merge, "bitmaps", sources);
      cs_transaction_add (actions, "block-dirty-bitmap-enable",
                          bitmap_of (capture, i, capture->previous));
      cs_transaction_add (actions, "block-dirty-bitmap-merge", merge);
    }
  cs_transaction_add (actions, "block-dirty-bitmap-remove", bitmap_of (capture, i, capture->next));
  cs_monitor_execute (capture->monitor, "transaction", cs_transaction_arguments (actions), NULL,
                      NULL);
}

void
cs_disk_capture_free (CsDiskCapture *capture)
{
  if (capture == NULL)
    return;
  if (capture->attached || (capture->cut && !capture->committed))
    cs_monitor_set_deadline (capture->monitor, 0);
  /* Errors: QEMU is gone, and all with it; or what is left is taken out by cs_disks_cleanup. */
  detach (capture, NULL);
  for (guint i = 0; capture->cut && !capture->committed && i < capture->disks->len; i++)
    undo_cut (capture, i);
  cs_disk_server_free (capture->server);
  json_object_put (capture->plan);
  g_ptr_array_unref (capture->scratches);
  cs_disk_flush_free (capture->flush);
  g_ptr_array_unref (capture->disks);
  g_free (capture->incremental);
  g_free (capture->previous);
  g_free (capture->next);
  g_free (capture);
}

bool
cs_disks_track (CsMonitor *monitor, GPtrArray *disks, const char *name, GError **error)
{
  json_object *actions = json_object_new_array ();
  for (guint i = 0; i < disks->len; i++)
    cs_transaction_add_bitmap (actions, ((CsDisk *)disks->pdata[i])->node, name);
  if (disks->len > 0)
    return cs_monitor_execute (monitor, "transaction", cs_transaction_arguments (actions), NULL,
                               error);
  json_object_put (actions);
  return true;
}
