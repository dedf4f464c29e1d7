/* Options, from the program and from the environment. */
#include "guest-agent/dsm/dsm-private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* @name in the environment, if it is there. */
static int
number_of (const char *name, unsigned long max, unsigned *value)
{
  const char *text = getenv (name);
  if (text == NULL)
    return 0;
  char *end;
  errno = 0;
  unsigned long number = strtoul (text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number > max)
    {
      errno = EINVAL;
      return -1;
    }
  *value = (unsigned)number;
  return 0;
}

int
cs_dsm_options (CsDsmOptions *options)
{
  *options = (CsDsmOptions){
    .nodes = 1,
    .size = 1 << 20,
    .start_ms = 120000,
    .silence_ms = 30000,
    .hold_us = 500,
  };
  const char *peers = getenv ("CLUSDSM_PEERS");
  for (const char *at = peers; at != NULL && (at = strchr (at, ',')) != NULL; at++)
    options->nodes++;
  if (number_of ("CLUSDSM_NODE", CS_DSM_NODES - 1, &options->node) < 0
      || number_of ("CLUSDSM_SILENCE", 86400000, &options->silence_ms) < 0
      || number_of ("CLUSDSM_START", 86400000, &options->start_ms) < 0)
    return -1;
  return 0;
}

/* "A.B.C.D:PORT" */
static bool
address_of (const char *text, size_t n, struct sockaddr_in *address)
{
  char copy[32];
  const char *colon = memchr (text, ':', n);
  if (colon == NULL || n >= sizeof copy)
    return false;
  memcpy (copy, text, n);
  copy[n] = '\0';
  copy[colon - text] = '\0';
  const char *digits = copy + (colon - text) + 1;
  char *end;
  unsigned long port = strtoul (digits, &end, 10);
  *address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons ((uint16_t)port) };
  return digits[0] >= '0' && digits[0] <= '9' && *end == '\0' && port > 0 && port < 65536
         && inet_pton (AF_INET, copy, &address->sin_addr) == 1;
}

int
dsm_addresses (const CsDsmOptions *options, struct sockaddr_in *addresses, char *why, size_t size)
{
  const char *list = options->peers == NULL ? getenv ("CLUSDSM_PEERS") : NULL;
  if (options->nodes == 1)
    return 0;
  if (options->peers == NULL && list == NULL)
    {
      snprintf (why, size, "the peers' addresses are missing: set CLUSDSM_PEERS or options.peers");
      return -1;
    }
  for (unsigned i = 0; i < options->nodes; i++)
    {
      const char *text = list != NULL ? list : options->peers[i];
      size_t n = strcspn (text, ",");
      if (!address_of (text, n, &addresses[i]))
        {
          snprintf (why, size, "the address of node %u, '%.*s', is not of the form A.B.C.D:PORT", i,
                    (int)n, text);
          return -1;
        }
      if (list != NULL)
        list += n + (list[n] == ',');
    }
  return 0;
}
