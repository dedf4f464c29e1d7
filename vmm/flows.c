/* Theory of operation
 *
 * One table of family netdev per cluster and network namespace, with a chain at the ingress of each
 * tap: there every frame passes that QEMU sends, whatever switch is behind the tap.  The tap says
 * who sent it; what a guest writes into its frames says only to whom.  A set per tap counts them
 * per pair of source and destination address.  The source address tells behind which tap an address
 * lives (a bridge in the guest, a MAC of the guest's own choice); a guest that forges one only
 * makes others' frames to that address its own dependency.
 *
 * Not counted, since it carries nothing of a guest's programs: ARP and RARP (by which QEMU
 * announces a VM that was loaded), neighbour and router discovery, MLD, IGMP, and what bridges do
 * not forward (01:80:c2:00:00:0x: spanning tree, LLDP).
 *
 * Counts only grow.  A reading takes none away; who wants to know what came since an earlier
 * reading subtracts that (cluster-lines.c).  So nothing is lost between reading and setting back
 * (nftables of Debian 12 cannot do both at once), a reading whose snapshot failed need not be given
 * back, and the pause has one request that changes nothing in the kernel.  The price: a set that is
 * full stays so until somebody makes it anew.
 *
 * A set has room for SET_SIZE pairs.  A guest can fill it; cluster-lines.c takes its VM for
 * dependent on all then.
 *
 * The table outlives clusnapd, which goes on with its counts (the set's handle tells whether it is
 * the same one).  libnftables has state of its own per process: one caller at a time.
 *
 * Not done: routed frames (they bind both to the router, which is no VM), macvtap (no tap, no
 * ingress), and more than one host.
 */
#include "config.h"

#include "vmm/flows.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/netns.h"

#include <fcntl.h>
#include <nftables/libnftables.h>
#include <string.h>

#define SET_SIZE 128
/* Before everybody else's chains: what these drop has still been sent. */
#define PRIORITY "-500"

typedef struct
{
  int fd;
  struct nft_ctx *nft; /* its socket is in the namespace */
} Namespace;

struct CsFlows
{
  /* immutable */
  char *table;
  char *comment;
  /* under lock */
  GMutex lock;
  GHashTable *namespaces; /* id -> Namespace */
};

static GMutex nft_lock;

static void
namespace_free (gpointer data)
{
  Namespace *namespace = data;
  g_mutex_lock (&nft_lock);
  if (namespace->nft != NULL)
    nft_ctx_free (namespace->nft);
  g_mutex_unlock (&nft_lock);
  cs_fd_cleanup (&namespace->fd);
  g_free (namespace);
}

CsFlows *
cs_flows_new (const char *owner, const char *cluster)
{
  CsFlows *flows = g_new0 (CsFlows, 1);
  g_autofree char *canonical = g_canonicalize_filename (owner, NULL);
  g_autofree char *name = g_strconcat (canonical, "\n", cluster, NULL);
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, name, -1);
  flows->table = g_strdup_printf ("clusnap-%.16s", digest);
  /* nftables knows no escapes in a text; a comment has 128 bytes. */
  flows->comment = g_strdup_printf ("cluster %.60s", cluster);
  g_strcanon (flows->comment, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_.",
              '_');
  flows->namespaces = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, namespace_free);
  g_mutex_init (&flows->lock);
  return flows;
}

void
cs_flows_free (CsFlows *flows)
{
  if (flows == NULL)
    return;
  g_hash_table_unref (flows->namespaces);
  g_mutex_clear (&flows->lock);
  g_free (flows->table);
  g_free (flows->comment);
  g_free (flows);
}

const char *
cs_flows_table (const CsFlows *flows)
{
  return flows->table;
}

char *
cs_flows_set_name (guint index)
{
  return g_strdup_printf ("tap%u", index);
}

/* ---- namespaces ---- */

static struct nft_ctx *
open_nft (int fd, GError **error)
{
  int home;
  if (!cs_netns_enter (fd, &home, error))
    return NULL;
  g_mutex_lock (&nft_lock);
  struct nft_ctx *nft = nft_ctx_new (NFT_CTX_DEFAULT);
  if (nft != NULL)
    {
      nft_ctx_buffer_output (nft);
      nft_ctx_buffer_error (nft);
      nft_ctx_output_set_flags (nft, NFT_CTX_OUTPUT_JSON);
    }
  g_mutex_unlock (&nft_lock);
  cs_netns_leave (&home);
  if (nft == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_IO, "cannot talk to nftables");
  return nft;
}

bool
cs_flows_add_namespace (CsFlows *flows, guint64 id, int fd, GError **error)
{
  g_mutex_lock (&flows->lock);
  bool known = g_hash_table_contains (flows->namespaces, &id);
  g_mutex_unlock (&flows->lock);
  if (known)
    return true;
  cs_autofd int own = fd >= 0 ? fcntl (fd, F_DUPFD_CLOEXEC, 0) : cs_netns_find (id);
  if (own < 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND,
                   "the network namespace %" G_GUINT64_FORMAT " is gone", id);
      return false;
    }
  struct nft_ctx *nft = open_nft (own, error);
  if (nft == NULL)
    return false;
  Namespace *namespace = g_new0 (Namespace, 1);
  namespace->fd = cs_fd_steal (&own);
  namespace->nft = nft;
  g_mutex_lock (&flows->lock);
  g_hash_table_replace (flows->namespaces, g_memdup2 (&id, sizeof id), namespace);
  g_mutex_unlock (&flows->lock);
  return true;
}

GArray *
cs_flows_namespaces (CsFlows *flows)
{
  GArray *ids = g_array_new (FALSE, FALSE, sizeof (guint64));
  GHashTableIter iter;
  gpointer id;
  g_mutex_lock (&flows->lock);
  g_hash_table_iter_init (&iter, flows->namespaces);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    g_array_append_vals (ids, id, 1);
  g_mutex_unlock (&flows->lock);
  return ids;
}

/* One transaction.  *@output (may be NULL): g_free. */
static bool
run (CsFlows *flows, guint64 netns, const char *commands, char **output, GError **error)
{
  g_mutex_lock (&flows->lock);
  const Namespace *namespace = g_hash_table_lookup (flows->namespaces, &netns);
  int status = -1;
  if (namespace == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "its network namespace is not known");
  else
    {
      g_mutex_lock (&nft_lock);
      status = nft_run_cmd_from_buffer (namespace->nft, commands);
      const char *text = nft_ctx_get_output_buffer (namespace->nft);
      const char *complaint = nft_ctx_get_error_buffer (namespace->nft);
      if (status == 0 && output != NULL)
        *output = g_strdup (text);
      if (status != 0)
        g_set_error (error, CS_ERROR,
                     strstr (complaint, "No such file") ? CS_ERROR_NOT_FOUND : CS_ERROR_FAILED,
                     "nftables: %.*s", (int)strcspn (complaint, "\n"), complaint);
      g_mutex_unlock (&nft_lock);
    }
  g_mutex_unlock (&flows->lock);
  return status == 0;
}

/* ---- taps ---- */

bool
cs_flows_watch (CsFlows *flows, const CsTap *tap, GError **error)
{
  const char *table = flows->table;
  g_autofree char *set = cs_flows_set_name (tap->index);
  if (strpbrk (tap->name, "\"\\\n") != NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
                   "nftables cannot name tap '%s': give it another name", tap->name);
      return false;
    }
  cs_flows_unwatch (flows, tap->netns, tap->index);
  g_autofree char *commands = g_strdup_printf (
      "add table netdev %1$s { comment \"%2$s\"; }\n"
      "add chain netdev %1$s payload\n"
      "flush chain netdev %1$s payload\n"
      "add rule netdev %1$s payload meta protocol { arp, 0x8035 } accept\n"
      "add rule netdev %1$s payload ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 accept\n"
      "add rule netdev %1$s payload icmpv6 type { 130-137, 143 } accept\n"
      "add rule netdev %1$s payload ip protocol igmp accept\n"
      "add set netdev %1$s %3$s { type ether_addr . ether_addr; size %4$d; flags dynamic; counter; "
      "}\n"
      "add chain netdev %1$s %3$s { type filter hook ingress device \"%5$s\" priority " PRIORITY
      "; policy accept; }\n"
      "add rule netdev %1$s %3$s jump payload\n"
      "add rule netdev %1$s %3$s add @%3$s { ether saddr . ether daddr counter }\n",
      table, flows->comment, set, SET_SIZE, tap->name);
  if (run (flows, tap->netns, commands, NULL, error))
    return true;
  g_prefix_error (error, "cannot count the frames of tap '%s': ", tap->name);
  return false;
}

void
cs_flows_unwatch (CsFlows *flows, guint64 netns, guint index)
{
  g_autofree char *set = cs_flows_set_name (index);
  static const char *const kinds[] = { "chain", "set" };
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *command =
          g_strdup_printf ("delete %s netdev %s %s", kinds[i], flows->table, set);
      run (flows, netns, command, NULL, NULL);
    }
}

char *
cs_flows_list (CsFlows *flows, guint64 netns, GError **error)
{
  char *text = NULL;
  g_autoptr (GError) own = NULL;
  g_autofree char *command = g_strdup_printf ("list table netdev %s", flows->table);
  if (run (flows, netns, command, &text, &own))
    return text;
  if (g_error_matches (own, CS_ERROR, CS_ERROR_NOT_FOUND))
    return g_strdup ("{\"nftables\": []}");
  g_propagate_error (error, g_steal_pointer (&own));
  return NULL;
}

void
cs_flows_remove (CsFlows *flows, guint64 netns)
{
  g_autofree char *command = g_strdup_printf ("delete table netdev %s", flows->table);
  run (flows, netns, command, NULL, NULL);
  g_mutex_lock (&flows->lock);
  g_hash_table_remove (flows->namespaces, &netns);
  g_mutex_unlock (&flows->lock);
}
