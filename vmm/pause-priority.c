#include "config.h"

#include "vmm/pause-priority.h"

#include "common/realtime.h"

#include <stdbool.h>

static bool
holds (const GArray *threads, pid_t thread)
{
  for (guint i = 0; threads != NULL && i < threads->len; i++)
    if (g_array_index (threads, pid_t, i) == thread)
      return true;
  return false;
}

static void
each_thread (pid_t process, const GArray *but, void (*func) (pid_t thread))
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", process);
  g_autoptr (GDir) tasks = g_dir_open (path, 0, NULL);
  for (const char *name; tasks != NULL && (name = g_dir_read_name (tasks)) != NULL;)
    {
      pid_t thread = (pid_t)g_ascii_strtoll (name, NULL, 10);
      if (thread > 0 && !holds (but, thread))
        func (thread);
    }
}

void
cs_pause_priority_raise (pid_t qemu, const GArray *vcpus)
{
  cs_realtime_raise (CS_REALTIME_SELF);
  if (vcpus != NULL)
    each_thread (qemu, vcpus, cs_realtime_raise);
}

void
cs_pause_priority_drop (pid_t qemu)
{
  each_thread (qemu, NULL, cs_realtime_drop);
  cs_realtime_drop (CS_REALTIME_SELF);
}
