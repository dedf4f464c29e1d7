/* Saves a cluster of bare QEMUs without clusnap, all VMs at once, so that somebody who
 * watches their STOP and RESUME events can compare the pauses.
 *
 *   pause-tool METHOD ROUNDS PAUSE-BETWEEN DIRECTORY QMP-SOCKET...
 *
 * METHOD: floor, together, live, stopped, background, loadvm, reload (pause-tool.h).  PAUSE-BETWEEN
 * in ms. Prints a line per round: the longest time, in us, from the common start to a VM's end. */
#include "config.h"

#include "bench/pause-tool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const CsPauseMethod *const methods[] = {
  &cs_pause_floor,      &cs_pause_floor_together, &cs_pause_live,   &cs_pause_stopped,
  &cs_pause_background, &cs_pause_loadvm,         &cs_pause_reload,
};

/* immutable once the threads run */
static const CsPauseMethod *method;
static guint rounds, interval;
static pthread_barrier_t barrier;
/* by the threads, each at its own place; read by the first one between barriers */
static gint64 *took;
static guint n_vms;

/* The VMs are the caller's to clean up; a round that is not whole is worth nothing. */
static void
check (bool good, GError **error)
{
  if (good)
    return;
  fprintf (stderr, "pause-tool: %s: %s\n", method->name, (*error)->message);
  exit (EXIT_FAILURE);
}

static void
run_round (CsPauseVm *vm)
{
  g_autoptr (GError) error = NULL;
  check (method->prepare (vm, &error), &error);
  pthread_barrier_wait (&barrier);
  gint64 begin = g_get_monotonic_time ();
  check (method->pause (vm, &error), &error);
  if (method->resume != NULL)
    {
      pthread_barrier_wait (&barrier);
      check (method->resume (vm, &error), &error);
    }
  took[vm->number] = g_get_monotonic_time () - begin;
  pthread_barrier_wait (&barrier);
  check (method->finish (vm, &error), &error);
}

static gpointer
vm_thread (gpointer data)
{
  CsPauseVm *vm = data;
  for (guint round = 0; round < rounds; round++)
    {
      run_round (vm);
      if (vm->number == 0)
        {
          gint64 longest = 0;
          for (guint i = 0; i < n_vms; i++)
            longest = MAX (longest, took[i]);
          printf ("%" G_GINT64_FORMAT "\n", longest);
          fflush (stdout);
        }
      g_usleep (interval * 1000);
    }
  return NULL;
}

static const CsPauseMethod *
find_method (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (methods); i++)
    if (g_str_equal (methods[i]->name, name))
      return methods[i];
  return NULL;
}

static bool
parse_number (const char *text, guint *number)
{
  guint64 value;
  if (!g_ascii_string_to_unsigned (text, 10, 0, 1000000, &value, NULL))
    return false;
  *number = (guint)value;
  return true;
}

int
main (int argc, char **argv)
{
  if (argc < 6 || (method = find_method (argv[1])) == NULL || !parse_number (argv[2], &rounds)
      || !parse_number (argv[3], &interval))
    {
      fputs ("usage: pause-tool floor|together|live|stopped|background|loadvm|reload ROUNDS MS "
             "DIRECTORY QMP-SOCKET...\n",
             stderr);
      return 2;
    }
  n_vms = (guint)argc - 5;
  g_autofree CsPauseVm *vms = g_new0 (CsPauseVm, n_vms);
  g_autofree GThread **threads = g_new0 (GThread *, n_vms);
  took = g_new0 (gint64, n_vms);
  pthread_barrier_init (&barrier, NULL, n_vms);
  for (guint i = 0; i < n_vms; i++)
    {
      g_autoptr (GError) error = NULL;
      vms[i].number = i;
      vms[i].directory = argv[4];
      vms[i].monitor = cs_monitor_open_qmp (argv[5 + i], &error);
      check (vms[i].monitor != NULL, &error);
    }
  for (guint i = 0; i < n_vms; i++)
    threads[i] = g_thread_new ("vm", vm_thread, &vms[i]);
  for (guint i = 0; i < n_vms; i++)
    g_thread_join (threads[i]);
  for (guint i = 0; i < n_vms; i++)
    cs_monitor_close (vms[i].monitor);
  pthread_barrier_destroy (&barrier);
  g_free (took);
  return EXIT_SUCCESS;
}
