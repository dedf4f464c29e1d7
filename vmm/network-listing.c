#include "config.h"

#include "vmm/network-listing.h"

#include "common/json.h"

#include <string.h>

char *
cs_network_listing_query (CsMonitor *monitor, GError **error)
{
  json_object *text = NULL, *arguments = json_object_new_object ();
  cs_json_add_string (arguments, "command-line", "info network");
  if (!cs_monitor_execute (monitor, "human-monitor-command", arguments, &text, error))
    return NULL;
  g_autoptr (CsJson) owned = text;
  const char *listing = json_object_get_string (owned);
  return g_strdup (listing != NULL ? listing : "");
}

bool
cs_network_listing_parse (const char *line, char **id, const char **type)
{
  const char *begin = line + strspn (line, " \\");
  const char *colon = strstr (begin, ": index=");
  const char *kind = colon != NULL ? strstr (colon, ",type=") : NULL;
  if (kind == NULL)
    return false;
  *type = kind + strlen (",type=");
  *id = g_strndup (begin, (gsize)(colon - begin));
  return true;
}
