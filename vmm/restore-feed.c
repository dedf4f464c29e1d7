/* Theory of operation
 *
 * The stream goes over a socket pair whose one end QEMU gets by `getfd`; `migrate-incoming` returns
 * at once and QEMU reads in its main loop, which meanwhile serves its monitor, too.  So a blocking
 * writer here cannot deadlock with it; a QEMU that takes nothing any more runs into the stream's
 * own time limit.  The end is told by an event: to ask again and again would take QEMU, and libvirt
 * between us, more time than the loading.
 *
 * When loading fails, QEMU prints why and exits.  Our write then fails (GONE) or the monitor's
 * connection is lost; what is reported is the end of QEMU's log.
 */
#include "config.h"

#include "vmm/restore-feed.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"

#define FD_NAME "clusnap-restore"
#define LOOK_US 1000000 /* between two looks without being told */
#define LOG_LINES 4

static json_object *
object_with (const char *key, const char *value)
{
  json_object *object = json_object_new_object ();
  json_object_object_add (object, key, json_object_new_string (value));
  return object;
}

/* libvirt has done it already. */
static bool
ask_for_events (CsMonitor *monitor, GError **error)
{
  json_object *events = object_with ("capability", "events");
  json_object_object_add (events, "state", json_object_new_boolean (true));
  json_object *capabilities = json_object_new_array (), *arguments = json_object_new_object ();
  json_object_array_add (capabilities, events);
  json_object_object_add (arguments, "capabilities", capabilities);
  cs_monitor_forget_events (monitor);
  return cs_monitor_execute (monitor, "migrate-set-capabilities", arguments, NULL, error);
}

/* Starts the loading; returns our end. */
static int
begin (CsMonitor *monitor, GError **error)
{
  int ends[2];
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    {
      cs_error_set_errno (error, errno, "cannot make a socket pair");
      return -1;
    }
  cs_autofd int ours = ends[0];
  cs_autofd int theirs = ends[1];
  if (!ask_for_events (monitor, error)
      || !cs_monitor_execute_with_fd (monitor, "getfd", object_with ("fdname", FD_NAME), theirs,
                                      NULL, error)
      || !cs_monitor_execute (monitor, "migrate-incoming", object_with ("uri", "fd:" FD_NAME), NULL,
                              error))
    return -1;
  return cs_fd_steal (&ours);
}

/* One look: *@loaded, or false when it has failed. */
static bool
look (CsMonitor *monitor, bool *loaded, GError **error)
{
  json_object *reply = NULL, *member;
  if (!cs_monitor_execute (monitor, "query-migrate", NULL, &reply, error))
    return false;
  g_autofree char *status = NULL;
  g_autofree char *reason = NULL;
  if (json_object_object_get_ex (reply, "status", &member))
    status = g_strdup (json_object_get_string (member));
  if (json_object_object_get_ex (reply, "error-desc", &member))
    reason = g_strdup (json_object_get_string (member));
  json_object_put (reply);
  *loaded = g_strcmp0 (status, "completed") == 0;
  if (g_strcmp0 (status, "failed") == 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s", reason != NULL ? reason : "it failed");
      return false;
    }
  return true;
}

/* Until its end was told, or some time has passed. */
static bool
wait_told (CsMonitor *monitor, GError **error)
{
  bool ended = false;
  g_autoptr (GError) late = NULL;
  cs_monitor_set_deadline (monitor, g_get_monotonic_time () + LOOK_US);
  while (!ended && late == NULL)
    {
      g_autoptr (CsJson) event = cs_monitor_wait_event (monitor, "MIGRATION", NULL, NULL, &late);
      const char *status = cs_json_string (event, "status");
      ended = g_strcmp0 (status, "completed") == 0 || g_strcmp0 (status, "failed") == 0;
    }
  cs_monitor_set_deadline (monitor, 0);
  if (late == NULL || g_error_matches (late, CS_ERROR, CS_ERROR_DEADLINE))
    return true;
  g_propagate_error (error, g_steal_pointer (&late));
  return false;
}

static bool
wait_loaded (CsMonitor *monitor, GError **error)
{
  for (bool loaded = false; !loaded;)
    if (!wait_told (monitor, error) || !look (monitor, &loaded, error))
      return false;
  return true;
}

/* The last lines of the log, or NULL. */
static char *
log_tail (const char *log_path)
{
  g_autofree char *text = NULL;
  gsize length;
  if (log_path == NULL || !g_file_get_contents (log_path, &text, &length, NULL))
    return NULL;
  g_strchomp (text);
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  g_auto (GStrv) lines = g_strsplit (valid, "\n", -1);
  guint n = g_strv_length (lines);
  if (n == 0 || lines[n - 1][0] == '\0')
    return NULL;
  return g_strjoinv ("; ", lines + (n > LOG_LINES ? n - LOG_LINES : 0));
}

bool
cs_restore_feed (CsMonitor *monitor, const char *machine, const char *log_path, CsFeedFunc func,
                 void *user_data, GError **error)
{
  cs_autofd int fd = begin (monitor, error);
  if (fd < 0)
    return false;
  g_autoptr (CsStream) stream = cs_stream_new (fd, machine);
  g_autoptr (GError) problem = NULL;
  if (func (stream, user_data, &problem))
    {
      /* The end of the stream, for a QEMU that wants more than there is. */
      shutdown (fd, SHUT_WR);
      if (wait_loaded (monitor, &problem))
        return true;
    }
  g_autofree char *said = log_tail (log_path);
  if (said != NULL && !g_error_matches (problem, CS_ERROR, CS_ERROR_CORRUPT))
    g_set_error (error, CS_ERROR, CS_ERROR_FAILED,
                 "%s: QEMU could not load its state: %s (in '%s')", cs_monitor_name (monitor), said,
                 log_path);
  else
    g_propagate_prefixed_error (error, g_steal_pointer (&problem),
                                "%s: QEMU could not load its state: ", cs_monitor_name (monitor));
  return false;
}
