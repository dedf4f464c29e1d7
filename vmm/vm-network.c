#include "config.h"

#include "vmm/vm-network.h"

#include "common/error.h"
#include "vmm/flow-listing.h"
#include "vmm/network-listing.h"
#include "vmm/process.h"

#include <string.h>

enum
{
  MAX_MACS = 256,
};

/* Backends whose frames stay with the host, or cannot reach another VM but through it. */
static const char *const harmless[] = { "user", "hubport", "nic", "tap" };

static bool
is_harmless (const char *type)
{
  gsize length = strcspn (type, ",\r\n");
  for (gsize i = 0; i < G_N_ELEMENTS (harmless); i++)
    if (strlen (harmless[i]) == length && strncmp (type, harmless[i], length) == 0)
      return true;
  return false;
}

static void
add_mac (const char *line, GArray *macs)
{
  guint64 mac;
  const char *text = strstr (line, ",macaddr=");
  g_autofree char *digits = text != NULL ? g_strndup (text + strlen (",macaddr="), 17) : NULL;
  if (macs->len < MAX_MACS && cs_mac_parse (digits, &mac))
    g_array_append_val (macs, mac);
}

char *
cs_vm_network_parse (const char *text, GArray *macs, bool *has_tap)
{
  g_autofree char *uncounted = NULL;
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  *has_tap = false;
  for (char **line = lines; *line != NULL; line++)
    {
      g_autofree char *id = NULL;
      const char *type;
      if (!cs_network_listing_parse (*line, &id, &type))
        continue;
      if (g_str_has_prefix (type, "nic"))
        add_mac (type, macs);
      *has_tap = *has_tap || g_str_has_prefix (type, "tap");
      if (!is_harmless (type) && uncounted == NULL)
        uncounted = g_steal_pointer (&id);
    }
  return g_steal_pointer (&uncounted);
}

static bool
ask (CsMonitor *monitor, CsVmNetwork *network, GError **error)
{
  bool has_tap;
  g_autofree char *text = cs_network_listing_query (monitor, error);
  if (text == NULL)
    return false;
  g_autofree char *uncounted = cs_vm_network_parse (text, network->macs, &has_tap);
  network->countable = uncounted == NULL && (!has_tap || network->taps->len > 0);
  if (uncounted != NULL)
    network->problem = g_strdup_printf ("frames through network backend '%s' cannot be counted, "
                                        "only those of a tap can",
                                        uncounted);
  else if (!network->countable)
    network->problem = g_strdup ("it has a macvtap device, whose frames cannot be counted: use a "
                                 "bridge");
  else if (!has_tap)
    network->problem = g_strdup ("it has no tap: no other VM is reached by its frames");
  return true;
}

CsVmNetwork *
cs_vm_network_look (CsMonitor *monitor, GError **error)
{
  g_autoptr (CsVmNetwork) network = g_new0 (CsVmNetwork, 1);
  network->pid = cs_monitor_pid (monitor);
  network->start_time = cs_process_start_time (network->pid);
  network->macs = g_array_new (FALSE, FALSE, sizeof (guint64));
  network->taps = cs_taps_of_process (network->pid, error);
  return network->taps != NULL && ask (monitor, network, error) ? g_steal_pointer (&network) : NULL;
}

void
cs_vm_network_free (CsVmNetwork *network)
{
  if (network == NULL)
    return;
  if (network->taps != NULL)
    g_ptr_array_unref (network->taps);
  g_array_unref (network->macs);
  g_free (network->problem);
  g_free (network);
}
