/* What QEMU itself offers: its whole memory into a file, each time. */
#include "config.h"

#include "bench/pause-tool.h"

#include "common/error.h"
#include "common/json.h"

#include <string.h>

static bool
set_capabilities (CsPauseVm *vm, const char *const *names, bool state, GError **error)
{
  json_object *capabilities = json_object_new_array ();
  for (; *names != NULL; names++)
    {
      json_object *one = json_object_new_object ();
      cs_json_add_string (one, "capability", *names);
      json_object_object_add (one, "state", json_object_new_boolean (state));
      json_object_array_add (capabilities, one);
    }
  json_object *arguments = json_object_new_object ();
  json_object_object_add (arguments, "capabilities", capabilities);
  return cs_monitor_execute (vm->monitor, "migrate-set-capabilities", arguments, NULL, error);
}

/* No limit to the bandwidth: the disk decides. */
static bool
set_bandwidth (CsPauseVm *vm, GError **error)
{
  json_object *arguments = json_object_new_object ();
  cs_json_add_uint (arguments, "max-bandwidth", G_GUINT64_CONSTANT (1) << 40);
  return cs_monitor_execute (vm->monitor, "migrate-set-parameters", arguments, NULL, error);
}

static bool
migrate (CsPauseVm *vm, GError **error)
{
  json_object *arguments = json_object_new_object ();
  g_autofree char *uri = g_strdup_printf ("file:%s/%u.migration", vm->directory, vm->number);
  cs_json_add_string (arguments, "uri", uri);
  return cs_monitor_execute (vm->monitor, "migrate", arguments, NULL, error);
}

/* Polled: events of migration need a capability that would differ from what a user has. */
static bool
wait_migrated (CsPauseVm *vm, GError **error)
{
  for (;;)
    {
      json_object *result;
      if (!cs_monitor_execute (vm->monitor, "query-migrate", NULL, &result, error))
        return false;
      g_autoptr (CsJson) owned = result;
      const char *status = cs_json_string (result, "status");
      if (g_strcmp0 (status, "completed") == 0)
        return true;
      if (g_strcmp0 (status, "failed") == 0 || g_strcmp0 (status, "cancelled") == 0)
        {
          g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s: the migration to a file %s: %s",
                       cs_monitor_name (vm->monitor), status,
                       cs_json_string (result, "error-desc"));
          return false;
        }
      g_usleep (2000);
    }
}

static const char *const no_names[] = { NULL };
static const char *const mapped_names[] = { "mapped-ram", "multifd", NULL };
static const char *const background_names[] = { "background-snapshot", NULL };

static bool
prepare_live (CsPauseVm *vm, GError **error)
{
  return set_bandwidth (vm, error);
}

static bool
prepare_stopped (CsPauseVm *vm, GError **error)
{
  return set_bandwidth (vm, error) && set_capabilities (vm, mapped_names, true, error);
}

static bool
prepare_background (CsPauseVm *vm, GError **error)
{
  return set_bandwidth (vm, error) && set_capabilities (vm, background_names, true, error);
}

static bool
pause_live (CsPauseVm *vm, GError **error)
{
  return migrate (vm, error) && wait_migrated (vm, error) && cs_monitor_cont (vm->monitor, error);
}

static bool
pause_stopped (CsPauseVm *vm, GError **error)
{
  return cs_monitor_stop (vm->monitor, error) && migrate (vm, error) && wait_migrated (vm, error)
         && cs_monitor_cont (vm->monitor, error);
}

static bool
pause_background (CsPauseVm *vm, GError **error)
{
  return migrate (vm, error) && wait_migrated (vm, error);
}

static bool
finish_with (CsPauseVm *vm, const char *const *names, GError **error)
{
  cs_monitor_forget_events (vm->monitor);
  return *names == NULL || set_capabilities (vm, names, false, error);
}

static bool
finish_live (CsPauseVm *vm, GError **error)
{
  return finish_with (vm, no_names, error);
}

static bool
finish_stopped (CsPauseVm *vm, GError **error)
{
  return finish_with (vm, mapped_names, error);
}

static bool
finish_background (CsPauseVm *vm, GError **error)
{
  return finish_with (vm, background_names, error);
}

const CsPauseMethod cs_pause_live = { "live", prepare_live, pause_live, NULL, finish_live };
const CsPauseMethod cs_pause_stopped = { "stopped", prepare_stopped, pause_stopped, NULL,
                                         finish_stopped };
const CsPauseMethod cs_pause_background = { "background", prepare_background, pause_background,
                                            NULL, finish_background };
