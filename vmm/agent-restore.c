/* After a restore or a rollback. */
#include "config.h"

#include "vmm/agent-private.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "vmm/guest-port.h"

#include <sys/random.h>

static void
add_entropy (json_object *request)
{
  unsigned char bytes[CS_AGENT_ENTROPY];
  char text[2 * sizeof bytes + 1];
  if (getrandom (bytes, sizeof bytes, 0) != sizeof bytes)
    return;
  for (gsize i = 0; i < sizeof bytes; i++)
    g_snprintf (text + 2 * i, 3, "%02x", bytes[i]);
  cs_json_add_string (request, "entropy", text);
}

static void
add_printable (json_object *report, const char *member, json_object *result)
{
  const char *text = cs_json_string (result, member);
  g_autofree char *printable = cs_guest_talk_printable (text != NULL ? text : "not said");
  cs_json_add_string (report, member, printable);
}

json_object *
cs_agent_converse_restore (int fd, const char *name, const char *vm, guint64 interval,
                           gint64 patience, gint64 limit)
{
  gint64 since = g_get_monotonic_time (), deadline = since + limit;
  g_autoptr (GString) line = g_string_new (NULL);
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsJson) result = NULL;
  json_object *report = json_object_new_object ();
  CsGuestTalk talk;
  guint64 id;
  cs_agent_talk_init (&talk, fd, -1, name, line, since + MIN (patience, limit));
  bool restored = cs_agent_hello (&talk, vm, interval, &id, &failure);
  talk.deadline = deadline;
  if (restored)
    {
      json_object *request = cs_agent_request_new ("after-restore", id + 1);
      cs_agent_request_add_deadline (request, deadline);
      cs_agent_request_add_identity (request, vm, interval);
      add_entropy (request);
      cs_json_add_uint (request, "time", (guint64)g_get_real_time () * 1000);
      restored = cs_agent_ask (&talk, "", request, &result, &failure);
    }
  cs_json_add_string (report, "agent", restored ? "restored" : failure->message);
  if (!restored)
    return report;
  add_printable (report, "clock", result);
  add_printable (report, "random", result);
  cs_json_add_uint (report, "announced", MIN (cs_json_uint (result, "announced", 0), 1000));
  return report;
}

json_object *
cs_agent_after_restore (CsMonitor *monitor, const char *vm, guint64 interval, bool resident)
{
  gint64 patience = resident ? CS_AGENT_HELLO_LIMIT : CS_AGENT_AFTER_RESTORE_LIMIT;
  g_autoptr (GError) failure = NULL;
  g_autofree char *filename = cs_guest_port_find (monitor, CS_AGENT_PORT, &failure);
  cs_autofd int fd = filename != NULL ? cs_guest_port_connect (monitor, filename, &failure) : -1;
  if (fd >= 0)
    return cs_agent_converse_restore (fd, cs_monitor_name (monitor), vm, interval, patience,
                                      CS_AGENT_AFTER_RESTORE_LIMIT);
  json_object *report = json_object_new_object ();
  bool absent = g_error_matches (failure, CS_ERROR, CS_ERROR_NOT_FOUND);
  cs_json_add_string (report, "agent", absent ? "none" : failure->message);
  return report;
}
