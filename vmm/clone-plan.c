#include "config.h"

#include "vmm/clone-plan.h"

#include "common/error.h"
#include "vmm/disk.h"

#include <string.h>
#include <sys/un.h>

#define ID_LENGTH 6
#define CLUSTER_SIZE 65536
/* Of a file name made from another one, so that a socket's path stays short. */
#define BASE_MAX 24

struct CsClonePlanVm
{
  CsClonePlan *plan;
  json_object *record; /* in the plan's */
  guint *uses;         /* of each overlay */
};

struct CsClonePlan
{
  json_object *record;
  GPtrArray *vms; /* of CsClonePlanVm */
};

static json_object *
add_array (json_object *object, const char *key)
{
  json_object *array = json_object_new_array ();
  json_object_object_add (object, key, array);
  return array;
}

static void
vm_free (gpointer data)
{
  CsClonePlanVm *vm = data;
  g_free (vm->uses);
  g_free (vm);
}

void
cs_clone_plan_free (CsClonePlan *plan)
{
  if (plan == NULL)
    return;
  g_ptr_array_unref (plan->vms);
  json_object_put (plan->record);
  g_free (plan);
}

static bool
is_name (const char *name)
{
  gsize length = strlen (name);
  if (length == 0 || length > 64 || !g_ascii_isalnum (name[0]))
    return false;
  return strspn (name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
         == length;
}

static bool
check_directory (const char *directory, GError **error)
{
  bool good = g_path_is_absolute (directory) && g_utf8_validate (directory, -1, NULL)
              && strpbrk (directory, ",:'\"\\%?#&<>") == NULL;
  for (const char *c = directory; good && *c != '\0'; c++)
    good = !g_ascii_iscntrl (*c) && *c != ' ';
  if (!good)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "'%s' cannot be a clone's directory: it must be absolute and without blanks, "
                   "quotes and , : %% ? # & < >",
                   directory);
      return false;
    }
  struct sockaddr_un address;
  if (strlen (directory) + strlen ("/vm1023/") + BASE_MAX < sizeof address.sun_path)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "'%s' is too long for a clone's directory: the paths of unix sockets in it would "
               "not fit",
               directory);
  return false;
}

static char *
random_id (void)
{
  static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  char id[ID_LENGTH + 1] = { 0 };
  for (guint i = 0; i < ID_LENGTH; i++)
    id[i] = digits[g_random_int_range (0, sizeof digits - 1)];
  return g_strdup (id);
}

CsClonePlan *
cs_clone_plan_new (const char *name, const char *directory, GError **error)
{
  if (!is_name (name))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "'%s' cannot be a clone's name: it needs 1 to 64 letters, digits, '.', '_', "
                   "'-', a letter or digit first",
                   name);
      return NULL;
    }
  if (!check_directory (directory, error))
    return NULL;
  CsClonePlan *plan = g_new0 (CsClonePlan, 1);
  g_autofree char *id = random_id ();
  plan->vms = g_ptr_array_new_with_free_func (vm_free);
  plan->record = json_object_new_object ();
  cs_json_add_string (plan->record, "format", "clusnap-clone");
  cs_json_add_uint (plan->record, "version", 1);
  cs_json_add_string (plan->record, "name", name);
  cs_json_add_string (plan->record, "id", id);
  cs_json_add_string (plan->record, "state", "making");
  cs_json_add_string (plan->record, "directory", directory);
  add_array (plan->record, "bridges");
  add_array (plan->record, "taps");
  add_array (plan->record, "vms");
  return plan;
}

json_object *
cs_clone_plan_record (CsClonePlan *plan)
{
  return plan->record;
}

const char *
cs_clone_plan_name (const CsClonePlan *plan)
{
  return cs_json_string (plan->record, "name");
}

/* ---- networks ---- */

/* The member @value of the object in @array whose member @key is @wanted. */
static const char *
look_up (json_object *array, const char *key, const char *wanted, const char *value)
{
  for (gsize i = 0; i < json_object_array_length (array); i++)
    {
      json_object *one = json_object_array_get_idx (array, i);
      if (g_strcmp0 (cs_json_string (one, key), wanted) == 0)
        return cs_json_string (one, value);
    }
  return NULL;
}

const char *
cs_clone_plan_bridge (CsClonePlan *plan, const char *network)
{
  json_object *bridges = cs_json_array (plan->record, "bridges");
  const char *known = look_up (bridges, "network", network, "name");
  if (known != NULL)
    return known;
  g_autofree char *name = g_strdup_printf ("csc-%s-%zu", cs_json_string (plan->record, "id"),
                                           json_object_array_length (bridges));
  json_object *bridge = json_object_new_object ();
  cs_json_add_string (bridge, "network", network);
  cs_json_add_string (bridge, "name", name);
  json_object_array_add (bridges, bridge);
  return cs_json_string (bridge, "name");
}

const char *
cs_clone_plan_tap (CsClonePlan *plan, const char *network, bool multi_queue)
{
  json_object *taps = cs_json_array (plan->record, "taps");
  g_autofree char *name = g_strdup_printf ("csc-%st%zu", cs_json_string (plan->record, "id"),
                                           json_object_array_length (taps));
  json_object *tap = json_object_new_object ();
  cs_json_add_string (tap, "name", name);
  cs_json_add_string (tap, "bridge", cs_clone_plan_bridge (plan, network));
  json_object_object_add (tap, "multi-queue", json_object_new_boolean (multi_queue));
  json_object_array_add (taps, tap);
  return cs_json_string (tap, "name");
}

/* ---- VMs ---- */

static const char *
vm_text (const CsClonePlanVm *vm, const char *key)
{
  return cs_json_string (vm->record, key);
}

static bool
add_overlays (CsClonePlanVm *vm, json_object *document, GError **error)
{
  json_object *disks = cs_json_array (document, "disks");
  json_object *overlays = cs_json_array (vm->record, "overlays");
  gsize n = disks != NULL ? json_object_array_length (disks) : 0;
  vm->uses = g_new0 (guint, n + 1);
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (CsDisk) disk = cs_disk_from_json (json_object_array_get_idx (disks, i), error);
      if (disk == NULL)
        return false;
      g_autofree char *path = g_strdup_printf ("%s/disk%zu.qcow2", vm_text (vm, "directory"), i);
      json_object *overlay = json_object_new_object ();
      cs_json_add_string (overlay, "disk", disk->name);
      cs_json_add_string (overlay, "original", disk->filename);
      cs_json_add_string (overlay, "path", path);
      cs_json_add_uint (overlay, "size", disk->size);
      json_object_array_add (overlays, overlay);
    }
  return true;
}

CsClonePlanVm *
cs_clone_plan_add_vm (CsClonePlan *plan, json_object *document, GError **error)
{
  const char *name = cs_json_string (document, "name");
  const char *image = cs_json_string (document, "image");
  const char *directory = cs_json_string (plan->record, "directory");
  if (name == NULL || !is_name (name) || image == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "the manifest has a VM without a valid name or image");
      return NULL;
    }
  CsClonePlanVm *vm = g_new0 (CsClonePlanVm, 1);
  vm->plan = plan;
  vm->record = json_object_new_object ();
  g_ptr_array_add (plan->vms, vm);
  json_object_array_add (cs_json_array (plan->record, "vms"), vm->record);
  /* Numbered, not named: the paths of sockets are short. */
  g_autofree char *own = g_strdup_printf ("%s/vm%u", directory, plan->vms->len - 1);
  g_autofree char *socket = g_strdup_printf ("%s/nbd%u.sock", directory, plan->vms->len - 1);
  g_autofree char *uuid = g_uuid_string_random ();
  cs_json_add_string (vm->record, "name", name);
  cs_json_add_string (vm->record, "image", image);
  cs_json_add_string (vm->record, "directory", own);
  cs_json_add_string (vm->record, "uuid", uuid);
  cs_json_add_string (vm->record, "socket", socket);
  static const char *const arrays[] = { "overlays", "paths", "copies", "beside" };
  for (gsize i = 0; i < G_N_ELEMENTS (arrays); i++)
    add_array (vm->record, arrays[i]);
  return add_overlays (vm, document, error) ? vm : NULL;
}

const char *
cs_clone_plan_vm_uuid (const CsClonePlanVm *vm)
{
  return vm_text (vm, "uuid");
}

const char *
cs_clone_plan_vm_member (const CsClonePlanVm *vm, const char *member)
{
  return vm_text (vm, member);
}

CsClonePlan *
cs_clone_plan_vm_plan (const CsClonePlanVm *vm)
{
  return vm->plan;
}

const char *
cs_clone_plan_vm_known (const CsClonePlanVm *vm, const char *original)
{
  static const char *const kinds[] = { "paths", "copies", "beside" };
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      const char *path =
          look_up (cs_json_array (vm->record, kinds[i]), "original", original, "path");
      if (path != NULL)
        return path;
    }
  return NULL;
}

static const char *
remember (CsClonePlanVm *vm, const char *kind, const char *original, const char *path)
{
  json_object *entry = json_object_new_object ();
  cs_json_add_string (entry, "original", original);
  cs_json_add_string (entry, "path", path);
  json_object_array_add (cs_json_array (vm->record, kind), entry);
  return cs_json_string (entry, "path");
}

/* @original's own file name, so that people know it again: harmless, short, and not taken. */
static char *
file_name (CsClonePlanVm *vm, const char *original)
{
  g_autofree char *base = g_path_get_basename (original);
  for (char *c = base; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c) && strchr ("._-", *c) == NULL)
      *c = '_';
  if (base[0] == '.')
    base[0] = '_';
  gsize length = strlen (base);
  const char *tail = base + (length > BASE_MAX - 4 ? length - (BASE_MAX - 4) : 0);
  const char *kinds[] = { "paths", "copies" };
  g_autofree char *name = g_strdup (tail);
  for (guint number = 1;; number++)
    {
      g_autofree char *path = g_build_filename (vm_text (vm, "directory"), name, NULL);
      bool taken = look_up (cs_json_array (vm->record, "overlays"), "path", path, "path") != NULL;
      for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
        taken |= look_up (cs_json_array (vm->record, kinds[i]), "path", path, "path") != NULL;
      if (!taken)
        return g_steal_pointer (&path);
      g_free (name);
      name = g_strdup_printf ("%u-%s", number, tail);
    }
}

static const char *
map_into_directory (CsClonePlanVm *vm, const char *kind, const char *original)
{
  const char *known = cs_clone_plan_vm_known (vm, original);
  if (known != NULL)
    return known;
  g_autofree char *path = file_name (vm, original);
  return remember (vm, kind, original, path);
}

const char *
cs_clone_plan_vm_path (CsClonePlanVm *vm, const char *original)
{
  return map_into_directory (vm, "paths", original);
}

const char *
cs_clone_plan_vm_copy (CsClonePlanVm *vm, const char *original)
{
  return map_into_directory (vm, "copies", original);
}

const char *
cs_clone_plan_vm_beside (CsClonePlanVm *vm, const char *original)
{
  const char *known = cs_clone_plan_vm_known (vm, original);
  if (known != NULL)
    return known;
  g_autofree char *directory = g_path_get_dirname (original);
  g_autofree char *own = g_path_get_basename (vm_text (vm, "directory"));
  g_autofree char *path =
      g_strdup_printf ("%s/csc-%s-%s-%zu", directory, cs_json_string (vm->plan->record, "id"), own,
                       json_object_array_length (cs_json_array (vm->record, "beside")));
  return remember (vm, "beside", original, path);
}

const char *
cs_clone_plan_vm_overlay (CsClonePlanVm *vm, const char *filename)
{
  json_object *overlays = cs_json_array (vm->record, "overlays");
  for (gsize i = 0; i < json_object_array_length (overlays); i++)
    {
      json_object *overlay = json_object_array_get_idx (overlays, i);
      if (g_strcmp0 (cs_json_string (overlay, "original"), filename) != 0)
        continue;
      vm->uses[i]++;
      return cs_json_string (overlay, "path");
    }
  return NULL;
}

const char *
cs_clone_plan_vm_disk_name (const CsClonePlanVm *vm, const char *filename)
{
  return look_up (cs_json_array (vm->record, "overlays"), "original", filename, "disk");
}

bool
cs_clone_plan_vm_has_disk (const CsClonePlanVm *vm, const char *filename)
{
  return cs_clone_plan_vm_disk_name (vm, filename) != NULL;
}

bool
cs_clone_plan_vm_check (const CsClonePlanVm *vm, GError **error)
{
  json_object *overlays = cs_json_array (vm->record, "overlays");
  for (gsize i = 0; i < json_object_array_length (overlays); i++)
    {
      json_object *overlay = json_object_array_get_idx (overlays, i);
      if (vm->uses[i] == 1)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
                   "VM '%s' cannot be cloned: its disk '%s' ('%s') is named %s",
                   vm_text (vm, "name"), cs_json_string (overlay, "disk"),
                   cs_json_string (overlay, "original"),
                   vm->uses[i] == 0 ? "nowhere in its definition (was it plugged in later?)"
                                    : "more than once in its definition");
      return false;
    }
  return true;
}

void
cs_clone_plan_vm_set_source (CsClonePlanVm *vm, json_object *source)
{
  json_object_object_add (vm->record, "source", source);
}

/* The overlay's backing file, as its header names it: QEMU waits, rather than telling the guest of
 * an error, while the server is started anew. */
static char *
backing_of (const CsClonePlanVm *vm, const char *disk)
{
  g_autoptr (CsJson) raw = json_object_new_object ();
  json_object *file = json_object_new_object ();
  json_object *server = json_object_new_object ();
  cs_json_add_string (raw, "driver", "raw");
  json_object_object_add (raw, "file", file);
  cs_json_add_string (file, "driver", "nbd");
  cs_json_add_string (file, "export", disk);
  cs_json_add_string (server, "type", "unix");
  cs_json_add_string (server, "path", vm_text (vm, "socket"));
  json_object_object_add (file, "server", server);
  cs_json_add_uint (file, "reconnect-delay", CS_CLONE_RECONNECT);
  return g_strconcat (
      "json:",
      json_object_to_json_string_ext (raw, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
      NULL);
}

json_object *
cs_clone_plan_vm_document (const CsClonePlanVm *vm, json_object *document)
{
  json_object *copy = json_object_new_object ();
  cs_json_merge (copy, document);
  json_object_object_add (copy, "source",
                          json_object_get (cs_json_member_object (vm->record, "source")));
  json_object *disks = add_array (copy, "disks");
  json_object *old = cs_json_array (document, "disks");
  json_object *overlays = cs_json_array (vm->record, "overlays");
  for (gsize i = 0; i < json_object_array_length (overlays); i++)
    {
      json_object *disk = json_object_new_object ();
      cs_json_merge (disk, json_object_array_get_idx (old, i));
      json_object *overlay = json_object_array_get_idx (overlays, i);
      g_autofree char *backing = backing_of (vm, cs_json_string (overlay, "disk"));
      cs_json_add_string (disk, "filename", cs_json_string (overlay, "path"));
      cs_json_add_string (disk, "format", "qcow2");
      cs_json_add_uint (disk, "cluster-size", CLUSTER_SIZE);
      cs_json_add_string (disk, "backing-file", backing);
      cs_json_add_string (disk, "backing-format", "raw");
      json_object_array_add (disks, disk);
    }
  return copy;
}
