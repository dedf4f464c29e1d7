#include "config.h"

#include "vmm/tap.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/netns.h"
#include "vmm/process.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO ('T', 227)
#endif

void
cs_tap_free (CsTap *tap)
{
  if (tap->netns_fd >= 0)
    close (tap->netns_fd);
  g_free (tap->name);
  g_free (tap);
}

static bool
is_known (const GPtrArray *taps, guint64 netns, guint index)
{
  for (guint i = 0; i < taps->len; i++)
    {
      const CsTap *tap = g_ptr_array_index (taps, i);
      if (tap->netns == netns && tap->index == index)
        return true;
    }
  return false;
}

typedef struct
{
  GPtrArray *taps;
  GError *failure;
} Search;

/* A descriptor of /dev/net/tun that has no device, or whose device is gone, is none. */
static void
add_tap (int fd, const char *target, gpointer data)
{
  Search *search = data;
  struct ifreq request;
  int home;
  memset (&request, 0, sizeof request);
  if (search->failure != NULL || !g_str_equal (target, "/dev/net/tun")
      || ioctl (fd, TUNGETIFF, &request) < 0 || !(request.ifr_flags & IFF_TAP))
    return;
  request.ifr_name[IFNAMSIZ - 1] = '\0';
  cs_autofd int netns_fd = ioctl (fd, TUNGETDEVNETNS);
  if (netns_fd < 0)
    {
      cs_error_set_errno (&search->failure, errno, "tap '%s': cannot find its network namespace",
                          request.ifr_name);
      return;
    }
  if (!cs_netns_enter (netns_fd, &home, &search->failure))
    return;
  guint index = if_nametoindex (request.ifr_name);
  cs_netns_leave (&home);
  guint64 netns = cs_netns_id (netns_fd);
  if (index == 0 || is_known (search->taps, netns, index))
    return;
  CsTap *tap = g_new0 (CsTap, 1);
  tap->name = g_strdup (request.ifr_name);
  tap->index = index;
  tap->netns = netns;
  tap->netns_fd = cs_fd_steal (&netns_fd);
  g_ptr_array_add (search->taps, tap);
}

GPtrArray *
cs_taps_of_process (pid_t pid, GError **error)
{
  g_autoptr (GPtrArray) taps = g_ptr_array_new_with_free_func ((GDestroyNotify)cs_tap_free);
  Search search = { .taps = taps };
  if (!cs_process_each_descriptor (pid, "/dev/net/tun", add_tap, &search, &search.failure)
      || search.failure != NULL)
    {
      g_propagate_error (error, search.failure);
      return NULL;
    }
  return g_steal_pointer (&taps);
}
