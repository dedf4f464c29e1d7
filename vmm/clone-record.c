/* The record of a clone: reading and writing it, and what can be told from it. */
#include "config.h"

#include "vmm/clone-private.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/libvirt.h"
#include "vmm/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX ".json"
#define RECORD_MAX (64u << 20)

char *
cs_clone_record_path (const char *clones, const char *name)
{
  g_autofree char *file = g_strconcat (name, SUFFIX, NULL);
  return g_build_filename (clones, file, NULL);
}

bool
cs_clone_record_write (const char *clones, json_object *record, bool replace, GError **error)
{
  g_autofree char *path = cs_clone_record_path (clones, cs_json_string (record, "name"));
  const char *text = json_object_to_json_string_ext (record, JSON_C_TO_STRING_PRETTY);
  return cs_file_commit (path, text, strlen (text), replace, error);
}

static bool
is_file_name (const char *name)
{
  return name[0] != '\0' && name[0] != '.' && strchr (name, '/') == NULL;
}

json_object *
cs_clone_record_read (const char *clones, const char *name, GError **error)
{
  g_autofree char *path = cs_clone_record_path (clones, name);
  g_autofree char *text = NULL;
  gsize length = 0;
  if (!is_file_name (name) || !g_file_get_contents (path, &text, &length, NULL))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "there is no clone '%s' on this host",
                   name);
      return NULL;
    }
  g_autoptr (GError) local = NULL;
  g_autoptr (CsJson) record =
      length <= RECORD_MAX ? cs_json_parse_object (text, length, &local) : NULL;
  const char *directory = cs_json_string (record, "directory");
  if (g_strcmp0 (cs_json_string (record, "format"), "clusnap-clone") == 0
      && g_strcmp0 (cs_json_string (record, "name"), name) == 0
      && cs_json_string (record, "id") != NULL && directory != NULL
      && g_path_is_absolute (directory))
    return g_steal_pointer (&record);
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "the record of clone '%s' ('%s') is damaged",
               name, path);
  return NULL;
}

char **
cs_clone_record_list (const char *clones)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) directory = g_dir_open (clones, 0, NULL);
  const char *file;
  while (directory != NULL && (file = g_dir_read_name (directory)) != NULL)
    if (g_str_has_suffix (file, SUFFIX) && file[0] != '.')
      g_ptr_array_add (names, g_strndup (file, strlen (file) - strlen (SUFFIX)));
  g_ptr_array_add (names, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

char *
cs_clone_root_name (json_object *record)
{
  return g_strconcat ("clone-", cs_json_string (record, "id"), NULL);
}

guint
cs_clone_record_n (json_object *record, const char *name)
{
  json_object *array = cs_json_array (record, name);
  return array != NULL ? (guint)json_object_array_length (array) : 0;
}

json_object *
cs_clone_record_at (json_object *record, const char *name, guint i)
{
  return json_object_array_get_idx (cs_json_array (record, name), i);
}

/* ---- QEMU ---- */

/* <baselabel type='qemu'>+64055:+64055</baselabel> in the security model "dac". */
void
cs_clone_libvirt_owner (const char *uri, uid_t *uid, gid_t *gid)
{
  *uid = geteuid ();
  *gid = getegid ();
  g_autoptr (virConnect) connection = cs_libvirt_connect (uri, NULL);
  char *text = connection != NULL ? virConnectGetCapabilities (connection) : NULL;
  const char *model = text != NULL ? strstr (text, "<model>dac</model>") : NULL;
  const char *label = model != NULL ? strstr (model, "<baselabel") : NULL;
  unsigned user, group;
  if (label != NULL && sscanf (label, "<baselabel type='%*[a-z]'>+%u:+%u<", &user, &group) == 2)
    {
      *uid = user;
      *gid = group;
    }
  free (text);
}

void
cs_clone_vm_owner (json_object *vm, uid_t *uid, gid_t *gid)
{
  const char *uri = cs_json_string (cs_json_member_object (vm, "source"), "uri");
  *uid = geteuid ();
  *gid = getegid ();
  if (uri != NULL)
    cs_clone_libvirt_owner (uri, uid, gid);
}

pid_t
cs_clone_vm_pid (json_object *vm)
{
  json_object *source = cs_json_member_object (vm, "source");
  const char *domain = cs_json_string (source, "domain");
  if (domain != NULL)
    return cs_process_of_domain (domain, cs_json_string (source, "uuid"), NULL);
  guint n = cs_clone_record_n (source, "argv");
  g_autofree const char **argv = g_new0 (const char *, n + 1);
  for (guint i = 0; i < n; i++)
    argv[i] = json_object_get_string (cs_clone_record_at (source, "argv", i));
  return n > 0 ? cs_process_of_arguments (argv) : 0;
}

/* ---- showing ---- */

json_object *
cs_clone_refs (json_object *record)
{
  json_object *refs = json_object_new_array ();
  for (guint i = 0; i < cs_clone_record_n (record, "vms"); i++)
    {
      json_object *vm = cs_clone_record_at (record, "vms", i);
      json_object *source = cs_json_member_object (vm, "source");
      json_object *ref = json_object_new_object ();
      cs_json_add_string (ref, "name", cs_json_string (vm, "name"));
      cs_json_add_string (ref, "uri", cs_json_string (source, "uri"));
      cs_json_add_string (ref, "domain", cs_json_string (source, "domain"));
      cs_json_add_string (ref, "qmp", cs_json_string (source, "socket"));
      json_object_array_add (refs, ref);
    }
  return refs;
}

/* Pages shared with others count in part: proc_pid_smaps_rollup in proc(5). */
static guint64
process_memory (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/smaps_rollup", (int)pid);
  g_autofree char *text = NULL;
  if (pid <= 0 || !g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  const char *pss = strstr (text, "\nPss:");
  return pss != NULL ? g_ascii_strtoull (pss + strlen ("\nPss:"), NULL, 10) * 1024 : 0;
}

static guint64
directory_bytes (const char *path)
{
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  const char *name;
  guint64 bytes = 0;
  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      struct stat info;
      g_autofree char *file = g_build_filename (path, name, NULL);
      if (lstat (file, &info) == 0 && S_ISREG (info.st_mode))
        bytes += (guint64)info.st_blocks * 512;
    }
  return bytes;
}

json_object *
cs_clone_show (json_object *record)
{
  static const char *const copied[] = { "name", "state", "directory", "cluster", "snapshot" };
  json_object *shown = json_object_new_object (), *vms = json_object_new_array ();
  guint64 memory = 0, disk = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (copied); i++)
    cs_json_add_string (shown, copied[i], cs_json_string (record, copied[i]));
  for (guint i = 0; i < cs_clone_record_n (record, "vms"); i++)
    {
      json_object *vm = cs_clone_record_at (record, "vms", i), *row = json_object_new_object ();
      pid_t pid = cs_clone_vm_pid (vm);
      pid_t server = cs_process_of_program ("nbdkit", cs_json_string (vm, "socket"));
      guint64 own = process_memory (pid) + process_memory (server);
      guint64 files = directory_bytes (cs_json_string (vm, "directory"));
      cs_json_add_string (row, "name", cs_json_string (vm, "name"));
      json_object_object_add (row, "running", json_object_new_boolean (pid > 0));
      cs_json_add_uint (row, "memory", own);
      cs_json_add_uint (row, "disk", files);
      json_object_array_add (vms, row);
      memory += own;
      disk += files;
    }
  json_object_object_add (shown, "vms", vms);
  cs_json_add_uint (shown, "memory", memory);
  cs_json_add_uint (shown, "disk", disk);
  return shown;
}
