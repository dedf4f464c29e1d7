/* Unsolicited neighbour advertisements (RFC 4861, 7.2.6), the announcement of IPv6: to all nodes,
 * with our address of the link layer, to override what they have.  An address that is not known to
 * be ours alone yet (RFC 4862, RFC 4429) is not announced. */
#include "config.h"

#include "guest-agent/agent/agent.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>

typedef struct
{
  struct ether_header ethernet;
  struct ip6_hdr ip;
  struct nd_neighbor_advert advert;
  struct nd_opt_hdr option;
  unsigned char link[ETH_ALEN];
} __attribute__ ((packed)) Frame;

#define PAYLOAD (sizeof (Frame) - sizeof (struct ether_header) - sizeof (struct ip6_hdr))

/* RFC 4443, 2.3: over both addresses, the length, the next header and the message. */
static uint16_t
checksum (const Frame *frame)
{
  unsigned char bytes[2 * sizeof (struct in6_addr) + 8 + PAYLOAD] = { 0 };
  unsigned char *at = bytes + 2 * sizeof (struct in6_addr);
  uint32_t sum = 0;
  memcpy (bytes, &frame->ip.ip6_src, sizeof (struct in6_addr));
  memcpy (bytes + sizeof (struct in6_addr), &frame->ip.ip6_dst, sizeof (struct in6_addr));
  at[3] = PAYLOAD;
  at[7] = IPPROTO_ICMPV6;
  memcpy (at + 8, &frame->advert, PAYLOAD);
  for (size_t i = 0; i < sizeof bytes; i += 2)
    sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
  while (sum >> 16 != 0)
    sum = (sum & 0xffff) + (sum >> 16);
  return htons ((uint16_t)~sum);
}

/* A router that does not say that it is one is none any more. */
static bool
is_router (const char *name)
{
  char path[128];
  snprintf (path, sizeof path, "/proc/sys/net/ipv6/conf/%s/forwarding", name);
  FILE *file = fopen (path, "re");
  int value = file != NULL ? fgetc (file) : EOF;
  if (file != NULL)
    fclose (file);
  return value != EOF && value != '0';
}

static bool
announce (int fd, const struct sockaddr_ll *link, const char *name, const struct in6_addr *ip)
{
  static const unsigned char all_nodes[ETH_ALEN] = { 0x33, 0x33, 0, 0, 0, 1 };
  Frame frame = { 0 };
  struct sockaddr_ll to = *link;
  memcpy (frame.ethernet.ether_dhost, all_nodes, ETH_ALEN);
  memcpy (frame.ethernet.ether_shost, link->sll_addr, ETH_ALEN);
  frame.ethernet.ether_type = htons (ETHERTYPE_IPV6);
  frame.ip.ip6_flow = htonl (6u << 28);
  frame.ip.ip6_plen = htons (PAYLOAD);
  frame.ip.ip6_nxt = IPPROTO_ICMPV6;
  frame.ip.ip6_hlim = 255;
  frame.ip.ip6_src = *ip;
  inet_pton (AF_INET6, "ff02::1", &frame.ip.ip6_dst);
  frame.advert.nd_na_type = ND_NEIGHBOR_ADVERT;
  frame.advert.nd_na_flags_reserved =
      ND_NA_FLAG_OVERRIDE | (is_router (name) ? ND_NA_FLAG_ROUTER : 0);
  frame.advert.nd_na_target = *ip;
  frame.option.nd_opt_type = ND_OPT_TARGET_LINKADDR;
  frame.option.nd_opt_len = 1;
  memcpy (frame.link, link->sll_addr, ETH_ALEN);
  frame.advert.nd_na_cksum = checksum (&frame);
  memcpy (to.sll_addr, all_nodes, ETH_ALEN);
  to.sll_protocol = htons (ETHERTYPE_IPV6);
  return sendto (fd, &frame, sizeof frame, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to)
         == (ssize_t)sizeof frame;
}

/* 32 digits of the address, in hexadecimal. */
static bool
parse_address (const char *digits, struct in6_addr *ip)
{
  for (size_t i = 0; i < sizeof ip->s6_addr; i++)
    {
      unsigned byte;
      if (sscanf (digits + 2 * i, "%2x", &byte) != 1)
        return false;
      ip->s6_addr[i] = (unsigned char)byte;
    }
  return true;
}

int
agent_announce_ipv6 (int fd, const struct ifaddrs *all)
{
  char digits[33], name[33];
  unsigned flags;
  int count = 0;
  FILE *file = fopen ("/proc/net/if_inet6", "re");
  while (file != NULL && fscanf (file, "%32s %*x %*x %*x %x %32s", digits, &flags, name) == 3)
    {
      struct sockaddr_ll link;
      struct in6_addr ip;
      if ((flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_OPTIMISTIC)) == 0
          && strlen (digits) == 32 && parse_address (digits, &ip)
          && agent_link_address (all, name, &link))
        count += announce (fd, &link, name, &ip);
    }
  if (file != NULL)
    fclose (file);
  return count;
}
