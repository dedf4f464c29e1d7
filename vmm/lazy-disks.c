#include "config.h"

#include "vmm/lazy-disks-private.h"

#include "common/error.h"
#include "vmm/disk-file.h"
#include "vmm/disk-private.h"
#include "vmm/libvirt.h"
#include "vmm/source-xml.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SOCKET_PREFIX (CS_SOURCE_BACKING_SOCKET + 1)
/* Seconds that requests of the guest wait for a server to be there again. */
#define RECONNECT_DELAY 86400

static void
lazy_disk_free (gpointer data)
{
  CsLazyDisk *disk = data;
  cs_lazy_aside_free (disk->aside);
  cs_disk_free (disk->form);
  g_free (disk->name);
  g_free (disk->filename);
  g_free (disk);
}

/* Whether it is filled beside its path. */
static bool
is_aside (const CsDisk *disk)
{
  return strcmp (disk->format, "raw") == 0 || disk->backing_file != NULL;
}

bool
cs_lazy_disks_can (const CsDisk *disk, json_object *source)
{
  struct stat st;
  const char *xml = cs_json_string (source, "xml");
  if (stat (disk->filename, &st) == 0 && !S_ISREG (st.st_mode))
    return false;
  if (xml == NULL || !is_aside (disk))
    return true;
  if (disk->backing_file != NULL && cs_disk_file_has_protocol (disk->backing_file))
    return false;
  bool is_link = lstat (disk->filename, &st) == 0 && S_ISLNK (st.st_mode);
  return !is_link && cs_source_xml_can_overlay (xml, disk->filename, disk->format);
}

bool
cs_lazy_disks_is_ours (const char *backing)
{
  return strstr (backing, CS_SOURCE_BACKING_SOCKET) != NULL;
}

static CsLazyDisks *
lazy_alloc (CsStore *store, const char *image, json_object *source)
{
  CsLazyDisks *lazy = g_new0 (CsLazyDisks, 1);
  lazy->store = store;
  lazy->image = g_strdup (image);
  lazy->uri = g_strdup (cs_json_string (source, "uri"));
  lazy->uuid = g_strdup (cs_json_string (source, "uuid"));
  lazy->uid = (uid_t)-1;
  lazy->gid = (gid_t)-1;
  lazy->disks = g_ptr_array_new_with_free_func (lazy_disk_free);
  return lazy;
}

static void
remove_root (CsLazyDisks *lazy)
{
  g_autoptr (GError) error = NULL;
  if (!cs_store_root_remove (lazy->store, lazy->root, &error)
      && !g_error_matches (error, CS_ERROR, CS_ERROR_NOT_FOUND))
    g_warning ("%s", error->message);
}

static void
end_serving (CsLazyDisks *lazy)
{
  if (lazy->serve != NULL)
    cs_disk_serve_stop (lazy->serve);
  g_clear_pointer (&lazy->serve, cs_disk_serve_free);
  remove_root (lazy);
}

static CsLazyDisk *
lazy_disk (const CsLazyDisks *lazy, guint i)
{
  return lazy->disks->pdata[i];
}

void
cs_lazy_disks_free (CsLazyDisks *lazy)
{
  if (lazy == NULL)
    return;
  for (guint i = 0; !lazy->kept && i < lazy->disks->len; i++)
    if (lazy_disk (lazy, i)->aside != NULL)
      cs_lazy_aside_discard (lazy_disk (lazy, i)->aside);
  if (!lazy->kept && lazy->root != NULL)
    end_serving (lazy);
  cs_disk_serve_free (lazy->serve);
  g_ptr_array_unref (lazy->disks);
  g_free (lazy->image);
  g_free (lazy->root);
  g_free (lazy->socket);
  g_free (lazy->directory);
  g_free (lazy->uri);
  g_free (lazy->uuid);
  g_free (lazy);
}

void
cs_lazy_disks_check_complete (CsLazyDisks *lazy)
{
  for (guint i = 0; i < lazy->disks->len; i++)
    if (!lazy_disk (lazy, i)->complete)
      return;
  end_serving (lazy);
  __atomic_store_n (&lazy->done, lazy->total, __ATOMIC_RELAXED);
  g_atomic_int_set (&lazy->complete, 1);
}

/* ---- making and keeping ---- */

static bool
put_root (CsLazyDisks *lazy, json_object *source, GError **error)
{
  g_autoptr (CsJson) root = json_object_new_object ();
  json_object *images = json_object_new_array ();
  json_object_array_add (images, json_object_new_string (lazy->image));
  json_object_object_add (root, "images", images);
  cs_json_add_string (root, "purpose", "disks of a restore");
  cs_json_add_string (root, "domain", cs_json_string (source, "domain"));
  cs_json_add_string (root, "socket", cs_json_string (source, "socket"));
  return cs_store_root_put (lazy->store, lazy->root, root, error);
}

bool
cs_lazy_disks_serve (CsLazyDisks *lazy, GError **error)
{
  if (lazy->serve != NULL && cs_disk_serve_is_alive (lazy->serve))
    return true;
  if (lazy->uri != NULL && lazy->uid == (uid_t)-1)
    {
      g_autoptr (virConnect) connection = cs_libvirt_connect (lazy->uri, error);
      if (connection == NULL || !cs_libvirt_qemu_owner (connection, &lazy->uid, &lazy->gid, error))
        return false;
    }
  g_clear_pointer (&lazy->serve, cs_disk_serve_free);
  lazy->serve =
      cs_disk_serve_start (lazy->store, lazy->image, lazy->socket, lazy->uid, lazy->gid, error);
  return lazy->serve != NULL;
}

CsLazyDisks *
cs_lazy_disks_new (CsStore *store, const char *image, json_object *source, const char *directory,
                   guint64 rate, GError **error)
{
  g_autoptr (CsLazyDisks) lazy = lazy_alloc (store, image, source);
  g_autofree char *id = g_strdup_printf ("%08x%08x", g_random_int (), g_random_int ());
  g_autofree char *name = g_strconcat (SOCKET_PREFIX, id, NULL);
  lazy->root = g_strconcat ("restore-", id, NULL);
  lazy->socket = g_build_filename (directory, name, NULL);
  lazy->directory = g_strdup (directory);
  lazy->rate = rate;
  return put_root (lazy, source, error) && cs_lazy_disks_serve (lazy, error)
             ? g_steal_pointer (&lazy)
             : NULL;
}

void
cs_lazy_disks_keep (CsLazyDisks *lazy)
{
  lazy->kept = true;
}

static CsLazyDisk *
add_disk (CsLazyDisks *lazy, const char *name, const char *filename, guint64 size)
{
  CsLazyDisk *disk = g_new0 (CsLazyDisk, 1);
  disk->name = g_strdup (name);
  disk->filename = g_strdup (filename);
  disk->size = size;
  g_ptr_array_add (lazy->disks, disk);
  __atomic_fetch_add (&lazy->total, size, __ATOMIC_RELAXED);
  return disk;
}

static CsLazyAsideDisk
aside_disk (const CsLazyDisks *lazy, guint number)
{
  return (CsLazyAsideDisk){ .store = lazy->store,
                            .image = lazy->image,
                            .form = lazy_disk (lazy, number)->form,
                            .number = number,
                            .directory = lazy->directory,
                            .rate = lazy->rate };
}

char *
cs_lazy_disks_add (CsLazyDisks *lazy, const CsDisk *disk, GError **error)
{
  CsLazyDisk *added = add_disk (lazy, disk->name, disk->filename, disk->size);
  if (is_aside (disk))
    {
      g_autoptr (CsJson) form = cs_disk_to_json (disk);
      added->form = cs_disk_from_json (form, error);
      if (added->form == NULL)
        return NULL;
      CsLazyAsideDisk aside = aside_disk (lazy, lazy->disks->len - 1);
      /* libvirt's XML has the path as it is. */
      g_autofree char *resolved = lazy->uri == NULL ? realpath (disk->filename, NULL) : NULL;
      added->aside = cs_lazy_aside_new (&aside, resolved ? resolved : disk->filename, error);
      if (added->aside == NULL)
        return NULL;
    }
  return cs_lazy_disks_backing (lazy, disk->name);
}

char *
cs_lazy_disks_backing (const CsLazyDisks *lazy, const char *name)
{
  g_autoptr (CsJson) options = cs_json_strings ("driver", "nbd", "export", name, NULL);
  json_object_object_add (options, "server",
                          cs_json_strings ("type", "unix", "path", lazy->socket, NULL));
  json_object_object_add (options, "reconnect-delay", json_object_new_int (RECONNECT_DELAY));
  g_autoptr (CsJson) image = cs_json_strings ("driver", "raw", NULL);
  json_object_object_add (image, "file", g_steal_pointer (&options));
  return g_strconcat ("json:",
                      json_object_to_json_string_ext (image, JSON_C_TO_STRING_PLAIN
                                                                 | JSON_C_TO_STRING_NOSLASHESCAPE),
                      NULL);
}

const char *
cs_lazy_disks_overlay (const CsLazyDisks *lazy, const CsDisk *disk)
{
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      const CsLazyDisk *own = lazy_disk (lazy, i);
      if (own->aside != NULL && !own->complete && strcmp (own->name, disk->name) == 0)
        return cs_lazy_aside_overlay (own->aside);
    }
  return NULL;
}

bool
cs_lazy_disks_prepare (CsLazyDisks *lazy, GError **error)
{
  for (guint i = 0; lazy->uri != NULL && i < lazy->disks->len; i++)
    {
      CsLazyDisk *disk = lazy_disk (lazy, i);
      g_autofree char *backing = cs_lazy_disks_backing (lazy, disk->name);
      if (disk->aside != NULL && !cs_lazy_aside_prepare (disk->aside, backing, error))
        return false;
    }
  return true;
}

/* @xml, freed, as it must be for @disk. */
static char *
set_disk (const CsLazyDisks *lazy, const CsLazyDisk *disk, char *xml, GError **error)
{
  char *backed = cs_source_xml_set_backing (xml, disk->filename, lazy->socket, disk->name,
                                            RECONNECT_DELAY, error);
  g_free (xml);
  if (backed == NULL || disk->aside == NULL)
    return backed;
  char *changed = cs_source_xml_set_overlay (backed, disk->filename,
                                             cs_lazy_aside_overlay (disk->aside), error);
  g_free (backed);
  return changed;
}

json_object *
cs_lazy_disks_source (const CsLazyDisks *lazy, json_object *source, GError **error)
{
  if (cs_json_string (source, "xml") == NULL)
    return json_object_get (source);
  char *xml = g_strdup (cs_json_string (source, "xml"));
  for (guint i = 0; xml != NULL && i < lazy->disks->len; i++)
    xml = set_disk (lazy, lazy_disk (lazy, i), xml, error);
  if (xml == NULL)
    return NULL;
  json_object *copy = NULL;
  json_object_deep_copy (source, &copy, NULL);
  json_object_object_add (copy, "xml", json_object_new_string (xml));
  g_free (xml);
  return copy;
}

/* ---- any thread ---- */

void
cs_lazy_disks_progress (const CsLazyDisks *lazy, guint64 *done, guint64 *total)
{
  *done = __atomic_load_n (&lazy->done, __ATOMIC_RELAXED);
  *total = __atomic_load_n (&lazy->total, __ATOMIC_RELAXED);
}

bool
cs_lazy_disks_is_complete (const CsLazyDisks *lazy)
{
  return g_atomic_int_get (&lazy->complete) != 0;
}

/* ---- journal ---- */

json_object *
cs_lazy_disks_to_json (const CsLazyDisks *lazy)
{
  json_object *object =
      cs_json_strings ("image", lazy->image, "root", lazy->root, "socket", lazy->socket, NULL);
  json_object *disks = json_object_new_array ();
  cs_json_add_uint (object, "rate", lazy->rate);
  if (lazy->serve != NULL)
    json_object_object_add (object, "serve", cs_disk_serve_to_json (lazy->serve));
  for (guint i = 0; i < lazy->disks->len; i++)
    {
      const CsLazyDisk *disk = lazy->disks->pdata[i];
      json_object *entry = cs_json_strings ("name", disk->name, "filename", disk->filename, NULL);
      cs_json_add_uint (entry, "size", disk->size);
      json_object_object_add (entry, "complete", json_object_new_boolean (disk->complete));
      if (disk->aside != NULL)
        {
          cs_json_add_string (entry, "aside", cs_lazy_aside_path (disk->aside));
          json_object_object_add (entry, "form", cs_disk_to_json (disk->form));
        }
      json_object_array_add (disks, entry);
    }
  json_object_object_add (object, "disks", disks);
  return object;
}

static bool
take_disk (CsLazyDisks *lazy, json_object *entry, const char *name, const char *filename)
{
  CsLazyDisk *disk = add_disk (lazy, name, filename, cs_json_uint (entry, "size", 0));
  const char *path = cs_json_string (entry, "aside");
  disk->complete = json_object_get_boolean (json_object_object_get (entry, "complete"));
  if (path == NULL)
    return true;
  disk->form = cs_disk_from_json (cs_json_member_object (entry, "form"), NULL);
  CsLazyAsideDisk aside = aside_disk (lazy, lazy->disks->len - 1);
  if (disk->form != NULL)
    disk->aside = cs_lazy_aside_from_path (&aside, path);
  return disk->form != NULL;
}

static bool
take_record (CsLazyDisks *lazy, json_object *object, GError **error)
{
  json_object *disks = cs_json_array (object, "disks");
  lazy->root = g_strdup (cs_json_string (object, "root"));
  lazy->socket = g_strdup (cs_json_string (object, "socket"));
  lazy->rate = cs_json_uint (object, "rate", 0);
  bool valid = disks != NULL && lazy->root != NULL && lazy->socket != NULL;
  lazy->directory = valid ? g_path_get_dirname (lazy->socket) : NULL;
  for (gsize i = 0; valid && i < json_object_array_length (disks); i++)
    {
      json_object *disk = json_object_array_get_idx (disks, i);
      const char *name = cs_json_string (disk, "name");
      const char *filename = cs_json_string (disk, "filename");
      valid = name != NULL && filename != NULL && take_disk (lazy, disk, name, filename);
    }
  if (!valid)
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the record of lazy disks is not valid");
  return valid;
}

CsLazyDisks *
cs_lazy_disks_from_json (CsStore *store, json_object *source, json_object *object, GError **error)
{
  const char *image = cs_json_string (object, "image");
  g_autoptr (CsLazyDisks) lazy = lazy_alloc (store, image ? image : "", source);
  lazy->kept = true;
  if (!take_record (lazy, object, error))
    return NULL;
  g_autoptr (GError) gone = NULL;
  lazy->serve = cs_disk_serve_from_json (cs_json_member_object (object, "serve"), &gone);
  return lazy->serve != NULL || cs_lazy_disks_serve (lazy, error) ? g_steal_pointer (&lazy) : NULL;
}

void
cs_lazy_disks_undo (CsStore *store, json_object *object)
{
  g_autoptr (CsLazyDisks) lazy = lazy_alloc (store, "", NULL);
  lazy->kept = true;
  if (!take_record (lazy, object, NULL))
    return;
  for (guint i = 0; i < lazy->disks->len; i++)
    if (lazy_disk (lazy, i)->aside != NULL)
      cs_lazy_aside_discard (lazy_disk (lazy, i)->aside);
  lazy->serve = cs_disk_serve_from_json (cs_json_member_object (object, "serve"), NULL);
  end_serving (lazy);
}
