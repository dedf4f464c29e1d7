/* QEMU's own way back: loadvm of an internal snapshot that savevm made before. */
#include "config.h"

#include "bench/pause-tool.h"
#include "common/error.h"
#include "common/json.h"

/* @command says something only when it fails. */
static bool
human (CsPauseVm *vm, const char *command, GError **error)
{
  json_object *arguments = json_object_new_object ();
  json_object *reply = NULL;
  cs_json_add_string (arguments, "command-line", command);
  if (!cs_monitor_execute (vm->monitor, "human-monitor-command", arguments, &reply, error))
    return false;
  g_autoptr (CsJson) said = reply;
  if (json_object_get_string_len (said) == 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s: %s", command, json_object_get_string (said));
  return false;
}

static bool
save (CsPauseVm *vm, GError **error)
{
  cs_monitor_set_deadline (vm->monitor, g_get_monotonic_time () + 300 * G_USEC_PER_SEC);
  return human (vm, "savevm bench", error);
}

static bool
load (CsPauseVm *vm, GError **error)
{
  g_usleep (G_USEC_PER_SEC); /* the guests write again */
  return human (vm, "loadvm bench", error);
}

static bool
forget (CsPauseVm *vm, GError **error)
{
  return human (vm, "delvm bench", error);
}

const CsPauseMethod cs_pause_loadvm = { "loadvm", save, load, NULL, forget };
