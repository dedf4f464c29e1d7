/* Theory of operation
 *
 * While a VM stands, frames for it gather in its tap's queue.  Those that others sent before they
 * were taken back belong to a time that has never been; delivered after the rollback they would be
 * orphan messages.  Reading the queue empty before `cont` is not enough: QEMU, though it stands,
 * reads the first frame and keeps it for its guest, where nobody can take it away.
 *
 * So the frames are stopped on their way into the queue: a filter (frame-filter.h) is attached to
 * the tap shortly before `stop` and drops what comes, and what the queue held is read out.  What
 * QEMU has read by then it hands to the guest or drops when it stops (net_vm_change_state_handler).
 * Just before `cont`, when all VMs of the cluster stand and are back, the queue is emptied
 * once more and the filter goes.  For a running VM, should the rollback be given up, that was a
 * short loss of frames, which networks have.
 *
 * The filter ends by itself after BLOCK_SECONDS: a tap is not left deaf by a clusnapd that died.
 * One that is started again takes it away at once.
 *
 * Descriptors are QEMU's own, taken with pidfd_getfd.  A datagram socket of a netdev is treated
 * alike (SO_ATTACH_BPF).  Sockets are told from QEMU's others by their kind: only a netdev's are
 * datagram sockets with a peer.  Not done: stream sockets, whose frames cannot be dropped one by
 * one.
 */
#include "config.h"

#include "vmm/rollback-network.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/frame-filter.h"
#include "vmm/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif
#ifndef SO_DETACH_BPF
#define SO_DETACH_BPF 27
#endif

#define BLOCK_SECONDS 30
/* A tap's queue has 1000 frames at most unless somebody made it longer. */
#define FRAMES_MAX 65536

typedef struct
{
  int fd;
  bool tap; /* else a datagram socket */
} Port;

struct CsRollbackNetwork
{
  GArray *ports; /* of Port */
  CsFrameFilter filter;
  bool blocked;
  guint64 dropped; /* read out */
};

/* ---- QEMU's descriptors ---- */

static bool
is_datagram (int fd)
{
  int type = 0, domain = 0;
  socklen_t length = sizeof type;
  return getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_DGRAM
         && getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0
         && (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);
}

static void
add_port (int fd, const char *target, gpointer data)
{
  CsRollbackNetwork *network = data;
  bool tap = g_str_equal (target, "/dev/net/tun");
  if (!tap && !is_datagram (fd))
    return;
  Port port = { fcntl (fd, F_DUPFD_CLOEXEC, 0), tap };
  if (port.fd >= 0)
    g_array_append_val (network->ports, port);
}

static void
port_clear (gpointer data)
{
  close (((Port *)data)->fd);
}

CsRollbackNetwork *
cs_rollback_network_new (pid_t pid, GError **error)
{
  g_autoptr (CsRollbackNetwork) network = g_new0 (CsRollbackNetwork, 1);
  network->filter = (CsFrameFilter){ -1, -1 };
  network->ports = g_array_new (FALSE, FALSE, sizeof (Port));
  g_array_set_clear_func (network->ports, port_clear);
  if (!cs_process_each_descriptor (pid, "/dev/net/tun", add_port, network, error)
      || !cs_process_each_descriptor (pid, "socket:", add_port, network, error))
    return NULL;
  return g_steal_pointer (&network);
}

void
cs_rollback_network_free (CsRollbackNetwork *network)
{
  if (network == NULL)
    return;
  cs_rollback_network_open (network, false);
  g_array_unref (network->ports);
  g_free (network);
}

/* ---- filter ---- */

static bool
attach (const Port *port, int program)
{
  return (port->tap ? ioctl (port->fd, TUNSETFILTEREBPF, &program)
                    : setsockopt (port->fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program))
         == 0;
}

static void
detach (const Port *port)
{
  int none = -1;
  if (port->tap)
    (void)!ioctl (port->fd, TUNSETFILTEREBPF, &none);
  else
    (void)!setsockopt (port->fd, SOL_SOCKET, SO_DETACH_BPF, &none, sizeof none);
}

/* Never waits, whatever the descriptor's mode is. */
static guint64
drain (const Port *port)
{
  static char sink[1]; /* the rest of a frame is dropped */
  guint64 frames = 0;
  struct pollfd poller = { .fd = port->fd, .events = POLLIN };
  while (frames < FRAMES_MAX && poll (&poller, 1, 0) == 1 && (poller.revents & POLLIN))
    {
      char frame[65536 + 256]; /* tun wants room for its header */
      struct iovec part = { frame, sizeof frame };
      ssize_t n = port->tap ? preadv2 (port->fd, &part, 1, -1, RWF_NOWAIT)
                            : recv (port->fd, sink, sizeof sink, MSG_DONTWAIT | MSG_TRUNC);
      if (n < 0 && port->tap && errno == EOPNOTSUPP)
        n = read (port->fd, frame, sizeof frame);
      if (n < 0 && errno != EINTR)
        break;
      frames += n >= 0;
    }
  return frames;
}

void
cs_rollback_network_block (CsRollbackNetwork *network)
{
  g_autoptr (GError) error = NULL;
  if (network->ports->len == 0)
    return;
  gint64 until = g_get_monotonic_time () + BLOCK_SECONDS * G_USEC_PER_SEC;
  /* Without it (a kernel without BPF) at most one frame per queue gets through. */
  if (!cs_frame_filter_make (&network->filter, until, &error))
    g_warning ("%s: a frame from before a rollback may arrive after it", error->message);
  network->blocked = true;
  for (guint i = 0; i < network->ports->len; i++)
    {
      const Port *port = &g_array_index (network->ports, Port, i);
      if (network->filter.program >= 0 && attach (port, network->filter.program))
        network->dropped += drain (port);
    }
}

guint64
cs_rollback_network_open (CsRollbackNetwork *network, bool drop)
{
  if (network == NULL || !network->blocked)
    return 0;
  for (guint i = 0; i < network->ports->len; i++)
    {
      const Port *port = &g_array_index (network->ports, Port, i);
      if (drop)
        network->dropped += drain (port);
      detach (port);
    }
  guint64 dropped = network->dropped + cs_frame_filter_dropped (&network->filter);
  cs_frame_filter_close (&network->filter);
  network->blocked = false;
  return dropped;
}

void
cs_rollback_network_unblock (pid_t pid)
{
  g_autoptr (GError) error = NULL;
  CsRollbackNetwork *network = cs_rollback_network_new (pid, &error);
  if (network == NULL)
    {
      g_debug ("%s", error->message);
      return;
    }
  for (guint i = 0; i < network->ports->len; i++)
    detach (&g_array_index (network->ports, Port, i));
  cs_rollback_network_free (network);
}
