/* snapshot.store and snapshot.seal: the guests run, what was captured becomes durable, and then the
 * manifest says so. */
#include "config.h"

#include "common/fault.h"
#include "common/json.h"
#include "vmm/snapshot-private.h"

/* ---- store ---- */

static bool
report_stored (guint64 done, guint64 total, void *data)
{
  CsSnapshotVm *one = data;
  json_object *event = json_object_new_object ();
  cs_json_add_string (event, "event", "progress");
  cs_json_add_string (event, "vm", one->member.vm->ref->name);
  cs_json_add_string (event, "text", "storing pages");
  cs_json_add_uint (event, "done", done);
  cs_json_add_uint (event, "total", total);
  cs_rpc_peer_notify (one->snapshot->peer, event);
  return true;
}

static bool
store_one (gpointer data, GError **error)
{
  CsSnapshotVm *one = data;
  return cs_capture_store (one->capture, report_stored, one, error);
}

static void
fill_stored (json_object *vm, const CsCapture *capture)
{
  const CsCaptureStats *stats = cs_capture_stats (capture);
  cs_json_add_string (vm, "image", cs_capture_image (capture));
  cs_json_add_uint (vm, "pages-captured", stats->pages);
  cs_json_add_uint (vm, "bytes-captured", stats->pages * CS_PAGE_SIZE);
  cs_json_add_uint (vm, "disk-bytes", stats->disk_bytes);
  cs_json_add_uint (vm, "device-bytes", stats->device_bytes);
  cs_json_add_uint (vm, "pages-put", stats->image.pages_put);
  cs_json_add_uint (vm, "pages-zero", stats->image.pages_zero);
  cs_json_add_uint (vm, "pages-shared", stats->image.pages_shared);
  cs_json_add_uint (vm, "pages-stored", stats->image.pages_stored);
  cs_json_add_uint (vm, "bytes-stored", stats->image.bytes_stored);
  cs_capture_report_agent (capture, vm);
}

/* The snapshot that the VM's delta starts from; NULL: it is none. */
static const char *
parent_of (const CsSnapshotVm *one)
{
  const CsVmBase *base = one->member.vm->base;
  return cs_capture_is_incremental (one->capture) && base != NULL ? base->snapshot : NULL;
}

/* The VMs' documents for the manifest, with their statistics. */
static void
collect_documents (CsSnapshot *snapshot)
{
  snapshot->manifest_vms = json_object_new_array ();
  snapshot->images = json_object_new_array ();
  for (guint i = 0; i < snapshot->participants->len; i++)
    {
      const CsCapture *capture = cs_snapshot_vm (snapshot, i)->capture;
      json_object *document = cs_capture_document (capture);
      json_object *stats = json_object_new_object ();
      cs_snapshot_fill_released (stats, capture);
      fill_stored (stats, capture);
      cs_json_add_uint (stats, "flows", (guint64)snapshot->flows);
      json_object_object_add (document, "stats", stats);
      cs_json_add_string (document, "parent", parent_of (cs_snapshot_vm (snapshot, i)));
      cs_job_lines_add_to (snapshot->lines, cs_snapshot_vm (snapshot, i)->member.vm->ref->name,
                           document);
      json_object_array_add (snapshot->manifest_vms, document);
      json_object_array_add (snapshot->images, json_object_new_string (cs_capture_image (capture)));
    }
}

json_object *
cs_rpc_snapshot_store (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsSnapshot *snapshot = cs_snapshot_at (peer, CS_SNAPSHOT_RELEASED, error);
  if (snapshot == NULL)
    return NULL;
  if (!cs_fan_out (snapshot->participants, store_one, error)
      || !cs_store_commit (snapshot->store, error))
    return cs_snapshot_give_up (peer);
  collect_documents (snapshot);
  snapshot->progress = CS_SNAPSHOT_STORED;
  return cs_snapshot_per_vm (snapshot, fill_stored);
}

/* ---- seal ---- */

/* The snapshot that every VM's delta starts from, or NULL when they differ. */
static const char *
common_parent (const CsSnapshot *snapshot)
{
  const char *parent = parent_of (cs_snapshot_vm (snapshot, 0));
  for (guint i = 1; i < snapshot->participants->len; i++)
    if (g_strcmp0 (parent_of (cs_snapshot_vm (snapshot, i)), parent) != 0)
      return NULL;
  return parent;
}

static guint64
longest_pause (const CsSnapshot *snapshot)
{
  gint64 longest = 0;
  for (guint i = 0; i < snapshot->participants->len; i++)
    longest = MAX (longest, cs_capture_stats (cs_snapshot_vm (snapshot, i)->capture)->pause);
  return (guint64)longest;
}

static json_object *
manifest_new (const CsSnapshot *snapshot, json_object *coordinator)
{
  json_object *manifest = json_object_new_object ();
  g_autoptr (GDateTime) utc = g_date_time_new_now_utc ();
  g_autofree char *created = g_date_time_format (utc, "%Y-%m-%dT%H:%M:%S.%fZ");
  const char *parent = common_parent (snapshot);
  cs_json_add_string (manifest, "format", "clusnap-manifest");
  cs_json_add_uint (manifest, "version", 1);
  cs_json_add_string (manifest, "cluster", snapshot->cluster);
  cs_json_add_string (manifest, "snapshot", snapshot->name);
  if (snapshot->partial)
    json_object_object_add (manifest, "partial", json_object_new_boolean (true));
  json_object_object_add (manifest, "parent", parent ? json_object_new_string (parent) : NULL);
  cs_json_add_string (manifest, "created", created);
  json_object_object_add (manifest, "images", json_object_get (snapshot->images));
  cs_json_add_uint (manifest, "pause", longest_pause (snapshot));
  cs_json_add_uint (manifest, "skew", cs_snapshot_skew (snapshot));
  cs_json_add_uint (manifest, "total", (guint64)(g_get_monotonic_time () - snapshot->begun_at));
  json_object_object_add (manifest, "vms", json_object_get (snapshot->manifest_vms));
  json_object_object_add (manifest, "coordinator", json_object_get (coordinator));
  return manifest;
}

static bool
commit_one (gpointer data, GError **error)
{
  CsSnapshotVm *one = data;
  cs_capture_commit (one->capture);
  one->member.vm->base->snapshot = g_strdup (one->snapshot->name);
  return true;
}

json_object *
cs_rpc_snapshot_seal (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsSnapshot *snapshot = cs_snapshot_at (peer, CS_SNAPSHOT_STORED, error);
  if (snapshot == NULL)
    return NULL;
  g_autoptr (CsJson) manifest = manifest_new (snapshot, cs_json_member_object (params, "manifest"));
  if (!cs_fault_point ("seal", error)
      || !cs_store_manifest_put (snapshot->store, snapshot->cluster, snapshot->name, manifest,
                                 error))
    return cs_snapshot_give_up (peer);
  cs_fan_out (snapshot->participants, commit_one, NULL);
  snapshot->progress = CS_SNAPSHOT_SEALED;
  json_object *result = json_object_new_object ();
  cs_json_add_uint (result, "total", (guint64)(g_get_monotonic_time () - snapshot->begun_at));
  cs_json_add_uint (result, "pause", longest_pause (snapshot));
  cs_json_add_uint (result, "skew", cs_snapshot_skew (snapshot));
  cs_rpc_peer_end_job (peer);
  return result;
}
