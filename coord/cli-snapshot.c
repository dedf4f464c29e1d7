/* clusnap snapshot list, show, delete (create and verify have files of their own). */
#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "coord/cli-snapshot-tree.h"
#include "coord/name.h"

const CsColumn cs_snapshot_list_columns[] = {
  { "cluster", "Cluster", CS_COLUMN_TEXT },
  { "snapshot", "Snapshot", CS_COLUMN_TEXT },
  { "parent", "Parent", CS_COLUMN_TEXT },
  { "parents", "Parents", CS_COLUMN_LIST, true },
  { "current", "Current", CS_COLUMN_BOOL, true },
  { "created", "Created", CS_COLUMN_TEXT },
  { "vms", "VMs", CS_COLUMN_COUNT },
  { "partial", "Partial", CS_COLUMN_BOOL, true },
  { "only", "Only", CS_COLUMN_LIST },
  { "bytes-stored", "Stored", CS_COLUMN_SIZE },
  { "pause", "Pause", CS_COLUMN_TIME },
  { "state", "State", CS_COLUMN_TEXT },
  { "message", "Message", CS_COLUMN_TEXT, true },
  { 0 },
};

static const CsColumn vm_columns[] = {
  { "name", "VM", CS_COLUMN_TEXT },
  { "incremental", "Incremental", CS_COLUMN_BOOL },
  { "parent", "Parent", CS_COLUMN_TEXT },
  { "memory", "Memory", CS_COLUMN_SIZE },
  { "pause", "Pause", CS_COLUMN_TIME },
  { "sequence", "Sequence", CS_COLUMN_COUNT },
  { "pages-captured", "Pages", CS_COLUMN_COUNT },
  { "bytes-captured", "Captured", CS_COLUMN_SIZE },
  { "bytes-stored", "Stored", CS_COLUMN_SIZE },
  { "machine", "Machine", CS_COLUMN_TEXT },
  { "qemu-version", "QEMU", CS_COLUMN_TEXT },
  { "image", "Image", CS_COLUMN_TEXT },
  { 0 },
};

static const CsColumn disk_columns[] = {
  { "vm", "VM", CS_COLUMN_TEXT },           { "name", "Disk", CS_COLUMN_TEXT },
  { "size", "Size", CS_COLUMN_SIZE },       { "bytes-read", "Read", CS_COLUMN_SIZE },
  { "bytes-zero", "Zero", CS_COLUMN_SIZE }, { "format", "Format", CS_COLUMN_TEXT },
  { "filename", "File", CS_COLUMN_TEXT },   { 0 },
};

static const CsColumn dependency_columns[] = {
  { "name", "VM", CS_COLUMN_TEXT },
  { "vm", "Depends on", CS_COLUMN_TEXT },
  { "interval", "Up to interval", CS_COLUMN_COUNT },
  { "sources", "Sources", CS_COLUMN_LIST },
  { 0 },
};

const CsColumn cs_snapshot_show_columns[] = {
  { "cluster", "Cluster", CS_COLUMN_TEXT },
  { "snapshot", "Snapshot", CS_COLUMN_TEXT },
  { "parent", "Parent", CS_COLUMN_TEXT },
  { "partial", "Partial", CS_COLUMN_BOOL },
  { "created", "Created", CS_COLUMN_TEXT },
  { "pause", "Pause", CS_COLUMN_TIME },
  { "skew", "Skew", CS_COLUMN_TIME },
  { "total", "Time to durable", CS_COLUMN_TIME },
  { "images", "Images", CS_COLUMN_LIST },
  { "vms", "VMs", CS_COLUMN_ROWS, false, vm_columns },
  { "disks", "Disks", CS_COLUMN_ROWS, false, disk_columns },
  { "dependencies", "Dependencies", CS_COLUMN_ROWS, false, dependency_columns },
  { "coordinator", "Coordinator", CS_COLUMN_TEXT, true },
  { 0 },
};

bool
cs_cli_snapshot_list (CsCli *cli, GError **error)
{
  const char *cluster = cs_cli_operand (cli, 0);
  if (cluster != NULL && !cs_name_check ("cluster", cluster, error))
    return false;
  g_autofree char *store =
      cluster != NULL ? cs_cli_store_of (cli, cluster, error) : cs_cli_store (cli, NULL);
  if (store == NULL)
    return false;
  g_autoptr (CsJson) rows = cs_cli_snapshots (cli, store, cluster, error);
  if (rows == NULL)
    return false;
  for (gsize i = 0; i < json_object_array_length (rows); i++)
    {
      json_object *row = json_object_array_get_idx (rows, i);
      const char *message = cs_json_string (row, "message");
      if (message != NULL)
        cs_cli_note (cli, "clusnap: snapshot '%s' of cluster '%s': %s",
                     cs_json_string (row, "snapshot"), cs_json_string (row, "cluster"), message);
    }
  g_autoptr (CsJson) tree =
      cli->format == CS_FORMAT_TABLE ? cs_snapshot_tree (rows) : json_object_get (rows);
  return cs_cli_print_rows (cli, tree, error);
}

static guint64
ram_of (json_object *vm)
{
  guint64 total = 0;
  json_object *blocks = cs_json_array (vm, "ram-blocks");
  for (gsize i = 0; blocks != NULL && i < json_object_array_length (blocks); i++)
    total += cs_json_uint (json_object_array_get_idx (blocks, i), "length", 0);
  return total;
}

/* The manifest's VMs with their stats beside the other members, and a list of all disks. */
static void
flatten_vms (json_object *record, json_object *manifest)
{
  json_object *vms = json_object_new_array ();
  json_object *disks = json_object_new_array ();
  json_object *stored = cs_json_array (manifest, "vms");
  for (gsize i = 0; stored != NULL && i < json_object_array_length (stored); i++)
    {
      json_object *vm = json_object_array_get_idx (stored, i);
      json_object *row = json_object_new_object ();
      cs_json_merge (row, cs_json_member_object (vm, "stats"));
      cs_json_merge (row, vm);
      cs_json_add_uint (row, "memory", ram_of (vm));
      json_object_array_add (vms, row);
      json_object *own = cs_json_array (vm, "disks");
      for (gsize k = 0; own != NULL && k < json_object_array_length (own); k++)
        {
          json_object *disk = json_object_new_object ();
          cs_json_add_string (disk, "vm", cs_json_string (vm, "name"));
          cs_json_merge (disk, json_object_array_get_idx (own, k));
          json_object_array_add (disks, disk);
        }
    }
  json_object_object_add (record, "vms", vms);
  json_object_object_add (record, "disks", disks);
}

/* All VMs' dependencies in one list; an older clusnap's snapshot has none: all depend on all. */
static void
flatten_dependencies (json_object *record, json_object *manifest)
{
  json_object *rows = json_object_new_array ();
  json_object *vms = cs_json_array (manifest, "vms");
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    {
      json_object *vm = json_object_array_get_idx (vms, i);
      json_object *own = cs_json_array (vm, "dependencies");
      for (gsize k = 0; own != NULL && k < json_object_array_length (own); k++)
        {
          json_object *row = json_object_new_object ();
          cs_json_add_string (row, "name", cs_json_string (vm, "name"));
          cs_json_merge (row, json_object_array_get_idx (own, k));
          json_object_array_add (rows, row);
        }
    }
  json_object_object_add (record, "dependencies", rows);
}

bool
cs_cli_snapshot_show (CsCli *cli, GError **error)
{
  const char *cluster = cs_cli_operand (cli, 0), *snapshot = cs_cli_operand (cli, 1);
  g_autofree char *store = NULL;
  if (cs_name_check ("cluster", cluster, error) && cs_name_check ("snapshot", snapshot, error))
    store = cs_cli_store_of (cli, cluster, error);
  if (store == NULL)
    return false;
  g_autoptr (CsJson) answer =
      cs_cli_call (cli, "snapshot.show", cs_cli_params (store, cluster, snapshot), error);
  if (answer == NULL)
    return false;
  json_object *manifest = cs_json_member_object (answer, "manifest");
  g_autoptr (CsJson) record = json_object_new_object ();
  cs_json_merge (record, manifest);
  flatten_vms (record, manifest);
  flatten_dependencies (record, manifest);
  return cs_cli_print_record (cli, record, error);
}

bool
cs_cli_snapshot_delete (CsCli *cli, GError **error)
{
  const char *cluster = cs_cli_operand (cli, 0);
  g_autofree char *store = NULL;
  for (guint i = 1; i < cs_cli_n_operands (cli); i++)
    if (!cs_name_check ("snapshot", cs_cli_operand (cli, i), error))
      return false;
  if (cs_name_check ("cluster", cluster, error))
    store = cs_cli_store_of (cli, cluster, error);
  for (guint i = 1; store != NULL && i < cs_cli_n_operands (cli); i++)
    {
      g_autoptr (CsJson) answer = cs_cli_call (
          cli, "snapshot.delete", cs_cli_params (store, cluster, cs_cli_operand (cli, i)), error);
      if (answer == NULL)
        return false;
    }
  if (store != NULL)
    cs_cli_note (cli, "'clusnap store gc' frees the space");
  return store != NULL;
}
