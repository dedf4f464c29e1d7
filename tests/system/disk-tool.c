/* Drives vmm/disk.h from shell tests: disk-tool MONITOR STEP...
 *
 * MONITOR is a QMP socket's path or libvirt:DOMAIN.  The steps are executed in order, each one
 * argument: query                  the disks, one JSON object per line begin PREVIOUS|- NEXT
 * cs_disk_capture_new, scratch in $TMPDIR preflush, cut, commit, free, stop, cont read DIRECTORY
 * applies the extents of every disk to DIRECTORY/NAME measure                reads all disks and
 * drops the data track NAME, cleanup KEEP|- hmp COMMAND            human-monitor-command; sh
 * COMMAND: the shell's fail CODE STEP         STEP must fail with that code With DISK_TOOL_TIMES
 * set the time of each step goes to standard error. */
#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct
{
  CsMonitor *monitor;
  GPtrArray *disks;
  CsDiskCapture *capture;
} Tool;

typedef struct
{
  int fd; /* -1: drop */
  guint64 data, zero, calls;
} Sink;

static bool
take (guint64 offset, guint64 length, const void *data, void *user_data, GError **error)
{
  Sink *sink = user_data;
  sink->calls++;
  if (data != NULL)
    sink->data += length;
  else
    sink->zero += length;
  if (sink->fd < 0)
    return true;
  if (data != NULL)
    return cs_fd_write_all (sink->fd, data, length, (off_t)offset, "copy", error);
  if (fallocate (sink->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length)
      < 0)
    return cs_error_set_errno (error, errno, "cannot punch");
  return true;
}

static bool
read_disks (Tool *tool, const char *directory, GError **error)
{
  for (guint i = 0; i < tool->disks->len; i++)
    {
      const CsDisk *disk = tool->disks->pdata[i];
      cs_autofd int fd = -1;
      if (directory != NULL)
        {
          g_autofree char *path = g_build_filename (directory, disk->name, NULL);
          fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
          if (fd < 0 || ftruncate (fd, (off_t)disk->size) < 0)
            return cs_error_set_errno (error, errno, "cannot open '%s'", path);
        }
      Sink sink = { fd };
      gint64 start = g_get_monotonic_time ();
      if (!cs_disk_capture_read (tool->capture, i, take, &sink, error))
        return false;
      gint64 took = MAX (1, g_get_monotonic_time () - start);
      printf ("read %s data %" G_GUINT64_FORMAT " zero %" G_GUINT64_FORMAT
              " calls %" G_GUINT64_FORMAT "\n",
              disk->name, sink.data, sink.zero, sink.calls);
      if (getenv ("DISK_TOOL_TIMES") != NULL)
        fprintf (stderr, "%s: %.0f MB/s\n", disk->name, (double)sink.data / (double)took);
    }
  return true;
}

static bool
print_disks (Tool *tool, GError **error)
{
  for (guint i = 0; i < tool->disks->len; i++)
    {
      json_object *json = cs_disk_to_json (tool->disks->pdata[i]);
      g_autoptr (CsDisk) back = cs_disk_from_json (json, error);
      if (back == NULL)
        return false;
      puts (json_object_to_json_string_ext (json, JSON_C_TO_STRING_PLAIN));
      json_object_put (json);
    }
  return true;
}

static const char *
null_if_dash (const char *text)
{
  return strcmp (text, "-") == 0 ? NULL : text;
}

static bool
begin (Tool *tool, char **words, GError **error)
{
  g_clear_pointer (&tool->disks, g_ptr_array_unref);
  tool->disks = cs_disks_query (tool->monitor, error);
  if (tool->disks == NULL)
    return false;
  tool->capture = cs_disk_capture_new (tool->monitor, tool->disks, g_get_tmp_dir (),
                                       null_if_dash (words[1]), words[2], error);
  return tool->capture != NULL;
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

static bool
hmp (Tool *tool, const char *command, GError **error)
{
  json_object *arguments = json_object_new_object ();
  json_object *result = NULL;
  json_object_object_add (arguments, "command-line", json_object_new_string (command));
  if (!cs_monitor_execute (tool->monitor, "human-monitor-command", arguments, &result, error))
    return false;
  /* qemu-io reports failures only here. */
  const char *text = json_object_get_string (result);
  bool ok = strstr (text, "failed") == NULL && strstr (text, "rror") == NULL;
  if (!ok)
    g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "'%s': %s", command, text);
  json_object_put (result);
  return ok;
}

static bool
capture_step (Tool *tool, char **words, bool *known, GError **error)
{
  const char *step = words[0];
  *known = true;
  if (strcmp (step, "begin") == 0)
    return begin (tool, words, error);
  if (strcmp (step, "preflush") == 0)
    return cs_disk_capture_preflush (tool->capture, error);
  if (strcmp (step, "cut") == 0)
    return cs_disk_capture_cut (tool->capture, error);
  if (strcmp (step, "commit") == 0)
    return cs_disk_capture_commit (tool->capture, error);
  if (strcmp (step, "read") == 0)
    return read_disks (tool, words[1], error);
  if (strcmp (step, "measure") == 0)
    return read_disks (tool, NULL, error);
  if (strcmp (step, "free") == 0)
    {
      g_clear_pointer (&tool->capture, cs_disk_capture_free);
      return true;
    }
  *known = false;
  return true;
}

static bool
step_of (Tool *tool, const char *text, GError **error)
{
  g_auto (GStrv) words = g_strsplit (text, " ", 3);
  const char *rest = strchr (text, ' ');
  bool known;
  bool ok = capture_step (tool, words, &known, error);
  if (known)
    return ok;
  if (strcmp (words[0], "hmp") == 0)
    return hmp (tool, rest + 1, error);
  if (strcmp (words[0], "sh") == 0)
    return shell (rest + 1, error);
  if (strcmp (words[0], "stop") == 0)
    return cs_monitor_stop (tool->monitor, error);
  if (strcmp (words[0], "cont") == 0)
    return cs_monitor_cont (tool->monitor, error);
  if (strcmp (words[0], "cleanup") == 0)
    return cs_disks_cleanup (tool->monitor, null_if_dash (words[1]), error);
  g_clear_pointer (&tool->disks, g_ptr_array_unref);
  tool->disks = cs_disks_query (tool->monitor, error);
  if (tool->disks == NULL)
    return false;
  if (strcmp (words[0], "track") == 0)
    return cs_disks_track (tool->monitor, tool->disks, words[1], error);
  if (strcmp (words[0], "query") == 0)
    return print_disks (tool, error);
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "what is '%s'?", text);
  return false;
}

static bool
expect_failure (Tool *tool, const char *text, GError **error)
{
  g_auto (GStrv) words = g_strsplit (text, " ", 3);
  g_autoptr (GError) local = NULL;
  if (!step_of (tool, words[2], &local) && strcmp (cs_error_name (local->code), words[1]) == 0)
    {
      printf ("failed as expected: %s\n", local->message);
      return true;
    }
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "'%s' did not fail with '%s' but %s", words[2],
               words[1], local ? local->message : "succeeded");
  return false;
}

static CsMonitor *
open_monitor (const char *name, GError **error)
{
  if (!g_str_has_prefix (name, "libvirt:"))
    return cs_monitor_open_qmp (name, error);
  if (!cs_libvirt_init (error))
    return NULL;
  return cs_monitor_open_libvirt ("qemu:///system", name + strlen ("libvirt:"), error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  Tool tool = { 0 };
  if (argc < 2)
    return 2;
  tool.monitor = open_monitor (argv[1], &error);
  for (int i = 2; i < argc && error == NULL; i++)
    {
      gint64 start = g_get_monotonic_time ();
      if (g_str_has_prefix (argv[i], "fail "))
        expect_failure (&tool, argv[i], &error);
      else
        step_of (&tool, argv[i], &error);
      if (getenv ("DISK_TOOL_TIMES") != NULL)
        fprintf (stderr, "%-40.40s %8.2f ms\n", argv[i],
                 (double)(g_get_monotonic_time () - start) / 1000.0);
      if (error != NULL)
        fprintf (stderr, "disk-tool: step '%s': %s: %s\n", argv[i], cs_error_name (error->code),
                 error->message);
    }
  if (tool.monitor == NULL)
    fprintf (stderr, "disk-tool: %s\n", error->message);
  cs_disk_capture_free (tool.capture);
  g_clear_pointer (&tool.disks, g_ptr_array_unref);
  g_clear_pointer (&tool.monitor, cs_monitor_close);
  return error == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
