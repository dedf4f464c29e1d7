#include "config.h"

#include "vmm/restore-document.h"

#include <stdio.h>
#include <string.h>

#include "common/error.h"

/* vmm/devstate.h bounds it when saving. */
#define DEVICE_STATE_MAX (64 * 1024 * 1024)

static void
block_clear (gpointer data)
{
  g_free (((CsRestoreBlock *)data)->name);
}

void
cs_restore_document_free (CsRestoreDocument *document)
{
  if (document == NULL)
    return;
  g_free (document->name);
  g_free (document->image);
  g_free (document->machine);
  json_object_put (document->source);
  json_object_put (document->vm);
  g_array_unref (document->blocks);
  g_ptr_array_unref (document->disks);
  g_array_unref (document->disk_volumes);
  g_free (document);
}

static bool
invalid (GError **error, const char *key)
{
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "the manifest has no valid '%s'", key);
  return false;
}

static bool
get (json_object *object, const char *key, json_type type, json_object **value, GError **error)
{
  if (json_object_is_type (object, json_type_object)
      && json_object_object_get_ex (object, key, value) && json_object_is_type (*value, type))
    return true;
  return invalid (error, key);
}

/* A text of 1 to 255 bytes, without a NUL. */
static bool
get_text (json_object *object, const char *key, char **text, GError **error)
{
  json_object *value;
  if (!get (object, key, json_type_string, &value, error))
    return false;
  const char *string = json_object_get_string (value);
  gsize length = (gsize)json_object_get_string_len (value);
  if (length == 0 || length > 255 || strlen (string) != length)
    return invalid (error, key);
  *text = g_strdup (string);
  return true;
}

static bool
get_size (json_object *object, const char *key, guint64 *size, GError **error)
{
  json_object *value;
  if (!get (object, key, json_type_int, &value, error))
    return false;
  gint64 number = json_object_get_int64 (value);
  if (number <= 0 || number % CS_PAGE_SIZE != 0)
    return invalid (error, key);
  *size = (guint64)number;
  return true;
}

static bool
parse_block (CsRestoreDocument *document, json_object *object, guint64 *total, GError **error)
{
  CsRestoreBlock block = { 0 };
  bool ok = get_text (object, "name", &block.name, error)
            && get_size (object, "length", &block.length, error)
            && get_size (object, "page-size", &block.page_size, error);
  for (guint i = 0; ok && i < document->blocks->len; i++)
    if (g_str_equal (g_array_index (document->blocks, CsRestoreBlock, i).name, block.name))
      ok = invalid (error, "ram-blocks");
  *total += block.length;
  if (ok && *total > G_MAXINT64 / 2)
    ok = invalid (error, "ram-blocks");
  if (!ok)
    {
      g_free (block.name);
      return false;
    }
  g_array_append_val (document->blocks, block);
  return true;
}

static bool
parse_blocks (CsRestoreDocument *document, json_object *vm, GError **error)
{
  json_object *blocks;
  if (!get (vm, "ram-blocks", json_type_array, &blocks, error))
    return false;
  gsize n = json_object_array_length (blocks);
  if (n == 0 || n > 4096)
    return invalid (error, "ram-blocks");
  guint64 total = 0;
  for (gsize i = 0; i < n; i++)
    if (!parse_block (document, json_object_array_get_idx (blocks, i), &total, error))
      return false;
  return true;
}

static bool
parse_disks (CsRestoreDocument *document, json_object *vm, GError **error)
{
  json_object *disks;
  if (!get (vm, "disks", json_type_array, &disks, error))
    return false;
  for (gsize i = 0; i < json_object_array_length (disks); i++)
    {
      CsDisk *disk = cs_disk_from_json (json_object_array_get_idx (disks, i), error);
      if (disk == NULL)
        return false;
      g_ptr_array_add (document->disks, disk);
    }
  return true;
}

static bool
parse_version (CsRestoreDocument *document, json_object *vm, GError **error)
{
  g_autofree char *text = NULL;
  if (!get_text (vm, "qemu-version", &text, error))
    return false;
  if (sscanf (text, "%5u.%5u.%5u", &document->version[0], &document->version[1],
              &document->version[2])
      != 3)
    return invalid (error, "qemu-version");
  return true;
}

static bool
parse_source (CsRestoreDocument *document, json_object *vm, GError **error)
{
  json_object *source;
  if (!get (vm, "source", json_type_object, &source, error))
    return false;
  document->source = json_object_get (source);
  return true;
}

CsRestoreDocument *
cs_restore_document_parse (json_object *vm, GError **error)
{
  g_autoptr (CsRestoreDocument) document = g_new0 (CsRestoreDocument, 1);
  document->vm = json_object_get (vm);
  document->blocks = g_array_new (FALSE, FALSE, sizeof (CsRestoreBlock));
  g_array_set_clear_func (document->blocks, block_clear);
  document->disks = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_disk_free);
  document->disk_volumes = g_array_new (FALSE, FALSE, sizeof (guint));
  if (!get_text (vm, "name", &document->name, error))
    return NULL;
  if (!get_text (vm, "image", &document->image, error)
      || !get_text (vm, "machine", &document->machine, error)
      || !parse_version (document, vm, error) || !parse_source (document, vm, error)
      || !parse_blocks (document, vm, error) || !parse_disks (document, vm, error))
    {
      g_prefix_error (error, "VM '%s': ", document->name);
      return NULL;
    }
  return g_steal_pointer (&document);
}

/* --- against the image --- */

static bool
find_volume (const CsRestoreDocument *document, CsImage *image, CsVolumeKind kind, const char *what,
             const char *name, guint *volume, CsVolumeInfo *info, GError **error)
{
  if (!cs_image_find_volume (image, kind, name, volume))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "VM '%s': image '%s' has no %s '%s'",
                   document->name, document->image, what, name);
      return false;
    }
  cs_image_volume_info (image, *volume, info);
  return true;
}

static bool
check_length (const CsRestoreDocument *document, const char *what, const CsVolumeInfo *info,
              guint64 expected, GError **error)
{
  if (info->length == expected)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
               "VM '%s': %s '%s' has %" G_GUINT64_FORMAT " bytes in image '%s', %" G_GUINT64_FORMAT
               " in the manifest",
               document->name, what, info->name, info->length, document->image, expected);
  return false;
}

bool
cs_restore_document_bind (CsRestoreDocument *document, CsImage *image, GError **error)
{
  CsVolumeInfo info;
  for (guint i = 0; i < document->blocks->len; i++)
    {
      CsRestoreBlock *block = &g_array_index (document->blocks, CsRestoreBlock, i);
      if (!find_volume (document, image, CS_VOLUME_RAM, "RAM block", block->name, &block->volume,
                        &info, error)
          || !check_length (document, "RAM block", &info, block->length, error))
        return false;
    }
  g_array_set_size (document->disk_volumes, 0);
  for (guint i = 0; i < document->disks->len; i++)
    {
      guint volume;
      const CsDisk *disk = g_ptr_array_index (document->disks, i);
      if (!find_volume (document, image, CS_VOLUME_DISK, "disk", disk->name, &volume, &info, error)
          || !check_length (document, "disk", &info, disk->size, error))
        return false;
      g_array_append_val (document->disk_volumes, volume);
    }
  if (!find_volume (document, image, CS_VOLUME_DEVICE_STATE, "device state", "devices",
                    &document->device_volume, &info, error))
    return false;
  if (info.length == 0 || info.length > DEVICE_STATE_MAX)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                   "VM '%s': the device state in image '%s' has %" G_GUINT64_FORMAT " bytes",
                   document->name, document->image, info.length);
      return false;
    }
  return true;
}

/* --- against QEMU --- */

static bool
check_version (const CsRestoreDocument *document, CsMonitor *monitor, GError **error)
{
  static const char *const parts[] = { "major", "minor", "micro" };
  json_object *reply = NULL, *version, *part;
  if (!cs_monitor_execute (monitor, "query-version", NULL, &reply, error))
    return false;
  guint running[3] = { 0 };
  bool ok = get (reply, "qemu", json_type_object, &version, error);
  for (guint i = 0; ok && i < 3; i++)
    if ((ok = get (version, parts[i], json_type_int, &part, error)))
      running[i] = (guint)json_object_get_int (part);
  json_object_put (reply);
  if (!ok)
    return false;
  for (guint i = 0; i < 3; i++)
    {
      if (running[i] > document->version[i])
        return true;
      if (running[i] < document->version[i])
        {
          g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
                       "VM '%s' was saved by QEMU %u.%u.%u and cannot be restored by the older "
                       "%u.%u.%u of this host: upgrade QEMU here",
                       document->name, document->version[0], document->version[1],
                       document->version[2], running[0], running[1], running[2]);
          return false;
        }
    }
  return true;
}

static bool
check_machine (const CsRestoreDocument *document, CsMonitor *monitor, GError **error)
{
  json_object *arguments = json_object_new_object (), *reply = NULL;
  json_object_object_add (arguments, "path", json_object_new_string ("/machine"));
  json_object_object_add (arguments, "property", json_object_new_string ("type"));
  if (!cs_monitor_execute (monitor, "qom-get", arguments, &reply, error))
    return false;
  g_autofree char *machine = g_strdup (json_object_get_string (reply));
  json_object_put (reply);
  if (machine != NULL && g_str_has_suffix (machine, "-machine"))
    machine[strlen (machine) - strlen ("-machine")] = '\0';
  if (g_strcmp0 (machine, document->machine) == 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_STATE,
               "VM '%s' was saved as machine type '%s' but was started as '%s': name the type with "
               "its version in the VM's definition",
               document->name, document->machine, machine != NULL ? machine : "(unknown)");
  return false;
}

bool
cs_restore_document_check_qemu (const CsRestoreDocument *document, CsMonitor *monitor,
                                GError **error)
{
  return check_version (document, monitor, error) && check_machine (document, monitor, error);
}
