/* What libnftables says of a table of ours (vmm/flows.h), parsed. */
#ifndef CS_VMM_FLOW_LISTING_H
#define CS_VMM_FLOW_LISTING_H

#include <glib.h>
#include <stdbool.h>

/* A MAC address is a number: the first byte on the wire is the highest of 48 bits. */
#define CS_MAC_GROUP (G_GUINT64_CONSTANT (1) << 40) /* multicast and broadcast */

/* Exactly "xx:xx:xx:xx:xx:xx". */
bool cs_mac_parse (const char *text, guint64 *mac);

typedef struct
{
  guint64 source, destination; /* MAC addresses as the frames had them */
  guint64 frames;
} CsFlow;

typedef struct
{
  char *name;
  guint64 handle; /* the kernel's: another one means that it was made anew */
  guint64 size;   /* so many flows fit */
  bool has_chain; /* a chain of the same name is there */
  GArray *flows;  /* of CsFlow */
} CsFlowSet;

/* The sets in @text, the JSON of `list table`: GPtrArray of CsFlowSet.  CORRUPT. */
GPtrArray *cs_flow_listing_parse (const char *text, GError **error);
/* The one called @name, or NULL. */
const CsFlowSet *cs_flow_listing_find (const GPtrArray *sets, const char *name);
/* More flows may have come than it could take. */
bool cs_flow_set_is_full (const CsFlowSet *set);

#endif
