#include "config.h"

#include "vmm/clone-private.h"

#include "common/error.h"
#include "common/fault.h"
#include "common/fd.h"
#include "vmm/clone-argv.h"
#include "vmm/clone-network.h"
#include "vmm/clone-overlay.h"
#include "vmm/clone-plan.h"
#include "vmm/clone-xml.h"
#include "vmm/disk-serve.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>

struct CsClone
{
  /* immutable */
  CsStore *store;
  char *clones;
  CsClonePlan *plan;
  json_object *documents;

  /* under lock */
  GMutex lock;
  json_object *record; /* the plan's; VMs are made by several threads */
};

void
cs_clone_free (CsClone *clone)
{
  if (clone == NULL)
    return;
  cs_clone_plan_free (clone->plan);
  json_object_put (clone->documents);
  g_free (clone->clones);
  g_mutex_clear (&clone->lock);
  g_free (clone);
}

const char *
cs_clone_name (const CsClone *clone)
{
  return cs_clone_plan_name (clone->plan);
}

const char *
cs_clone_directory (const CsClone *clone)
{
  return cs_json_string (clone->record, "directory");
}

json_object *
cs_clone_documents (const CsClone *clone)
{
  return clone->documents;
}

json_object *
cs_clone_record (const CsClone *clone)
{
  return clone->record;
}

/* ---- the plan ---- */

/* The snapshot says which bridge a tap was on; an old one does not: then the tap itself, if it is
 * still there. */
static const char *
bridge_of_tap (const char *ifname, void *data)
{
  const char *recorded = cs_json_string (data, ifname);
  if (recorded != NULL)
    return recorded;
  g_autofree char *bridge = cs_clone_network_bridge_of (ifname);
  return bridge != NULL ? g_intern_string (bridge) : NULL;
}

static json_object *
rewrite_qmp (CsClonePlanVm *vm, json_object *source, GError **error)
{
  json_object *array = cs_json_array (source, "argv");
  const char *socket = cs_json_string (source, "socket");
  const char *directory = cs_json_string (source, "directory");
  gsize n = array != NULL ? json_object_array_length (array) : 0;
  g_autofree const char **arguments = g_new0 (const char *, n + 1);
  for (gsize i = 0; i < n; i++)
    arguments[i] = json_object_get_string (json_object_array_get_idx (array, i));
  if (n == 0 || socket == NULL || directory == NULL || !g_path_is_absolute (directory))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the manifest's \"source\" is incomplete");
      return NULL;
    }
  CsCloneArgvContext context = { directory, bridge_of_tap, cs_json_member_object (source, "taps") };
  g_auto (GStrv) argv = cs_clone_argv_rewrite (vm, arguments, &context, error);
  if (argv == NULL)
    return NULL;
  const char *moved = cs_clone_plan_vm_known (vm, socket);
  if (moved == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
                   "VM '%s' cannot be cloned: no argument of its QEMU names its QMP socket '%s'",
                   cs_clone_plan_vm_member (vm, "name"), socket);
      return NULL;
    }
  json_object *rewritten = json_object_new_object (), *words = json_object_new_array ();
  for (char **at = argv; *at != NULL; at++)
    json_object_array_add (words, json_object_new_string (*at));
  cs_json_add_string (rewritten, "transport", "qmp");
  cs_json_add_string (rewritten, "socket", moved);
  json_object_object_add (rewritten, "argv", words);
  cs_json_add_string (rewritten, "directory", directory);
  return rewritten;
}

static json_object *
rewrite_libvirt (CsClonePlanVm *vm, json_object *source, GError **error)
{
  const char *xml = cs_json_string (source, "xml"), *uri = cs_json_string (source, "uri");
  const char *domain = cs_json_string (source, "domain");
  if (xml == NULL || uri == NULL || domain == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the manifest's \"source\" is incomplete");
      return NULL;
    }
  g_autofree char *name =
      g_strdup_printf ("%s-%s", cs_clone_plan_name (cs_clone_plan_vm_plan (vm)), domain);
  g_autofree char *rewritten_xml = cs_clone_xml_rewrite (vm, xml, name, error);
  if (rewritten_xml == NULL)
    return NULL;
  json_object *rewritten = json_object_new_object ();
  cs_json_add_string (rewritten, "transport", "libvirt");
  cs_json_add_string (rewritten, "uri", uri);
  cs_json_add_string (rewritten, "domain", name);
  cs_json_add_string (rewritten, "uuid", cs_clone_plan_vm_uuid (vm));
  cs_json_add_string (rewritten, "xml", rewritten_xml);
  return rewritten;
}

static bool
plan_vm (CsClone *clone, json_object *document, GError **error)
{
  json_object *source = cs_json_member_object (document, "source");
  CsClonePlanVm *vm = cs_clone_plan_add_vm (clone->plan, document, error);
  if (vm == NULL)
    return false;
  bool libvirt = g_strcmp0 (cs_json_string (source, "transport"), "libvirt") == 0;
  json_object *rewritten =
      libvirt ? rewrite_libvirt (vm, source, error) : rewrite_qmp (vm, source, error);
  if (rewritten == NULL)
    return false;
  cs_clone_plan_vm_set_source (vm, rewritten);
  if (!cs_clone_plan_vm_check (vm, error))
    return false;
  json_object_array_add (clone->documents, cs_clone_plan_vm_document (vm, document));
  return true;
}

CsClone *
cs_clone_new (CsStore *store, const CsCloneRequest *request, json_object *documents, GError **error)
{
  g_autoptr (CsClone) clone = g_new0 (CsClone, 1);
  g_mutex_init (&clone->lock);
  g_autofree char *directory = g_build_filename (
      request->directory != NULL ? request->directory : request->clones, request->name, NULL);
  clone->store = store;
  clone->clones = g_strdup (request->clones);
  clone->documents = json_object_new_array ();
  clone->plan = cs_clone_plan_new (request->name, directory, error);
  if (clone->plan == NULL)
    return NULL;
  clone->record = cs_clone_plan_record (clone->plan);
  cs_json_add_string (clone->record, "store", cs_store_path (store));
  cs_json_add_string (clone->record, "cluster", request->cluster);
  cs_json_add_string (clone->record, "snapshot", request->snapshot);
  for (gsize i = 0; i < json_object_array_length (documents); i++)
    if (!plan_vm (clone, json_object_array_get_idx (documents, i), error))
      return NULL;
  return g_steal_pointer (&clone);
}

/* ---- making ---- */

/* libvirt's QEMU is another user: it must reach its files by name, but need not list anything. */
static void
let_pass (const char *directory)
{
  struct stat info;
  if (stat (directory, &info) == 0 && info.st_uid == geteuid () && (info.st_mode & 0011) != 0011)
    chmod (directory, (info.st_mode & 07777) | 0011);
}

static bool
make_directory (const CsClone *clone, GError **error)
{
  const char *path = cs_clone_directory (clone), *id = cs_json_string (clone->record, "id");
  g_autofree char *parent = g_path_get_dirname (path);
  g_autofree char *marker = g_build_filename (path, CS_CLONE_MARKER, NULL);
  if (g_mkdir_with_parents (parent, 0711) < 0 || mkdir (path, 0711) < 0)
    {
      if (errno == EEXIST)
        g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
                     "'%s' is there already: choose another name or --directory", path);
      else
        cs_error_set_errno (error, errno, "cannot make directory '%s'", path);
      return false;
    }
  let_pass (path);
  if (g_str_equal (parent, clone->clones))
    {
      g_autofree char *above = g_path_get_dirname (parent);
      let_pass (parent);
      let_pass (above);
    }
  return cs_file_commit (marker, id, strlen (id), false, error);
}

static bool
make_networks (const CsClone *clone, GError **error)
{
  for (guint i = 0; i < cs_clone_record_n (clone->record, "bridges"); i++)
    {
      json_object *bridge = cs_clone_record_at (clone->record, "bridges", i);
      if (!cs_clone_network_add_bridge (cs_json_string (bridge, "name"), error))
        return false;
    }
  for (guint i = 0; i < cs_clone_record_n (clone->record, "taps"); i++)
    {
      json_object *tap = cs_clone_record_at (clone->record, "taps", i);
      bool many = json_object_get_boolean (json_object_object_get (tap, "multi-queue"));
      if (!cs_clone_network_add_tap (cs_json_string (tap, "name"), many,
                                     cs_json_string (tap, "bridge"), error))
        return false;
    }
  return true;
}

static bool
make_root (const CsClone *clone, GError **error)
{
  g_autoptr (CsJson) root = json_object_new_object ();
  g_autofree char *name = cs_clone_root_name (clone->record);
  json_object *images = json_object_new_array ();
  for (guint i = 0; i < cs_clone_record_n (clone->record, "vms"); i++)
    json_object_array_add (images, json_object_new_string (cs_json_string (
                                       cs_clone_record_at (clone->record, "vms", i), "image")));
  json_object_object_add (root, "images", images);
  cs_json_add_string (root, "clone", cs_clone_name (clone));
  return cs_store_root_put (clone->store, name, root, error);
}

static bool
check_absent (const CsClone *clone, GError **error)
{
  struct stat info;
  if (lstat (cs_clone_directory (clone), &info) < 0 && errno == ENOENT)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
               "'%s' is there already: choose another name or --directory",
               cs_clone_directory (clone));
  return false;
}

bool
cs_clone_begin (CsClone *clone, GError **error)
{
  if (g_mkdir_with_parents (clone->clones, 0711) < 0)
    return cs_error_set_errno (error, errno, "cannot make directory '%s'", clone->clones);
  g_autoptr (GError) local = NULL;
  if (!check_absent (clone, error))
    return false;
  if (!cs_clone_record_write (clone->clones, clone->record, false, &local))
    {
      if (g_error_matches (local, CS_ERROR, CS_ERROR_EXISTS))
        g_set_error (error, CS_ERROR, CS_ERROR_EXISTS,
                     "there is a clone '%s' already: choose another name, or remove it with "
                     "'clusnap cluster delete %s --purge'",
                     cs_clone_name (clone), cs_clone_name (clone));
      else
        g_propagate_error (error, g_steal_pointer (&local));
      return false;
    }
  if (cs_fault_point ("clone-record", error) && make_directory (clone, error)
      && make_root (clone, error) && make_networks (clone, error)
      && cs_fault_point ("clone-network", error))
    return true;
  g_prefix_error (error, "cannot make clone '%s': ", cs_clone_name (clone));
  g_autoptr (GError) left = NULL;
  if (!cs_clone_remove (clone->clones, clone->record, clone->store, &left))
    g_warning ("clone '%s' is not gone completely: %s", cs_clone_name (clone), left->message);
  return false;
}

/* ---- one VM ---- */

static bool
copy_files (json_object *vm, GError **error)
{
  for (guint i = 0; i < cs_clone_record_n (vm, "copies"); i++)
    {
      json_object *copy = cs_clone_record_at (vm, "copies", i);
      g_autoptr (GFile) from = g_file_new_for_path (cs_json_string (copy, "original"));
      g_autoptr (GFile) to = g_file_new_for_path (cs_json_string (copy, "path"));
      g_autoptr (GError) local = NULL;
      if (g_file_copy (from, to, G_FILE_COPY_NONE, NULL, NULL, NULL, &local))
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_IO, "cannot copy '%s': %s",
                   cs_json_string (copy, "original"), local->message);
      return false;
    }
  return true;
}

static bool
make_overlays (json_object *vm, json_object *document, uid_t uid, gid_t gid, GError **error)
{
  json_object *disks = cs_json_array (document, "disks");
  for (guint i = 0; i < cs_clone_record_n (vm, "overlays"); i++)
    {
      json_object *overlay = cs_clone_record_at (vm, "overlays", i);
      const char *path = cs_json_string (overlay, "path");
      const char *backing = cs_json_string (json_object_array_get_idx (disks, i), "backing-file");
      if (!cs_clone_overlay_make (path, cs_json_uint (overlay, "size", 0), backing, error))
        return false;
      if (chown (path, uid, gid) < 0)
        return cs_error_set_errno (error, errno, "cannot give '%s' to QEMU's user", path);
    }
  return true;
}

static bool
serve_disks (CsClone *clone, json_object *vm, uid_t uid, gid_t gid, GError **error)
{
  if (cs_clone_record_n (vm, "overlays") == 0)
    return true;
  g_autoptr (CsDiskServe) serve = cs_disk_serve_start (
      clone->store, cs_json_string (vm, "image"), cs_json_string (vm, "socket"), uid, gid, error);
  if (serve == NULL)
    return false;
  g_mutex_lock (&clone->lock);
  json_object_object_add (vm, "server", cs_disk_serve_to_json (serve));
  g_mutex_unlock (&clone->lock);
  return true;
}

bool
cs_clone_make_vm (CsClone *clone, guint i, GError **error)
{
  json_object *vm = cs_clone_record_at (clone->record, "vms", i);
  json_object *document = json_object_array_get_idx (clone->documents, i);
  const char *directory = cs_json_string (vm, "directory");
  uid_t uid;
  gid_t gid;
  cs_clone_vm_owner (vm, &uid, &gid);
  if (mkdir (directory, 0700) < 0 || chown (directory, uid, gid) < 0)
    return cs_error_set_errno (error, errno, "cannot make directory '%s'", directory);
  return copy_files (vm, error) && make_overlays (vm, document, uid, gid, error)
         && serve_disks (clone, vm, uid, gid, error) && cs_fault_point ("clone-vm", error);
}

bool
cs_clone_release (CsClone *clone, GError **error)
{
  g_mutex_lock (&clone->lock);
  cs_json_add_string (clone->record, "state", "running");
  bool ok = cs_clone_record_write (clone->clones, clone->record, true, error);
  g_mutex_unlock (&clone->lock);
  return ok;
}
