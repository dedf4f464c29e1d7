/* What the system tests of the monitor do with a real VM, one verb per call:
 *
 *   monitor-tool (qmp PATH | libvirt URI DOMAIN) VERB [ARGUMENT…]
 *   monitor-tool launch FILE LOG      FILE: what `capture` printed; QEMU is left running */
#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/devstate.h"
#include "vmm/precheck.h"
#include "vmm/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

typedef bool (*VerbFunc) (CsMonitor *monitor, char **arguments, GError **error);

static bool
verb_info (CsMonitor *monitor, char **arguments, GError **error)
{
  bool running;
  g_autofree char *status = NULL;
  if (!cs_monitor_status (monitor, &running, &status, error))
    return false;
  printf ("pid %d status %s\n", cs_monitor_pid (monitor), status);
  return true;
}

static int
compare_times (const void *a, const void *b)
{
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
  return (x > y) - (x < y);
}

static bool
timed (CsMonitor *monitor, bool (*func) (CsMonitor *, GError **), gint64 *time, GError **error)
{
  gint64 begin = g_get_monotonic_time ();
  bool good = func (monitor, error);
  *time = g_get_monotonic_time () - begin;
  return good;
}

/* pause N: stop and cont, their medians. */
static bool
verb_pause (CsMonitor *monitor, char **arguments, GError **error)
{
  guint n = (guint)g_ascii_strtoull (arguments[0], NULL, 10);
  g_autofree gint64 *stop = g_new (gint64, n), *cont = g_new (gint64, n);
  for (guint i = 0; i < n; i++)
    if (!timed (monitor, cs_monitor_stop, &stop[i], error)
        || !timed (monitor, cs_monitor_cont, &cont[i], error))
      return false;
  qsort (stop, n, sizeof *stop, compare_times);
  qsort (cont, n, sizeof *cont, compare_times);
  printf ("stop %" G_GINT64_FORMAT " us cont %" G_GINT64_FORMAT " us\n", stop[n / 2], cont[n / 2]);
  return true;
}

/* devices N: the device state N times, each in a pause, with one fd set; then once more with one of
 * its own each, so that nothing is left behind in QEMU. */
static bool
verb_devices (CsMonitor *monitor, char **arguments, GError **error)
{
  guint n = (guint)g_ascii_strtoull (arguments[0], NULL, 10);
  g_autofree gint64 *save = g_new (gint64, n);
  g_autoptr (CsDeviceState) state = cs_device_state_new (monitor, error);
  gsize size = 0;
  for (guint i = 0; state != NULL && i < n; i++)
    {
      if (i % 10 == 9)
        {
          cs_device_state_free (g_steal_pointer (&state));
          if ((state = cs_device_state_new (monitor, error)) == NULL)
            return false;
        }
      if (!cs_monitor_stop (monitor, error))
        return false;
      gint64 begin = g_get_monotonic_time ();
      if (!cs_device_state_save (state, error))
        return false;
      save[i] = g_get_monotonic_time () - begin;
      if (!cs_monitor_cont (monitor, error))
        return false;
      g_autoptr (GBytes) bytes = cs_device_state_bytes (state, error);
      if (bytes == NULL)
        return false;
      size = g_bytes_get_size (bytes);
    }
  qsort (save, n, sizeof *save, compare_times);
  printf ("saved %u times, %zu bytes, median %" G_GINT64_FORMAT " us\n", n, size, save[n / 2]);
  return state != NULL;
}

/* add-fd: a descriptor goes there and back. */
static bool
verb_add_fd (CsMonitor *monitor, char **arguments, GError **error)
{
  cs_autofd int fd = memfd_create ("test", MFD_CLOEXEC);
  json_object *sets = NULL;
  gint64 fdset = cs_monitor_add_fd (monitor, fd, "clusnap-tool", error);
  if (fdset < 0 || !cs_monitor_execute (monitor, "query-fdsets", NULL, &sets, error))
    return false;
  gsize with = json_object_array_length (sets);
  json_object_put (sets);
  if (!cs_monitor_remove_fdset (monitor, fdset, error)
      || !cs_monitor_execute (monitor, "query-fdsets", NULL, &sets, error))
    return false;
  printf ("fdsets %zu then %zu\n", with, json_object_array_length (sets));
  json_object_put (sets);
  return true;
}

/* events: STOP and RESUME of a pause arrive, and only once. */
static bool
verb_events (CsMonitor *monitor, char **arguments, GError **error)
{
  cs_monitor_forget_events (monitor);
  if (!cs_monitor_stop (monitor, error) || !cs_monitor_cont (monitor, error))
    return false;
  static const char *const names[] = { "RESUME", "STOP" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      json_object *data = cs_monitor_wait_event (monitor, names[i], NULL, NULL, error);
      if (data == NULL)
        return false;
      printf ("%s %s\n", names[i], json_object_to_json_string (data));
      json_object_put (data);
    }
  cs_monitor_set_deadline (monitor, g_get_monotonic_time () + 50000);
  json_object *data = cs_monitor_wait_event (monitor, "STOP", NULL, NULL, error);
  json_object_put (data);
  return data != NULL;
}

/* wait: for an event that never comes. */
static bool
verb_wait (CsMonitor *monitor, char **arguments, GError **error)
{
  printf ("waiting\n");
  fflush (stdout);
  json_object *data = cs_monitor_wait_event (monitor, "NEVER", NULL, NULL, error);
  g_autoptr (GError) after = NULL;
  cs_monitor_stop (monitor, &after);
  printf ("alive %d, then %s\n", cs_monitor_is_alive (monitor),
          after != NULL ? cs_error_name (after->code) : "no error");
  return data != NULL;
}

static bool
verb_precheck (CsMonitor *monitor, char **arguments, GError **error)
{
  json_object *summary = cs_precheck_summary (monitor, error);
  json_object *problems = cs_precheck_problems (monitor);
  printf ("%s\n%s\n", json_object_to_json_string (summary), json_object_to_json_string (problems));
  json_object_put (problems);
  json_object_put (summary);
  return summary != NULL && cs_precheck (monitor, error);
}

/* execute COMMAND JSON */
static bool
verb_execute (CsMonitor *monitor, char **arguments, GError **error)
{
  json_object *result = NULL;
  if (!cs_monitor_execute (monitor, arguments[0], json_tokener_parse (arguments[1]), &result,
                           error))
    return false;
  printf ("%s\n", json_object_to_json_string (result));
  json_object_put (result);
  return true;
}

/* stop, then the process ends: libvirt must know at once, so nothing else is done. */
static bool
verb_stop (CsMonitor *monitor, char **arguments, GError **error)
{
  return cs_monitor_stop (monitor, error);
}

static bool
verb_cont (CsMonitor *monitor, char **arguments, GError **error)
{
  return cs_monitor_cont (monitor, error);
}

static CsVmRef *the_ref;

static bool
verb_capture (CsMonitor *monitor, char **arguments, GError **error)
{
  json_object *source = cs_source_capture (monitor, the_ref, error);
  if (source == NULL)
    return false;
  printf ("%s\n", json_object_to_json_string_ext (source, JSON_C_TO_STRING_PRETTY));
  json_object_put (source);
  return true;
}

/* absent FILE: must fail, since it runs. */
static bool
verb_absent (CsMonitor *monitor, char **arguments, GError **error)
{
  json_object *source = json_object_from_file (arguments[0]);
  bool good = cs_source_check_absent (source, error);
  json_object_put (source);
  return good;
}

static bool
verb_kill (CsMonitor *monitor, char **arguments, GError **error)
{
  json_object *source = json_object_from_file (arguments[0]);
  cs_source_kill (source, monitor);
  json_object_put (source);
  return true;
}

static bool
launch (char **arguments, GError **error)
{
  json_object *source = json_object_from_file (arguments[0]);
  g_autoptr (CsMonitor) monitor = NULL;
  if (cs_source_check_absent (source, error))
    monitor = cs_source_launch (source, arguments[1], error);
  json_object_put (source);
  return monitor != NULL && verb_info (monitor, NULL, error);
}

static const struct
{
  const char *name;
  int n_arguments;
  VerbFunc func;
} verbs[] = {
  { "absent", 1, verb_absent },   { "add-fd", 0, verb_add_fd },     { "capture", 0, verb_capture },
  { "cont", 0, verb_cont },       { "devices", 1, verb_devices },   { "events", 0, verb_events },
  { "execute", 2, verb_execute }, { "info", 0, verb_info },         { "kill", 1, verb_kill },
  { "pause", 1, verb_pause },     { "precheck", 0, verb_precheck }, { "stop", 0, verb_stop },
  { "wait", 0, verb_wait },
};

/* Takes the VM's reference off the front of @arguments. */
static CsVmRef *
parse_ref (char ***arguments, GError **error)
{
  char **at = *arguments;
  json_object *object = json_object_new_object ();
  json_object_object_add (object, "name", json_object_new_string ("vm"));
  if (g_strcmp0 (at[0], "qmp") == 0 && at[1] != NULL)
    {
      json_object_object_add (object, "qmp", json_object_new_string (at[1]));
      *arguments += 2;
    }
  else if (g_strcmp0 (at[0], "libvirt") == 0 && g_strv_length (at) > 2)
    {
      json_object_object_add (object, "uri", json_object_new_string (at[1]));
      json_object_object_add (object, "domain", json_object_new_string (at[2]));
      *arguments += 3;
    }
  CsVmRef *ref = cs_vm_ref_from_json (object, error);
  json_object_put (object);
  return ref;
}

static bool
run (char **arguments, GError **error)
{
  if (!cs_libvirt_init (error))
    return false;
  if (g_strcmp0 (arguments[0], "launch") == 0 && g_strv_length (arguments) == 3)
    return launch (arguments + 1, error);
  g_autoptr (CsVmRef) ref = the_ref = parse_ref (&arguments, error);
  g_autoptr (CsMonitor) monitor = ref != NULL ? cs_vm_ref_connect (ref, error) : NULL;
  if (monitor == NULL)
    return false;
  for (gsize i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (g_strcmp0 (verbs[i].name, arguments[0]) == 0
        && (int)g_strv_length (arguments) == 1 + verbs[i].n_arguments)
      return verbs[i].func (monitor, arguments + 1, error);
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "no such verb");
  return false;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  if (run (argv + 1, &error))
    return 0;
  printf ("error %s: %s\n", error->domain == CS_ERROR ? cs_error_name (error->code) : "other",
          error->message);
  return cs_error_exit_status (error);
}
