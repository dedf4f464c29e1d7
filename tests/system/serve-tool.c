/* For tests/system/nbd-plugin.sh: images without a VM, and a server for one.
 *
 *   serve-tool image STORE SNAPSHOT NAME=FILE...   the files as disks of an image that snapshot
 *                                                  c/SNAPSHOT names; prints its id
 *   serve-tool root STORE NAME IMAGE               serve-tool unroot STORE NAME
 *   serve-tool delete STORE SNAPSHOT               serve-tool gc STORE
 *   serve-tool serve STORE IMAGE SOCKET            prints the server's record, which lives on
 *   serve-tool stop RECORD */
#include "config.h"

#include "common/json.h"
#include "images/image.h"
#include "vmm/disk-serve.h"

#include <stdio.h>
#include <string.h>

static bool
add_file (CsImageWriter *writer, const char *argument, GError **error)
{
  guint volume;
  gsize length;
  g_autofree char *content = NULL;
  g_auto (GStrv) parts = g_strsplit (argument, "=", 2);
  return g_file_get_contents (parts[1], &content, &length, error)
         && cs_image_writer_add_volume (writer, CS_VOLUME_DISK, parts[0], length, false, &volume,
                                        error)
         && cs_image_writer_put_bytes (writer, volume, content, length, error);
}

static json_object *
naming (const char *image)
{
  json_object *document = json_object_new_object ();
  json_object *images = json_object_new_array ();
  json_object_array_add (images, json_object_new_string (image));
  json_object_object_add (document, "images", images);
  return document;
}

static bool
make_image (CsStore *store, char **arguments, GError **error)
{
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (store, NULL, error);
  for (char **at = arguments + 1; writer != NULL && *at != NULL; at++)
    if (!add_file (writer, *at, error))
      return false;
  g_autofree char *id = writer != NULL ? cs_image_writer_finish (writer, NULL, error) : NULL;
  if (id == NULL || !cs_store_commit (store, error))
    return false;
  g_autoptr (CsJson) manifest = naming (id);
  printf ("%s\n", id);
  return cs_store_manifest_put (store, "c", arguments[0], manifest, error);
}

static bool
serve (const char *path, const char *image, const char *socket, GError **error)
{
  g_autoptr (CsStore) store = cs_store_open_reader (path, error);
  g_autoptr (CsDiskServe) server = NULL;
  if (store != NULL)
    server = cs_disk_serve_start (store, image, socket, (uid_t)-1, (gid_t)-1, error);
  if (server == NULL)
    return false;
  g_autoptr (CsJson) record = cs_disk_serve_to_json (server);
  printf ("%s\n", json_object_to_json_string_ext (record, JSON_C_TO_STRING_PLAIN));
  return true;
}

static bool
stop (const char *text, GError **error)
{
  g_autoptr (CsJson) record = cs_json_parse_object (text, strlen (text), error);
  g_autoptr (CsDiskServe) server = record ? cs_disk_serve_from_json (record, error) : NULL;
  if (server == NULL)
    return false;
  cs_disk_serve_stop (server);
  return true;
}

static bool
on_store (const char *verb, CsStore *store, char **arguments, GError **error)
{
  if (strcmp (verb, "image") == 0)
    return make_image (store, arguments, error);
  if (strcmp (verb, "root") == 0)
    {
      g_autoptr (CsJson) root = naming (arguments[1]);
      return cs_store_root_put (store, arguments[0], root, error);
    }
  if (strcmp (verb, "unroot") == 0)
    return cs_store_root_remove (store, arguments[0], error);
  if (strcmp (verb, "delete") == 0)
    return cs_store_manifest_delete (store, "c", arguments[0], error);
  return cs_store_gc (store, false, NULL, NULL, NULL, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  bool ok;
  if (argc < 3)
    return 2;
  if (strcmp (argv[1], "serve") == 0 && argc == 5)
    ok = serve (argv[2], argv[3], argv[4], &error);
  else if (strcmp (argv[1], "stop") == 0)
    ok = stop (argv[2], &error);
  else
    {
      g_autoptr (CsStore) store = cs_store_open (argv[2], &error);
      ok = store != NULL && on_store (argv[1], store, argv + 3, &error);
    }
  if (!ok)
    fprintf (stderr, "serve-tool: %s\n", error->message);
  return ok ? 0 : 1;
}
