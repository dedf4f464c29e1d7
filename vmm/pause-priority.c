#include "config.h"

#include "vmm/pause-priority.h"

#include <sched.h>
#include <stdbool.h>

/* Also how threads that we have raised are recognized: nobody else sets both. */
#define RAISED (SCHED_RR | SCHED_RESET_ON_FORK)
#define SELF 0

static void
change (pid_t thread, int from, int to)
{
  struct sched_param parameters = { .sched_priority = to == RAISED ? 1 : 0 };
  if (sched_getscheduler (thread) == from)
    sched_setscheduler (thread, to, &parameters);
}

static bool
holds (const GArray *threads, pid_t thread)
{
  for (guint i = 0; threads != NULL && i < threads->len; i++)
    if (g_array_index (threads, pid_t, i) == thread)
      return true;
  return false;
}

static void
change_all (pid_t process, const GArray *but, int from, int to)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", process);
  g_autoptr (GDir) tasks = g_dir_open (path, 0, NULL);
  for (const char *name; tasks != NULL && (name = g_dir_read_name (tasks)) != NULL;)
    {
      pid_t thread = (pid_t)g_ascii_strtoll (name, NULL, 10);
      if (thread > 0 && !holds (but, thread))
        change (thread, from, to);
    }
}

void
cs_pause_priority_raise (pid_t qemu, const GArray *vcpus)
{
  change (SELF, SCHED_OTHER, RAISED);
  if (vcpus != NULL)
    change_all (qemu, vcpus, SCHED_OTHER, RAISED);
}

void
cs_pause_priority_drop (pid_t qemu)
{
  change_all (qemu, NULL, RAISED, SCHED_OTHER);
  change (SELF, RAISED, SCHED_OTHER);
}
