/* How long QEMU alone needs to start VMs, all at once.
 *
 *   start-tool paused DIRECTORY QMP-SOCKET=ARGUMENTS-FILE...
 *       until every QEMU (-S -incoming defer) answers to QMP
 *   start-tool restore DIRECTORY QMP-SOCKET=ARGUMENTS-FILE...
 *       until every VM runs that was loaded from DIRECTORY/I.migration (mapped-ram, multifd), as
 *       pause-tool's "stopped" wrote it; I counts from 0
 *
 * ARGUMENTS-FILE: NUL-separated.  Prints the time of each in us, then ends the QEMUs. */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  char *socket;
  GPtrArray *argv;
  char *migration; /* NULL: only start */
  char *log;
  gint64 begin, took;
  CsMonitor *monitor;
} Vm;

static void
check (bool good, const Vm *vm, GError *error)
{
  if (good)
    return;
  fprintf (stderr, "start-tool: %s: %s\n", vm->socket, error->message);
  exit (EXIT_FAILURE);
}

static bool
load (Vm *vm, GError **error)
{
  static const char *const capabilities[] = { "mapped-ram", "multifd" };
  json_object *list = json_object_new_array ();
  for (gsize i = 0; i < G_N_ELEMENTS (capabilities); i++)
    {
      json_object *one = json_object_new_object ();
      cs_json_add_string (one, "capability", capabilities[i]);
      json_object_object_add (one, "state", json_object_new_boolean (true));
      json_object_array_add (list, one);
    }
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "capabilities", list);
  if (!cs_monitor_execute (vm->monitor, "migrate-set-capabilities", arguments, NULL, error))
    return false;
  g_autofree char *uri = g_strdup_printf ("file:%s", vm->migration);
  arguments = json_object_new_object ();
  cs_json_add_string (arguments, "uri", uri);
  if (!cs_monitor_execute (vm->monitor, "migrate-incoming", arguments, NULL, error))
    return false;
  for (;;)
    {
      g_autofree char *status = NULL;
      bool running;
      if (!cs_monitor_status (vm->monitor, &running, &status, error))
        return false;
      if (g_strcmp0 (status, "inmigrate") != 0)
        return cs_monitor_cont (vm->monitor, error);
      g_usleep (1000);
    }
}

static gpointer
start (gpointer data)
{
  Vm *vm = data;
  g_autoptr (GError) error = NULL;
  vm->monitor =
      cs_launch_qemu ((const char *const *)vm->argv->pdata, "/", vm->socket, vm->log, &error);
  bool good = vm->monitor != NULL && (vm->migration == NULL || load (vm, &error));
  check (good, vm, error);
  vm->took = g_get_monotonic_time () - vm->begin;
  return NULL;
}

/* SOCKET=FILE */
static void
parse (Vm *vm, const char *text, const char *directory, guint number, bool restore)
{
  g_autoptr (GError) error = NULL;
  const char *equals = strrchr (text, '=');
  g_autofree char *content = NULL;
  gsize length = 0;
  if (equals == NULL)
    equals = text + strlen (text);
  vm->socket = g_strndup (text, (gsize)(equals - text));
  bool read = g_file_get_contents (*equals ? equals + 1 : "", &content, &length, &error);
  check (read, vm, error);
  vm->argv = g_ptr_array_new_with_free_func (g_free);
  for (const char *at = content; at < content + length; at += strlen (at) + 1)
    g_ptr_array_add (vm->argv, g_strdup (at));
  g_ptr_array_add (vm->argv, g_strdup ("-S"));
  g_ptr_array_add (vm->argv, g_strdup ("-incoming"));
  g_ptr_array_add (vm->argv, g_strdup ("defer"));
  g_ptr_array_add (vm->argv, NULL);
  vm->log = g_strdup_printf ("%s/%u.start-log", directory, number);
  vm->migration = restore ? g_strdup_printf ("%s/%u.migration", directory, number) : NULL;
  /* A socket that somebody left would be taken for the new one. */
  unlink (vm->socket);
}

static void
finish (Vm *vm)
{
  pid_t pid = cs_monitor_pid (vm->monitor);
  cs_monitor_close (vm->monitor);
  cs_launch_end (pid);
  g_ptr_array_unref (vm->argv);
  g_free (vm->socket);
  g_free (vm->log);
  g_free (vm->migration);
}

int
main (int argc, char **argv)
{
  bool restore = argc > 1 && g_str_equal (argv[1], "restore");
  if (argc < 4 || (!restore && !g_str_equal (argv[1], "paused")))
    {
      fputs ("usage: start-tool paused|restore DIRECTORY QMP-SOCKET=ARGUMENTS-FILE...\n", stderr);
      return 2;
    }
  guint n = (guint)argc - 3;
  g_autofree Vm *vms = g_new0 (Vm, n);
  g_autofree GThread **threads = g_new0 (GThread *, n);
  for (guint i = 0; i < n; i++)
    parse (&vms[i], argv[3 + i], argv[2], i, restore);
  gint64 begin = g_get_monotonic_time ();
  for (guint i = 0; i < n; i++)
    {
      vms[i].begin = begin;
      threads[i] = g_thread_new ("start", start, &vms[i]);
    }
  for (guint i = 0; i < n; i++)
    g_thread_join (threads[i]);
  for (guint i = 0; i < n; i++)
    printf ("%" G_GINT64_FORMAT "\n", vms[i].took);
  for (guint i = 0; i < n; i++)
    finish (&vms[i]);
  return EXIT_SUCCESS;
}
