/* Removing a clone, in the order in which the parts use each other: guests, disks' servers, taps,
 * bridges, files, the store's root, and last the record, so that an interrupted removal can be
 * done again. */
#include "config.h"

#include "vmm/clone-private.h"

#include "common/error.h"
#include "common/fault.h"
#include "common/fd.h"
#include "vmm/clone-network.h"
#include "vmm/disk-serve.h"
#include "vmm/launch.h"
#include "vmm/libvirt.h"
#include "vmm/process.h"

#include <errno.h>
#include <fts.h>
#include <libvirt/virterror.h>
#include <string.h>
#include <unistd.h>

/* Of one program's processes: a QEMU that was started twice is not possible, but searched for. */
#define ATTEMPTS 8

static bool
end_domain (json_object *source, GError **error)
{
  const char *uuid = cs_json_string (source, "uuid"), *name = cs_json_string (source, "domain");
  g_autoptr (virConnect) connection = cs_libvirt_connect (cs_json_string (source, "uri"), error);
  if (connection == NULL)
    return false;
  g_autoptr (virDomain) domain = virDomainLookupByUUIDString (connection, uuid);
  if (domain == NULL)
    return virGetLastErrorCode () == VIR_ERR_NO_DOMAIN
           || cs_libvirt_set_error (error, "domain '%s'", name);
  int persistent = virDomainIsPersistent (domain);
  if (virDomainIsActive (domain) == 1 && virDomainDestroy (domain) < 0
      && virDomainIsActive (domain) == 1)
    return cs_libvirt_set_error (error, "cannot end domain '%s'", name);
  if (persistent == 1
      && virDomainUndefineFlags (
             domain, VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                         | VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_NVRAM)
             < 0)
    return cs_libvirt_set_error (error, "cannot undefine domain '%s'", name);
  return true;
}

static bool
end_guest (json_object *vm, GError **error)
{
  json_object *source = cs_json_member_object (vm, "source");
  if (cs_json_string (source, "domain") != NULL)
    return end_domain (source, error);
  pid_t pid;
  for (guint i = 0; (pid = cs_clone_vm_pid (vm)) > 0; i++)
    {
      if (i == ATTEMPTS)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "QEMU (process %d) does not end", pid);
          return false;
        }
      cs_launch_end (pid);
    }
  return true;
}

/* By the record, or (killed before it was there) by the socket among its arguments. */
static bool
end_server (json_object *vm, GError **error)
{
  json_object *record = cs_json_member_object (vm, "server");
  g_autoptr (CsDiskServe) serve = record != NULL ? cs_disk_serve_from_json (record, NULL) : NULL;
  if (serve != NULL)
    cs_disk_serve_stop (serve);
  pid_t pid;
  for (guint i = 0; (pid = cs_process_of_program ("nbdkit", cs_json_string (vm, "socket"))) > 0;
       i++)
    {
      if (i == ATTEMPTS)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
                       "the disks' server (process %d) does not "
                       "end",
                       pid);
          return false;
        }
      cs_launch_end (pid);
    }
  return true;
}

static void
remove_interfaces (json_object *record, const char *kind, GError **error)
{
  for (guint i = 0; i < cs_clone_record_n (record, kind); i++)
    cs_clone_network_remove (cs_json_string (cs_clone_record_at (record, kind, i), "name"),
                             error != NULL && *error == NULL ? error : NULL);
}

/* Whether the directory is this clone's: it has its mark, or is still empty. */
static bool
is_own_directory (const char *path, const char *id)
{
  g_autofree char *marker = g_build_filename (path, CS_CLONE_MARKER, NULL);
  g_autofree char *text = NULL;
  return g_file_get_contents (marker, &text, NULL, NULL) && g_str_equal (text, id);
}

static bool
remove_tree (const char *path, GError **error)
{
  char *paths[] = { (char *)path, NULL };
  FTS *tree = fts_open (paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
  int failure = tree == NULL ? errno : 0;
  FTSENT *entry;
  /* The mark goes with the directory: last, so that this can be done again. */
  while (tree != NULL && (entry = fts_read (tree)) != NULL)
    {
      bool mark = entry->fts_level == 1 && g_str_equal (entry->fts_name, CS_CLONE_MARKER);
      if (entry->fts_level == 0 || entry->fts_info == FTS_D || mark)
        continue;
      int result =
          entry->fts_info == FTS_DP ? rmdir (entry->fts_accpath) : unlink (entry->fts_accpath);
      if (result < 0 && errno != ENOENT && failure == 0)
        failure = errno;
    }
  if (tree != NULL)
    fts_close (tree);
  g_autofree char *marker = g_build_filename (path, CS_CLONE_MARKER, NULL);
  if (failure == 0 && unlink (marker) < 0 && errno != ENOENT)
    failure = errno;
  if (failure == 0 && rmdir (path) < 0 && errno != ENOENT)
    failure = errno;
  return failure == 0 || cs_error_set_errno (error, failure, "cannot remove '%s'", path);
}

static bool
remove_files (json_object *record, GError **error)
{
  const char *directory = cs_json_string (record, "directory");
  for (guint i = 0; i < cs_clone_record_n (record, "vms"); i++)
    {
      json_object *vm = cs_clone_record_at (record, "vms", i);
      for (guint j = 0; j < cs_clone_record_n (vm, "beside"); j++)
        unlink (cs_json_string (cs_clone_record_at (vm, "beside", j), "path"));
    }
  if (is_own_directory (directory, cs_json_string (record, "id")))
    return remove_tree (directory, error);
  /* Killed between making it and marking it; else it is not ours. */
  rmdir (directory);
  return true;
}

static bool
remove_root (json_object *record, CsStore *store, GError **error)
{
  g_autofree char *name = cs_clone_root_name (record);
  g_autoptr (GError) local = NULL;
  if (store == NULL || cs_store_root_remove (store, name, &local)
      || g_error_matches (local, CS_ERROR, CS_ERROR_NOT_FOUND))
    return true;
  g_propagate_error (error, g_steal_pointer (&local));
  return false;
}

bool
cs_clone_remove (const char *clones, json_object *record, CsStore *store, GError **error)
{
  g_autoptr (GError) local = NULL;
  const char *name = cs_json_string (record, "name");
  for (guint i = 0; i < cs_clone_record_n (record, "vms"); i++)
    {
      json_object *vm = cs_clone_record_at (record, "vms", i);
      /* A server that is still read from stays. */
      if (local == NULL && end_guest (vm, &local))
        end_server (vm, &local);
    }
  if (local == NULL && cs_fault_point ("clone-remove", &local))
    {
      remove_interfaces (record, "taps", &local);
      remove_interfaces (record, "bridges", &local);
    }
  if (local == NULL && remove_files (record, &local))
    remove_root (record, store, &local);
  g_autofree char *path = cs_clone_record_path (clones, name);
  if (local == NULL && unlink (path) < 0 && errno != ENOENT)
    cs_error_set_errno (&local, errno, "cannot remove '%s'", path);
  if (local == NULL)
    return cs_directory_sync_of (path, error);
  g_propagate_prefixed_error (error, g_steal_pointer (&local), "clone '%s': ", name);
  return false;
}

/* ---- servers that have ended ---- */

static bool
is_served (json_object *vm)
{
  json_object *record = cs_json_member_object (vm, "server");
  g_autoptr (CsDiskServe) serve = record != NULL ? cs_disk_serve_from_json (record, NULL) : NULL;
  return serve != NULL || cs_process_of_program ("nbdkit", cs_json_string (vm, "socket")) > 0;
}

static bool
revive_vm (json_object *vm, CsStore *store, GError **error)
{
  const char *socket = cs_json_string (vm, "socket");
  uid_t uid;
  gid_t gid;
  if (cs_clone_record_n (vm, "overlays") == 0 || is_served (vm))
    return false;
  cs_clone_vm_owner (vm, &uid, &gid);
  g_autoptr (CsDiskServe) serve =
      cs_disk_serve_start (store, cs_json_string (vm, "image"), socket, uid, gid, error);
  if (serve == NULL)
    return false;
  json_object_object_add (vm, "server", cs_disk_serve_to_json (serve));
  return true;
}

void
cs_clone_revive (const char *clones, json_object *record, CsStore *store)
{
  bool changed = false;
  for (guint i = 0; i < cs_clone_record_n (record, "vms"); i++)
    {
      json_object *vm = cs_clone_record_at (record, "vms", i);
      g_autoptr (GError) error = NULL;
      bool revived = revive_vm (vm, store, &error);
      if (revived)
        g_message ("clone '%s', VM '%s': its disks are served again",
                   cs_json_string (record, "name"), cs_json_string (vm, "name"));
      else if (error != NULL)
        g_warning ("clone '%s', VM '%s': its disks cannot be served, it waits: %s",
                   cs_json_string (record, "name"), cs_json_string (vm, "name"), error->message);
      changed = changed || revived;
    }
  g_autoptr (GError) unsaid = NULL;
  if (changed && !cs_clone_record_write (clones, record, true, &unsaid))
    g_warning ("%s", unsaid->message);
}
