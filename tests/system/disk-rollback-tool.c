/* Drives vmm/disk-rollback.h from shell tests: disk-rollback-tool MONITOR STORE STEP...
 *
 * MONITOR is a QMP socket's path or libvirt:DOMAIN; STORE a store, made if it is not there.
 * Steps, each one argument, executed in order; NAME is an image's, kept in the store:
 *
 *   capture PREVIOUS|- NEXT NAME PARENT|-   the VM runs: stop, cut, cont, store
 *   put NAME PARENT|- DIRECTORY             stores DIRECTORY/DISK of every disk
 *   begin TARGET BASE|- BITMAP|- NEXT MIB   cs_disk_rollback_new, reading MIB ahead
 *   apply, free, preflush, stop, cont
 *   compare NAME                            every disk as QEMU presents it with the image
 *   cleanup KEEP|-, track NAME
 *   sh COMMAND                              the shell's
 *   times N STEP                            N rounds of one step
 *   fail CODE STEP                          STEP must fail with that code
 *
 * With DISK_TOOL_TIMES set the time of each step goes to standard error. */
#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/disk-cleanup.h"
#include "vmm/disk-nbd.h"
#include "vmm/disk-private.h"
#include "vmm/disk-rollback.h"
#include "vmm/disk-server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER "test"
#define PIECE (1 << 20)

typedef struct
{
  CsMonitor *monitor;
  CsStore *store;
  GPtrArray *disks;
  CsDiskRollback *rollback;
  CsImage *target, *base;
} Tool;

static const char *
null_if_dash (const char *text)
{
  return strcmp (text, "-") == 0 ? NULL : text;
}

static bool
query (Tool *tool, GError **error)
{
  g_clear_pointer (&tool->disks, g_ptr_array_unref);
  tool->disks = cs_disks_query (tool->monitor, error);
  return tool->disks != NULL;
}

/* The id of image @name; NULL with no error for "-". */
static char *
id_of (Tool *tool, const char *name, GError **error)
{
  if (strcmp (name, "-") == 0)
    return NULL;
  json_object *manifest = cs_store_manifest_get (tool->store, CLUSTER, name, error);
  json_object *images = manifest ? cs_json_array (manifest, "images") : NULL;
  char *id =
      images ? g_strdup (json_object_get_string (json_object_array_get_idx (images, 0))) : NULL;
  json_object_put (manifest);
  return id;
}

static bool
publish (Tool *tool, CsImageWriter *writer, const char *name, GError **error)
{
  g_autofree char *id = cs_image_writer_finish (writer, NULL, error);
  if (id == NULL || !cs_store_commit (tool->store, error))
    return false;
  json_object *manifest = json_object_new_object ();
  json_object *images = json_object_new_array ();
  json_object_array_add (images, json_object_new_string (id));
  json_object_object_add (manifest, "images", images);
  bool ok = cs_store_manifest_put (tool->store, CLUSTER, name, manifest, error);
  json_object_put (manifest);
  return ok;
}

typedef struct
{
  CsImageWriter *writer;
  guint volume;
} Sink;

static bool
take (guint64 offset, guint64 length, const void *data, void *user_data, GError **error)
{
  Sink *sink = user_data;
  guint64 count = (length + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE;
  return data != NULL ? cs_image_writer_put (sink->writer, sink->volume, offset / CS_PAGE_SIZE,
                                             count, data, error)
                      : cs_image_writer_put_zero (sink->writer, sink->volume, offset / CS_PAGE_SIZE,
                                                  count, error);
}

/* capture PREVIOUS|- NEXT NAME PARENT|- */
static bool
capture (Tool *tool, char **words, GError **error)
{
  if (!query (tool, error))
    return false;
  g_autoptr (GError) local = NULL;
  g_autofree char *parent = id_of (tool, words[4], &local);
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (tool->store, parent, error);
  g_autoptr (CsDiskCapture) capture = cs_disk_capture_new (
      tool->monitor, tool->disks, g_get_tmp_dir (), null_if_dash (words[1]), words[2], error);
  if (writer == NULL || capture == NULL || !cs_monitor_stop (tool->monitor, error))
    return false;
  bool cut = cs_disk_capture_cut (capture, error);
  if (!cs_monitor_cont (tool->monitor, cut ? error : NULL) || !cut)
    return false;
  for (guint i = 0; i < tool->disks->len; i++)
    {
      const CsDisk *disk = tool->disks->pdata[i];
      Sink sink = { writer, 0 };
      if (!cs_image_writer_add_volume (writer, CS_VOLUME_DISK, disk->name, disk->size,
                                       parent != NULL, &sink.volume, error)
          || !cs_disk_capture_read (capture, i, take, &sink, error))
        return false;
    }
  return publish (tool, writer, words[3], error) && cs_disk_capture_commit (capture, error);
}

static bool
put_file (CsImageWriter *writer, const CsDisk *disk, const char *directory, GError **error)
{
  g_autofree char *path = g_build_filename (directory, disk->name, NULL);
  g_autofree char *data = NULL;
  gsize length;
  guint volume;
  return g_file_get_contents (path, &data, &length, error)
         && cs_image_writer_add_volume (writer, CS_VOLUME_DISK, disk->name, disk->size, false,
                                        &volume, error)
         && cs_image_writer_put_bytes (writer, volume, data, length, error);
}

/* put NAME PARENT|- DIRECTORY */
static bool
put (Tool *tool, char **words, GError **error)
{
  if (!query (tool, error))
    return false;
  g_autofree char *parent = id_of (tool, words[2], NULL);
  g_autoptr (CsImageWriter) writer = cs_image_writer_new (tool->store, parent, error);
  if (writer == NULL)
    return false;
  for (guint i = 0; i < tool->disks->len; i++)
    if (!put_file (writer, tool->disks->pdata[i], words[3], error))
      return false;
  return publish (tool, writer, words[1], error);
}

/* begin TARGET BASE|- BITMAP|- NEXT MIB */
static bool
begin (Tool *tool, char **words, GError **error)
{
  g_autofree char *target = id_of (tool, words[1], error);
  g_autofree char *base = id_of (tool, words[2], NULL);
  g_clear_pointer (&tool->target, cs_image_free);
  g_clear_pointer (&tool->base, cs_image_free);
  if (target == NULL || !query (tool, error))
    return false;
  tool->target = cs_image_open (tool->store, target, error);
  tool->base = base && tool->target ? cs_image_open (tool->store, base, error) : NULL;
  if (tool->target == NULL || (base != NULL && tool->base == NULL))
    return false;
  CsDiskRollbackOptions options = { .monitor = tool->monitor,
                                    .disks = tool->disks,
                                    .target = tool->target,
                                    .base = tool->base,
                                    .bitmap = null_if_dash (words[3]),
                                    .next = words[4],
                                    .scratch_directory = g_get_tmp_dir (),
                                    .read_ahead = strtoull (words[5], NULL, 10) << 20 };
  tool->rollback = cs_disk_rollback_new (&options, error);
  return tool->rollback != NULL;
}

static bool
apply (Tool *tool, GError **error)
{
  bool touched = false;
  guint64 bytes = 0;
  gint64 start = g_get_monotonic_time ();
  bool ok = cs_disk_rollback_apply (tool->rollback, &touched, &bytes, error);
  if (getenv ("DISK_TOOL_TIMES") != NULL)
    fprintf (stderr, "applied %.1f MiB in %.2f ms\n", (double)bytes / (1 << 20),
             (double)(g_get_monotonic_time () - start) / 1000.0);
  printf ("applied %" G_GUINT64_FORMAT " bytes%s%s\n", bytes, touched ? ", touched" : "",
          ok ? "" : ", failed");
  return ok;
}

static bool
compare_disk (CsNbd *nbd, CsImage *image, guint volume, const CsDisk *disk, GError **error)
{
  g_autofree char *have = g_malloc (PIECE);
  g_autofree char *want = g_malloc (PIECE);
  for (guint64 at = 0; at < disk->size; at += PIECE)
    {
      gsize length = MIN (PIECE, disk->size - at);
      gint64 number = cs_nbd_read (nbd, have, length, at, error);
      if (number < 0 || !cs_nbd_wait (nbd, number, error)
          || !cs_image_read (image, volume, at / CS_PAGE_SIZE,
                             (length + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE, want, error))
        return false;
      gsize i = 0;
      while (i < length && have[i] == want[i])
        i++;
      if (i == length)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
                   "disk '%s' differs from the image at byte %" G_GUINT64_FORMAT, disk->name,
                   at + i);
      return false;
    }
  return true;
}

/* compare NAME */
static bool
compare (Tool *tool, const char *name, GError **error)
{
  g_autofree char *id = id_of (tool, name, error);
  g_autoptr (CsImage) image = id ? cs_image_open (tool->store, id, error) : NULL;
  if (image == NULL || !query (tool, error))
    return false;
  g_autoptr (CsDiskServer) server = cs_disk_server_start (tool->monitor, g_get_tmp_dir (), error);
  bool ok = server != NULL;
  for (guint i = 0; ok && i < tool->disks->len; i++)
    {
      const CsDisk *disk = tool->disks->pdata[i];
      g_autofree char *export = g_strdup_printf (CS_DISK_EXPORT, i);
      guint volume;
      ok = cs_image_find_volume (image, CS_VOLUME_DISK, disk->name, &volume)
           && cs_monitor_execute (tool->monitor, "block-export-add",
                                  cs_json_strings ("type", "nbd", "id", export, "name", export,
                                                   "node-name", disk->node, NULL),
                                  NULL, error);
      g_autoptr (CsNbd) nbd =
          ok ? cs_nbd_connect (cs_disk_server_path (server), export, NULL, error) : NULL;
      ok = nbd != NULL && compare_disk (nbd, image, volume, disk, error);
    }
  return cs_disk_remove_ours (tool->monitor, server != NULL, ok ? error : NULL) && ok;
}

static bool
shell (const char *command, GError **error)
{
  fflush (stdout);
  int status = system (command);
  if (status != 0)
    g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "'%s' ended with %d", command, status);
  return status == 0;
}

static bool step_of (Tool *tool, const char *text, GError **error);

static bool
times (Tool *tool, const char *text, GError **error)
{
  char *step;
  for (guint64 n = strtoull (text, &step, 10); n > 0; n--)
    if (!step_of (tool, step + 1, error))
      return false;
  return true;
}

static bool
expect_failure (Tool *tool, const char *text, GError **error)
{
  g_auto (GStrv) words = g_strsplit (text, " ", 2);
  g_autoptr (GError) local = NULL;
  if (!step_of (tool, words[1], &local) && strcmp (cs_error_name (local->code), words[0]) == 0)
    {
      printf ("failed as expected: %s\n", local->message);
      return true;
    }
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "'%s' did not fail with '%s' but %s", words[1],
               words[0], local ? local->message : "succeeded");
  return false;
}

static bool
track (Tool *tool, const char *name, GError **error)
{
  return query (tool, error) && cs_disks_track (tool->monitor, tool->disks, name, error);
}

static bool
free_rollback (Tool *tool)
{
  g_clear_pointer (&tool->rollback, cs_disk_rollback_free);
  return true;
}

static bool
step_of (Tool *tool, const char *text, GError **error)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  const char *verb = words[0];
  const char *rest = text + strlen (verb) + (text[strlen (verb)] != '\0');
  guint n = g_strv_length (words);
  if (strcmp (verb, "capture") == 0 && n == 5)
    return capture (tool, words, error);
  if (strcmp (verb, "put") == 0 && n == 4)
    return put (tool, words, error);
  if (strcmp (verb, "begin") == 0 && n == 6)
    return begin (tool, words, error);
  if (strcmp (verb, "apply") == 0)
    return apply (tool, error);
  if (strcmp (verb, "free") == 0)
    return free_rollback (tool);
  if (strcmp (verb, "preflush") == 0)
    return cs_disk_rollback_preflush (tool->rollback, error);
  if (strcmp (verb, "stop") == 0)
    return cs_monitor_stop (tool->monitor, error);
  if (strcmp (verb, "cont") == 0)
    return cs_monitor_cont (tool->monitor, error);
  if (strcmp (verb, "compare") == 0)
    return compare (tool, rest, error);
  if (strcmp (verb, "cleanup") == 0)
    return cs_disks_cleanup (tool->monitor, null_if_dash (rest), error);
  if (strcmp (verb, "track") == 0)
    return track (tool, rest, error);
  if (strcmp (verb, "sh") == 0)
    return shell (rest, error);
  if (strcmp (verb, "times") == 0)
    return times (tool, rest, error);
  if (strcmp (verb, "fail") == 0)
    return expect_failure (tool, rest, error);
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "what is '%s'?", text);
  return false;
}

static bool
open_all (Tool *tool, const char *monitor, const char *store, GError **error)
{
  if (g_str_has_prefix (monitor, "libvirt:"))
    tool->monitor =
        cs_libvirt_init (error)
            ? cs_monitor_open_libvirt ("qemu:///system", monitor + strlen ("libvirt:"), error)
            : NULL;
  else
    tool->monitor = cs_monitor_open_qmp (monitor, error);
  if (tool->monitor == NULL)
    return false;
  if (access (store, F_OK) < 0 && !cs_store_init (store, error))
    return false;
  tool->store = cs_store_open (store, error);
  return tool->store != NULL;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  Tool tool = { 0 };
  if (argc < 3)
    return 2;
  if (!open_all (&tool, argv[1], argv[2], &error))
    fprintf (stderr, "disk-rollback-tool: %s\n", error->message);
  for (int i = 3; i < argc && error == NULL; i++)
    {
      gint64 start = g_get_monotonic_time ();
      step_of (&tool, argv[i], &error);
      if (getenv ("DISK_TOOL_TIMES") != NULL)
        fprintf (stderr, "%-40.40s %8.2f ms\n", argv[i],
                 (double)(g_get_monotonic_time () - start) / 1000.0);
      if (error != NULL)
        fprintf (stderr, "disk-rollback-tool: step '%s': %s: %s\n", argv[i],
                 cs_error_name (error->code), error->message);
    }
  cs_disk_rollback_free (tool.rollback);
  g_clear_pointer (&tool.target, cs_image_free);
  g_clear_pointer (&tool.base, cs_image_free);
  g_clear_pointer (&tool.disks, g_ptr_array_unref);
  g_clear_pointer (&tool.store, cs_store_close);
  g_clear_pointer (&tool.monitor, cs_monitor_close);
  return error == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
