/* Counts the frames that the VMs of a cluster send, by nftables at the ingress of their taps.
 *
 * Theory of operation: flows.c.  Sets are named by cs_flows_set_name.  Any thread; the waits below
 * are for the kernel only. */
#ifndef CS_VMM_FLOWS_H
#define CS_VMM_FLOWS_H

#include "vmm/flow-listing.h"
#include "vmm/tap.h"

typedef struct CsFlows CsFlows;

/* The table of cluster @cluster of the daemon with state directory @owner.  Nothing is made yet. */
CsFlows *cs_flows_new (const char *owner, const char *cluster);
void cs_flows_free (CsFlows *flows);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsFlows, cs_flows_free)

/* Name of the table, and of the set of the tap with this index. */
const char *cs_flows_table (const CsFlows *flows);
char *cs_flows_set_name (guint index);

/* Takes up namespace @id (@fd: open on it; -1: searched for), for the calls below.  NOT_FOUND. */
bool cs_flows_add_namespace (CsFlows *flows, guint64 id, int fd, GError **error);

/* Begins to count at @tap, whose namespace must have been added, with an empty set: what an older
 * one of this name has counted is dropped. */
bool cs_flows_watch (CsFlows *flows, const CsTap *tap, GError **error);
/* Ends that.  What is not there is no error. */
void cs_flows_unwatch (CsFlows *flows, guint64 netns, guint index);

/* All sets of the table in namespace @netns; an absent table has none.  Takes no count away, and so
 * loses none: it may be asked for at any time.  @text is what cs_flow_listing_parse takes: g_free.
 */
char *cs_flows_list (CsFlows *flows, guint64 netns, GError **error);
/* The ids of all namespaces: GArray of guint64. */
GArray *cs_flows_namespaces (CsFlows *flows);

/* Removes the table from a namespace, and lets go of that. */
void cs_flows_remove (CsFlows *flows, guint64 netns);

#endif
