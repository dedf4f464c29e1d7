/* ARP announcements (RFC 5227, section 3): switches learn again behind which port we are,
 * neighbours which address of the link layer we have.  announce-ipv6.c does it for IPv6. */
#include "config.h"

#include "guest-agent/agent/agent.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct
{
  struct ether_header ethernet;
  struct ether_arp arp;
} __attribute__ ((packed)) Frame;

bool
agent_link_address (const struct ifaddrs *all, const char *name, struct sockaddr_ll *address)
{
  for (const struct ifaddrs *one = all; one != NULL; one = one->ifa_next)
    if (one->ifa_addr != NULL && one->ifa_addr->sa_family == AF_PACKET
        && strcmp (one->ifa_name, name) == 0)
      {
        memcpy (address, one->ifa_addr, sizeof *address);
        return (one->ifa_flags & (IFF_UP | IFF_LOOPBACK | IFF_NOARP)) == IFF_UP
               && address->sll_hatype == ARPHRD_ETHER && address->sll_halen == ETH_ALEN;
      }
  return false;
}

static bool
announce (int fd, const struct sockaddr_ll *link, struct in_addr ip)
{
  Frame frame = { 0 };
  struct sockaddr_ll to = *link;
  memset (frame.ethernet.ether_dhost, 0xff, ETH_ALEN);
  memcpy (frame.ethernet.ether_shost, link->sll_addr, ETH_ALEN);
  frame.ethernet.ether_type = htons (ETHERTYPE_ARP);
  frame.arp.arp_hrd = htons (ARPHRD_ETHER);
  frame.arp.arp_pro = htons (ETHERTYPE_IP);
  frame.arp.arp_hln = ETH_ALEN;
  frame.arp.arp_pln = sizeof ip;
  frame.arp.arp_op = htons (ARPOP_REQUEST);
  memcpy (frame.arp.arp_sha, link->sll_addr, ETH_ALEN);
  memcpy (frame.arp.arp_spa, &ip, sizeof ip);
  memcpy (frame.arp.arp_tpa, &ip, sizeof ip);
  memset (to.sll_addr, 0xff, ETH_ALEN);
  to.sll_protocol = htons (ETHERTYPE_ARP);
  return sendto (fd, &frame, sizeof frame, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to)
         == (ssize_t)sizeof frame;
}

int
agent_announce (void)
{
  struct ifaddrs *all;
  int count = 0;
  if (getifaddrs (&all) < 0)
    return 0;
  int fd = socket (AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  for (const struct ifaddrs *one = all; fd >= 0 && one != NULL; one = one->ifa_next)
    {
      struct sockaddr_ll link;
      struct sockaddr_in ip;
      if (one->ifa_addr == NULL || one->ifa_addr->sa_family != AF_INET
          || !agent_link_address (all, one->ifa_name, &link))
        continue;
      memcpy (&ip, one->ifa_addr, sizeof ip);
      count += announce (fd, &link, ip.sin_addr);
    }
  if (fd >= 0)
    count += agent_announce_ipv6 (fd, all);
  if (fd >= 0)
    close (fd);
  freeifaddrs (all);
  return count;
}
