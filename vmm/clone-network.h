/* A clone's networks: bridges that nothing of the host is on, and the taps of bare QEMUs, all in
 * our own network namespace. */
#ifndef CS_VMM_CLONE_NETWORK_H
#define CS_VMM_CLONE_NETWORK_H

#include <glib.h>
#include <stdbool.h>

/* A bridge without an address, spanning tree or multicast snooping: the host sends nothing into it
 * and learns nothing from it.  EXISTS. */
bool cs_clone_network_add_bridge (const char *name, GError **error);
/* A tap that stays without a process, on @bridge. */
bool cs_clone_network_add_tap (const char *name, bool multi_queue, const char *bridge,
                               GError **error);
/* Removes the interface @name; there being none is fine. */
bool cs_clone_network_remove (const char *name, GError **error);

/* The bridge that interface @name is on (g_free), NULL: none, or no such interface. */
char *cs_clone_network_bridge_of (const char *name);

#endif
