/* The methods on stores and on snapshots that are stored: no VM is touched. */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "images/image.h"
#include "vmm/daemon.h"

CsStore *
cs_rpc_store (CsRpcPeer *peer, json_object *params, GError **error)
{
  const char *path = cs_rpc_string (params, "store", error);
  return path ? cs_daemon_store (cs_rpc_peer_user_data (peer), path, error) : NULL;
}

json_object *
cs_rpc_store_init (CsRpcPeer *peer, json_object *params, GError **error)
{
  const char *path = cs_rpc_string (params, "store", error);
  if (path == NULL || !cs_store_init (path, error))
    return NULL;
  CsStore *store = cs_rpc_store (peer, params, error);
  if (store == NULL)
    return NULL;
  json_object *result = json_object_new_object ();
  cs_json_add_string (result, "uuid", cs_store_uuid (store));
  return result;
}

static double
ratio (guint64 a, guint64 b)
{
  return b == 0 ? 0.0 : (double)a / (double)b;
}

json_object *
cs_rpc_store_stats (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsStoreStats stats = { 0 };
  CsStore *store = cs_rpc_store (peer, params, error);
  if (store == NULL || !cs_store_stats (store, &stats, error))
    return NULL;
  json_object *result = json_object_new_object ();
  cs_json_add_string (result, "path", cs_store_path (store));
  cs_json_add_string (result, "uuid", cs_store_uuid (store));
  cs_json_add_uint (result, "snapshots", stats.snapshots);
  cs_json_add_uint (result, "roots", stats.roots);
  cs_json_add_uint (result, "images", stats.images);
  cs_json_add_uint (result, "segments", stats.segments);
  cs_json_add_uint (result, "bytes", stats.bytes);
  cs_json_add_uint (result, "segment-bytes", stats.segment_bytes);
  cs_json_add_uint (result, "pages", stats.pages);
  cs_json_add_uint (result, "referenced", stats.referenced);
  cs_json_add_uint (result, "raw-bytes", stats.raw_bytes);
  cs_json_add_double (result, "dedup-ratio", ratio (stats.referenced, stats.pages));
  cs_json_add_double (result, "compression-ratio", ratio (stats.raw_bytes, stats.segment_bytes));
  return result;
}

/* Passes the progress of long work on to the peer. */
static bool
report (guint64 done, guint64 total, void *data)
{
  json_object *event = json_object_new_object ();
  cs_json_add_string (event, "event", "progress");
  cs_json_add_uint (event, "done", done);
  cs_json_add_uint (event, "total", total);
  cs_rpc_peer_notify (data, event);
  return true;
}

json_object *
cs_rpc_store_gc (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsStoreGcReport done = { 0 };
  bool dry_run = json_object_get_boolean (json_object_object_get (params, "dry-run"));
  CsStore *store = cs_rpc_store (peer, params, error);
  if (store == NULL || !cs_store_gc (store, dry_run, report, peer, &done, error))
    return NULL;
  json_object *result = json_object_new_object ();
  cs_json_add_uint (result, "images-removed", done.images_removed);
  cs_json_add_uint (result, "segments-removed", done.segments_removed);
  cs_json_add_uint (result, "segments-rewritten", done.segments_rewritten);
  cs_json_add_uint (result, "pages-removed", done.pages_removed);
  cs_json_add_uint (result, "bytes-freed", done.bytes_freed);
  return result;
}

/* ---- snapshots ---- */

static guint64
sum_of_stats (json_object *vms, const char *name)
{
  guint64 sum = 0;
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    sum +=
        cs_json_uint (cs_json_member_object (json_object_array_get_idx (vms, i), "stats"), name, 0);
  return sum;
}

/* A partial snapshot says of which VMs it is. */
static void
add_partial (json_object *summary, json_object *manifest)
{
  json_object *vms = cs_json_array (manifest, "vms"), *names = json_object_new_array ();
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    {
      const char *name = cs_json_string (json_object_array_get_idx (vms, i), "name");
      if (name != NULL)
        json_object_array_add (names, json_object_new_string (name));
    }
  json_object_object_add (summary, "partial", json_object_new_boolean (true));
  json_object_object_add (summary, "only", names);
}

/* Of each of its VMs, each once. */
static json_object *
parents_of (json_object *vms)
{
  json_object *parents = json_object_new_array ();
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    {
      const char *own = cs_json_string (json_object_array_get_idx (vms, i), "parent");
      bool known = own == NULL;
      for (gsize k = 0; !known && k < json_object_array_length (parents); k++)
        known =
            g_strcmp0 (json_object_get_string (json_object_array_get_idx (parents, k)), own) == 0;
      if (!known)
        json_object_array_add (parents, json_object_new_string (own));
    }
  return parents;
}

static json_object *
summary_of (CsDaemon *daemon, CsStore *store, const CsManifestName *name)
{
  g_autoptr (GError) error = NULL;
  json_object *summary = json_object_new_object ();
  cs_json_add_string (summary, "cluster", name->cluster);
  cs_json_add_string (summary, "snapshot", name->snapshot);
  g_autoptr (CsJson) manifest =
      cs_store_manifest_get (store, name->cluster, name->snapshot, &error);
  cs_json_add_string (summary, "state", manifest ? "ok" : "damaged");
  if (manifest == NULL)
    {
      cs_json_add_string (summary, "message", error->message);
      return summary;
    }
  json_object *vms = cs_json_array (manifest, "vms");
  cs_json_add_string (summary, "created", cs_json_string (manifest, "created"));
  json_object_object_add (summary, "parent",
                          json_object_get (json_object_object_get (manifest, "parent")));
  json_object_object_add (summary, "parents", parents_of (vms));
  json_object_object_add (summary, "current",
                          json_object_new_boolean (cs_vm_table_is_based_on (
                              daemon->vms, cs_json_array (manifest, "images"))));
  cs_json_add_uint (summary, "vms", vms ? json_object_array_length (vms) : 0);
  if (json_object_get_boolean (json_object_object_get (manifest, "partial")))
    add_partial (summary, manifest);
  cs_json_add_uint (summary, "pause", cs_json_uint (manifest, "pause", 0));
  cs_json_add_uint (summary, "bytes-captured", sum_of_stats (vms, "bytes-captured"));
  cs_json_add_uint (summary, "bytes-stored", sum_of_stats (vms, "bytes-stored"));
  return summary;
}

json_object *
cs_rpc_snapshot_list (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsStore *store = cs_rpc_store (peer, params, error);
  if (store == NULL)
    return NULL;
  g_autoptr (GPtrArray) names =
      cs_store_manifest_list (store, cs_json_string (params, "cluster"), error);
  if (names == NULL)
    return NULL;
  json_object *result = json_object_new_object ();
  json_object *snapshots = json_object_new_array ();
  for (guint i = 0; i < names->len; i++)
    json_object_array_add (
        snapshots, summary_of (cs_rpc_peer_user_data (peer), store, g_ptr_array_index (names, i)));
  json_object_object_add (result, "snapshots", snapshots);
  return result;
}

/* The manifest that @params name. */
static json_object *
manifest_of (CsRpcPeer *peer, json_object *params, CsStore **store, GError **error)
{
  const char *cluster = cs_rpc_string (params, "cluster", error);
  const char *snapshot = cluster ? cs_rpc_string (params, "snapshot", error) : NULL;
  *store = snapshot ? cs_rpc_store (peer, params, error) : NULL;
  return *store ? cs_store_manifest_get (*store, cluster, snapshot, error) : NULL;
}

json_object *
cs_rpc_snapshot_show (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsStore *store;
  json_object *manifest = manifest_of (peer, params, &store, error);
  if (manifest == NULL)
    return NULL;
  json_object *result = json_object_new_object ();
  json_object_object_add (result, "manifest", manifest);
  return result;
}

static json_object *
verify_vm (CsRpcPeer *peer, CsStore *store, json_object *document, guint64 *pages)
{
  g_autoptr (GError) error = NULL;
  json_object *vm = json_object_new_object ();
  const char *id = cs_json_string (document, "image");
  g_autoptr (CsImage) image = cs_image_open (store, id ? id : "", &error);
  bool whole = image != NULL && cs_image_verify (image, report, peer, pages, &error);
  cs_json_add_string (vm, "name", cs_json_string (document, "name"));
  json_object_object_add (vm, "ok", json_object_new_boolean (whole));
  cs_json_add_uint (vm, "pages", *pages);
  if (!whole)
    cs_json_add_string (vm, "message", error->message);
  return vm;
}

json_object *
cs_rpc_snapshot_verify (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsStore *store;
  g_autoptr (CsJson) manifest = manifest_of (peer, params, &store, error);
  if (manifest == NULL)
    return NULL;
  guint64 total = 0;
  json_object *result = json_object_new_object ();
  json_object *vms = json_object_new_array ();
  json_object *documents = cs_json_array (manifest, "vms");
  for (gsize i = 0; documents != NULL && i < json_object_array_length (documents); i++)
    {
      guint64 pages = 0;
      json_object_array_add (
          vms, verify_vm (peer, store, json_object_array_get_idx (documents, i), &pages));
      total += pages;
    }
  json_object_object_add (result, "vms", vms);
  cs_json_add_uint (result, "pages", total);
  return result;
}

json_object *
cs_rpc_snapshot_delete (CsRpcPeer *peer, json_object *params, GError **error)
{
  const char *cluster = cs_rpc_string (params, "cluster", error);
  const char *snapshot = cluster ? cs_rpc_string (params, "snapshot", error) : NULL;
  CsStore *store = snapshot ? cs_rpc_store (peer, params, error) : NULL;
  if (store == NULL || !cs_store_manifest_delete (store, cluster, snapshot, error))
    return NULL;
  return json_object_new_object ();
}
