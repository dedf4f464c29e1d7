#include "config.h"

#include "vmm/disk-private.h"

#include "common/error.h"

#include <stdarg.h>
#include <string.h>

/* Of one image file: what any file system could hold. */
#define MAX_SIZE (G_GUINT64_CONSTANT (1) << 60)

void
cs_disk_free (CsDisk *disk)
{
  if (disk == NULL)
    return;
  g_free (disk->name);
  g_free (disk->node);
  g_free (disk->filename);
  g_free (disk->format);
  g_free (disk->backing_file);
  g_free (disk->backing_format);
  g_free (disk);
}

json_object *
cs_json_strings (const char *key, ...)
{
  json_object *object = json_object_new_object ();
  va_list args;
  va_start (args, key);
  for (; key != NULL; key = va_arg (args, const char *))
    cs_json_add_string (object, key, va_arg (args, const char *));
  va_end (args);
  return object;
}

json_object *
cs_disk_to_json (const CsDisk *disk)
{
  json_object *object = cs_json_strings ("name", disk->name, "node", disk->node, "filename",
                                         disk->filename, "format", disk->format, NULL);
  cs_json_add_string (object, "backing-file", disk->backing_file);
  cs_json_add_string (object, "backing-format", disk->backing_format);
  json_object_object_add (object, "size", json_object_new_uint64 (disk->size));
  json_object_object_add (object, "cluster-size", json_object_new_uint64 (disk->cluster_size));
  json_object_object_add (object, "writeback", json_object_new_boolean (disk->writeback));
  if (disk->captured)
    {
      cs_json_add_uint (object, "bytes-read", disk->bytes_read);
      cs_json_add_uint (object, "bytes-zero", disk->bytes_zero);
    }
  return object;
}

static bool
invalid (GError **error, const CsDisk *disk, const char *what)
{
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "disk '%s': %s", disk->name ? disk->name : "?",
               what);
  return false;
}

static bool
power_of_two_within (guint64 value, guint64 low, guint64 high)
{
  return value >= low && value <= high && (value & (value - 1)) == 0;
}

static bool
is_text (const char *text, gsize max)
{
  gsize length = strlen (text);
  if (length == 0 || length > max || !g_utf8_validate (text, -1, NULL))
    return false;
  for (const char *c = text; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c))
      return false;
  return true;
}

static bool
validate_form (const CsDisk *disk, GError **error)
{
  bool qcow2 = g_strcmp0 (disk->format, "qcow2") == 0;
  if (!qcow2 && g_strcmp0 (disk->format, "raw") != 0)
    return invalid (error, disk, "the format is neither 'raw' nor 'qcow2'");
  if (disk->size == 0 || disk->size % 512 != 0 || disk->size > MAX_SIZE)
    return invalid (error, disk, "the size is no multiple of 512 between 512 and 2^60");
  if (qcow2 ? !power_of_two_within (disk->cluster_size, 512, 2 * 1024 * 1024)
            : disk->cluster_size != 0)
    return invalid (error, disk, "the cluster size does not fit the format");
  if ((disk->backing_file == NULL) != (disk->backing_format == NULL)
      || (disk->backing_file != NULL && !qcow2))
    return invalid (error, disk, "backing file and format do not fit");
  if (disk->backing_file != NULL
      && (!is_text (disk->backing_file, 4096) || !is_text (disk->backing_format, 31)
          || disk->backing_format[0] == '-'))
    return invalid (error, disk, "the backing file's name or format is not acceptable");
  return true;
}

static bool
validate (const CsDisk *disk, GError **error)
{
  if (disk->name == NULL || !is_text (disk->name, 255))
    return invalid (error, disk, "the name is missing, longer than 255 bytes or no text");
  if (disk->node == NULL || !is_text (disk->node, 255))
    return invalid (error, disk, "the node's name is missing or no text");
  if (disk->filename == NULL || !is_text (disk->filename, 4095) || disk->filename[0] != '/')
    return invalid (error, disk, "the file name is not an absolute path");
  return validate_form (disk, error);
}

CsDisk *
cs_disk_from_json (json_object *object, GError **error)
{
  if (!json_object_is_type (object, json_type_object))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "a disk's description is not an object");
      return NULL;
    }
  g_autoptr (CsDisk) disk = g_new0 (CsDisk, 1);
  gint64 size = cs_member_int (object, "size");
  gint64 cluster_size = cs_member_int (object, "cluster-size");
  disk->name = g_strdup (cs_json_string (object, "name"));
  disk->node = g_strdup (cs_json_string (object, "node"));
  disk->filename = g_strdup (cs_json_string (object, "filename"));
  disk->format = g_strdup (cs_json_string (object, "format"));
  disk->backing_file = g_strdup (cs_json_string (object, "backing-file"));
  disk->backing_format = g_strdup (cs_json_string (object, "backing-format"));
  disk->size = size < 0 ? 0 : (guint64)size;
  disk->cluster_size = cluster_size < 0 ? 1 : (guint64)cluster_size;
  disk->writeback = cs_member_true (object, "writeback");
  disk->captured = cs_member (object, "bytes-read") != NULL;
  disk->bytes_read = cs_json_uint (object, "bytes-read", 0);
  disk->bytes_zero = cs_json_uint (object, "bytes-zero", 0);
  return validate (disk, error) ? g_steal_pointer (&disk) : NULL;
}
