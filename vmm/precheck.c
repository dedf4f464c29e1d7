/* Theory of operation
 *
 * The tracker sees writes that go through QEMU's own address space.  Who else can write guest RAM?
 *
 *   vCPUs, QEMU's threads   through it: seen
 *   kernel vhost            (vhost-net, vhost-vsock) its worker thread runs on QEMU's mm and
 *                           stores with copy_to_user: these fault like QEMU's own, so
 *                           they are seen; `stop` ends the backends and waits for their
 *                           workers, so none comes in the pause.  Allowed.
 *   vhost-scsi              the same, but its disks are the kernel's, not QEMU's: no way to
 *                           capture them in the same cut.  Refused.
 *   vhost-user              another process, with a mapping of its own: not seen.  Refused.
 *   vDPA, VFIO              the device, by DMA: not seen.  Refused.
 *   ivshmem                 whoever else has that memory.  Refused.
 *   any other process       that maps a RAM block shared and writable: found in /proc
 *                           (shared-ram.h).  Refused.
 *
 * Device state that QEMU cannot save shows as its migration blockers. */
#include "config.h"

#include "vmm/precheck.h"

#include "common/error.h"
#include "vmm/qom-scan.h"
#include "vmm/shared-ram.h"

#include <stdio.h>
#include <string.h>

static const struct
{
  const char *status;
  const char *text;
} states[] = {
  { "paused", "is paused: resume it first" },
  { "inmigrate", "waits for an incoming migration: let that complete first" },
  { "postmigrate", "has been migrated away or saved: resume it first" },
  { "finish-migrate", "is just being migrated or saved: try again when that is over" },
  { "save-vm", "is just being saved: try again when that is over" },
  { "restore-vm", "is just being restored: try again when that is over" },
  { "colo", "is replicated by COLO: end that first" },
  { "prelaunch", "was started but never resumed (-S): resume it first" },
  { "suspended", "sleeps (S3): wake it first" },
  { "shutdown", "is shut down, only its QEMU is left: start it again" },
  { "io-error", "was stopped by an I/O error of a disk: mend that and resume it" },
  { "guest-panicked", "has panicked: reset it" },
  { "watchdog", "was stopped by its watchdog: resume or reset it" },
  { "internal-error", "was stopped by an internal error of QEMU: reset it" },
  { "debug", "is stopped by a debugger: let it continue" },
};

static bool
check_status (CsMonitor *monitor, GError **error)
{
  bool running;
  g_autofree char *status = NULL;
  if (!cs_monitor_status (monitor, &running, &status, error))
    return false;
  if (running)
    return true;
  for (gsize i = 0; i < G_N_ELEMENTS (states); i++)
    if (g_str_equal (states[i].status, status))
      {
        g_set_error (error, CS_ERROR, CS_ERROR_STATE, "%s %s", cs_monitor_name (monitor),
                     states[i].text);
        return false;
      }
  g_set_error (error, CS_ERROR, CS_ERROR_STATE, "%s is not running but '%s': resume it first",
               cs_monitor_name (monitor), status);
  return false;
}

/* Of query-migrate's status those in which no migration is under way. */
static bool
is_at_rest (const char *status)
{
  static const char *const rest[] = { "none", "completed", "failed", "cancelled", NULL };
  return g_strv_contains (rest, status);
}

static bool
check_reply_of_migrate (CsMonitor *monitor, json_object *reply, GError **error)
{
  json_object *status = NULL, *reasons = NULL;
  if (json_object_object_get_ex (reply, "status", &status)
      && !is_at_rest (json_object_get_string (status)))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_BUSY,
                   "%s is being migrated or saved (%s): try again when that is over",
                   cs_monitor_name (monitor), json_object_get_string (status));
      return false;
    }
  if (!json_object_object_get_ex (reply, "blocked-reasons", &reasons)
      || !json_object_is_type (reasons, json_type_array) || json_object_array_length (reasons) == 0)
    return true;
  g_autoptr (GString) text = g_string_new (NULL);
  for (gsize i = 0; i < json_object_array_length (reasons); i++)
    g_string_append_printf (text, "%s%s", i > 0 ? "; " : "",
                            json_object_get_string (json_object_array_get_idx (reasons, i)));
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "%s has state that QEMU cannot save: %s (take that device away, or configure it "
               "so that the guest can be migrated)",
               cs_monitor_name (monitor), text->str);
  return false;
}

static bool
check_migration (CsMonitor *monitor, GError **error)
{
  json_object *reply = NULL;
  if (!cs_monitor_execute (monitor, "query-migrate", NULL, &reply, error))
    return false;
  bool good = check_reply_of_migrate (monitor, reply, error);
  json_object_put (reply);
  return good;
}

static json_object *
machine_property (CsMonitor *monitor, const char *property, GError **error)
{
  json_object *result = NULL, *arguments = json_object_new_object ();
  json_object_object_add (arguments, "path", json_object_new_string ("/machine"));
  json_object_object_add (arguments, "property", json_object_new_string (property));
  return cs_monitor_execute (monitor, "qom-get", arguments, &result, error) ? result : NULL;
}

static bool
check_confidential (CsMonitor *monitor, GError **error)
{
  g_autoptr (GError) local = NULL;
  json_object *value = machine_property (monitor, "confidential-guest-support", &local);
  if (local != NULL && local->code != CS_ERROR_FAILED)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return false;
    }
  /* FAILED: this machine does not know the property, hence no such guest. */
  bool confidential = value != NULL && json_object_get_string_len (value) > 0;
  json_object_put (value);
  if (!confidential)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "%s is a confidential guest (SEV, TDX): the host cannot read its memory, so it "
               "cannot be captured",
               cs_monitor_name (monitor));
  return false;
}

static bool
check_devices (CsMonitor *monitor, GError **error)
{
  return cs_qom_scan_devices (monitor, error) && cs_qom_scan_netdevs (monitor, error);
}

/* Section footers came with the machine types of QEMU 2.4; a capture depends on them. */
static bool
check_machine (CsMonitor *monitor, GError **error)
{
  g_autofree char *machine = cs_machine_type (monitor, error);
  if (machine == NULL)
    return false;
  const char *number = strrchr (machine, '-');
  guint major = 0, minor = 0;
  if (number == NULL || sscanf (number, "-%u.%u", &major, &minor) != 2 || major > 2
      || (major == 2 && minor >= 4))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED,
               "%s has machine type '%s', whose device state has no footers: use one of QEMU 2.4 "
               "or newer",
               cs_monitor_name (monitor), machine);
  return false;
}

typedef bool (*CheckFunc) (CsMonitor *monitor, GError **error);

static const CheckFunc checks[] = {
  check_status,  check_migration, check_confidential,
  check_machine, check_devices,   cs_shared_ram_check,
};

bool
cs_precheck_standing (CsMonitor *monitor, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (checks); i++)
    if (checks[i] != check_status && !checks[i](monitor, error))
      return false;
  return true;
}

bool
cs_precheck (CsMonitor *monitor, GError **error)
{
  return check_status (monitor, error) && cs_precheck_standing (monitor, error);
}

json_object *
cs_precheck_problems (CsMonitor *monitor)
{
  json_object *problems = json_object_new_array ();
  for (gsize i = 0; i < G_N_ELEMENTS (checks) && cs_monitor_is_alive (monitor); i++)
    {
      g_autoptr (GError) error = NULL;
      if (!checks[i](monitor, &error))
        json_object_array_add (problems, json_object_new_string (error->message));
    }
  return problems;
}

char *
cs_machine_type (CsMonitor *monitor, GError **error)
{
  json_object *value = machine_property (monitor, "type", error);
  if (value == NULL)
    return NULL;
  char *type = g_strdup (json_object_get_string (value));
  json_object_put (value);
  if (g_str_has_suffix (type, "-machine"))
    type[strlen (type) - strlen ("-machine")] = '\0';
  return type;
}

static bool
query_memory (CsMonitor *monitor, gint64 *size, GError **error)
{
  json_object *reply = NULL, *base = NULL, *plugged = NULL;
  if (!cs_monitor_execute (monitor, "query-memory-size-summary", NULL, &reply, error))
    return false;
  json_object_object_get_ex (reply, "base-memory", &base);
  json_object_object_get_ex (reply, "plugged-memory", &plugged);
  *size = json_object_get_int64 (base) + json_object_get_int64 (plugged);
  json_object_put (reply);
  return true;
}

json_object *
cs_precheck_summary (CsMonitor *monitor, GError **error)
{
  bool running;
  int major, minor, micro;
  gint64 memory;
  g_autofree char *status = NULL;
  g_autofree char *machine = cs_machine_type (monitor, error);
  if (machine == NULL || !cs_monitor_status (monitor, &running, &status, error)
      || !query_memory (monitor, &memory, error))
    return NULL;
  cs_monitor_qemu_version (monitor, &major, &minor, &micro);
  g_autofree char *version = g_strdup_printf ("%d.%d.%d", major, minor, micro);
  json_object *summary = json_object_new_object ();
  json_object_object_add (summary, "status", json_object_new_string (status));
  json_object_object_add (summary, "pid", json_object_new_int (cs_monitor_pid (monitor)));
  json_object_object_add (summary, "qemu-version", json_object_new_string (version));
  json_object_object_add (summary, "machine", json_object_new_string (machine));
  json_object_object_add (summary, "memory", json_object_new_int64 (memory));
  return summary;
}
