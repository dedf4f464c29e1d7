/* rtnetlink(7) with libnl's message functions; what the attributes mean is in ip-link(8). */
#include "config.h"

#include "vmm/clone-network.h"

#include "common/error.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

typedef struct nl_sock NlSocket;
typedef struct nl_msg NlMessage;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (NlSocket, nl_socket_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (NlMessage, nlmsg_free)

static NlMessage *
link_message (int type, int flags, unsigned index, unsigned change)
{
  struct ifinfomsg info = {
    .ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_flags = change, .ifi_change = change
  };
  NlMessage *message = nlmsg_alloc_simple (type, flags);
  if (message == NULL || nlmsg_append (message, &info, sizeof info, NLMSG_ALIGNTO) < 0)
    g_error ("no memory for a netlink message");
  return message;
}

/* Without an IPv6 address of its own the host sends nothing when the interface comes up. */
static void
put_no_address (NlMessage *message)
{
  struct nlattr *spec = nla_nest_start (message, IFLA_AF_SPEC);
  struct nlattr *inet6 = nla_nest_start (message, AF_INET6);
  nla_put_u8 (message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  nla_nest_end (message, inet6);
  nla_nest_end (message, spec);
}

/* Sends @message and waits for the kernel's answer; @name is for the error. */
static bool
transact (NlMessage *message, const char *what, const char *name, GError **error)
{
  g_autoptr (NlSocket) socket = nl_socket_alloc ();
  int result = socket != NULL ? nl_connect (socket, NETLINK_ROUTE) : -NLE_NOMEM;
  if (result >= 0 && (result = nl_send_auto (socket, message)) >= 0)
    result = nl_wait_for_ack (socket);
  if (result >= 0)
    return true;
  CsError code = CS_ERROR_IO;
  if (result == -NLE_EXIST)
    code = CS_ERROR_EXISTS;
  else if (result == -NLE_PERM || result == -NLE_NOACCESS)
    code = CS_ERROR_PERMISSION;
  else if (result == -NLE_NODEV || result == -NLE_OBJ_NOTFOUND)
    code = CS_ERROR_NOT_FOUND;
  g_set_error (error, CS_ERROR, code, "cannot %s interface '%s': %s", what, name,
               nl_geterror (result));
  return false;
}

bool
cs_clone_network_add_bridge (const char *name, GError **error)
{
  g_autoptr (NlMessage) message =
      link_message (RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0, 0);
  nla_put_string (message, IFLA_IFNAME, name);
  struct nlattr *link = nla_nest_start (message, IFLA_LINKINFO);
  nla_put_string (message, IFLA_INFO_KIND, "bridge");
  struct nlattr *data = nla_nest_start (message, IFLA_INFO_DATA);
  nla_put_u32 (message, IFLA_BR_STP_STATE, 0);
  nla_put_u32 (message, IFLA_BR_FORWARD_DELAY, 0);
  nla_put_u8 (message, IFLA_BR_MCAST_SNOOPING, 0);
  nla_nest_end (message, data);
  nla_nest_end (message, link);
  if (!transact (message, "make", name, error))
    return false;
  /* Up only when it has no address: an address may come with that. */
  g_autoptr (NlMessage) up =
      link_message (RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, if_nametoindex (name), 0);
  put_no_address (up);
  g_autoptr (GError) without_ipv6 = NULL;
  transact (up, "set up", name, &without_ipv6);
  g_autoptr (NlMessage) on =
      link_message (RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, if_nametoindex (name), IFF_UP);
  return transact (on, "set up", name, error);
}

static bool
make_tap (const char *name, bool multi_queue, GError **error)
{
  struct ifreq request = { 0 };
  g_strlcpy (request.ifr_name, name, sizeof request.ifr_name);
  request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL
                              | (multi_queue ? IFF_MULTI_QUEUE : 0));
  cs_autofd int fd = open ("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return cs_error_set_errno (error, errno, "cannot open '/dev/net/tun'");
  if (ioctl (fd, TUNSETIFF, &request) < 0 || ioctl (fd, TUNSETOWNER, (unsigned long)geteuid ()) < 0
      || ioctl (fd, TUNSETPERSIST, 1UL) < 0)
    return cs_error_set_errno (error, errno, "cannot make tap '%s'", name);
  return true;
}

bool
cs_clone_network_add_tap (const char *name, bool multi_queue, const char *bridge, GError **error)
{
  if (!make_tap (name, multi_queue, error))
    return false;
  unsigned index = if_nametoindex (name), master = if_nametoindex (bridge);
  g_autoptr (NlMessage) address = link_message (RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, index, 0);
  put_no_address (address);
  g_autoptr (GError) without_ipv6 = NULL;
  transact (address, "set up", name, &without_ipv6);
  g_autoptr (NlMessage) up = link_message (RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, index, IFF_UP);
  nla_put_u32 (up, IFLA_MASTER, master);
  return transact (up, "set up", name, error);
}

bool
cs_clone_network_remove (const char *name, GError **error)
{
  unsigned index = if_nametoindex (name);
  if (index == 0)
    return true;
  g_autoptr (NlMessage) message = link_message (RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, index, 0);
  g_autoptr (GError) local = NULL;
  if (transact (message, "remove", name, &local)
      || g_error_matches (local, CS_ERROR, CS_ERROR_NOT_FOUND))
    return true;
  g_propagate_error (error, g_steal_pointer (&local));
  return false;
}

/* ---- asking ---- */

static int
take_master (struct nl_msg *message, void *data)
{
  struct nlattr *master =
      nlmsg_find_attr (nlmsg_hdr (message), sizeof (struct ifinfomsg), IFLA_MASTER);
  if (master != NULL)
    *(unsigned *)data = nla_get_u32 (master);
  return NL_OK;
}

char *
cs_clone_network_bridge_of (const char *name)
{
  unsigned index = if_nametoindex (name), master = 0;
  g_autoptr (NlSocket) socket = index != 0 ? nl_socket_alloc () : NULL;
  if (socket == NULL || nl_connect (socket, NETLINK_ROUTE) < 0)
    return NULL;
  g_autoptr (NlMessage) message = link_message (RTM_GETLINK, NLM_F_REQUEST, index, 0);
  nl_socket_modify_cb (socket, NL_CB_VALID, NL_CB_CUSTOM, take_master, &master);
  char bridge[IF_NAMESIZE];
  nl_socket_disable_auto_ack (socket);
  if (nl_send_auto (socket, message) < 0 || nl_recvmsgs_default (socket) < 0 || master == 0
      || if_indextoname (master, bridge) == NULL)
    return NULL;
  return g_strdup (bridge);
}
