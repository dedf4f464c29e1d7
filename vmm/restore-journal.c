#include "config.h"

#include "vmm/restore-journal.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/disk-undo.h"
#include "vmm/launch.h"
#include "vmm/libvirt.h"
#include "vmm/process.h"

#include <libvirt/virterror.h>
#include <string.h>
#include <unistd.h>

struct CsRestoreJournal
{
  CsJournal *journal;
  CsVmRef *ref;
  json_object *content;
};

static bool
write_entry (CsRestoreJournal *self, pid_t pid, GError **error)
{
  return cs_journal_add (self->journal, "load", self->ref, pid, json_object_get (self->content),
                         error);
}

CsRestoreJournal *
cs_restore_journal_new (CsJournal *journal, const CsVmRef *ref, const char *job,
                        json_object *source, GPtrArray *disks, GError **error)
{
  json_object *records = json_object_new_array ();
  for (guint i = 0; i < disks->len; i++)
    json_object_array_add (records, cs_disk_undo_record (g_ptr_array_index (disks, i)));
  CsRestoreJournal *self = g_new0 (CsRestoreJournal, 1);
  self->journal = journal;
  self->ref = cs_vm_ref_copy (ref);
  self->content = json_object_new_object ();
  cs_json_add_string (self->content, "job", job);
  json_object_object_add (self->content, "source", json_object_get (source));
  json_object_object_add (self->content, "disks", records);
  cs_json_add_uint (self->content, "since", cs_process_start_time (getpid ()));
  if (write_entry (self, 0, error))
    return self;
  cs_restore_journal_free (self);
  return NULL;
}

void
cs_restore_journal_free (CsRestoreJournal *self)
{
  if (self == NULL)
    return;
  cs_vm_ref_free (self->ref);
  json_object_put (self->content);
  g_free (self);
}

bool
cs_restore_journal_serving (CsRestoreJournal *self, const char *store, json_object *serving,
                            GError **error)
{
  g_autoptr (CsJson) own = serving;
  if (self == NULL)
    return true;
  cs_json_add_string (self->content, "store", store);
  json_object_object_add (self->content, "serving", g_steal_pointer (&own));
  return write_entry (self, 0, error);
}

bool
cs_restore_journal_switching (CsRestoreJournal *self, GError **error)
{
  if (self == NULL)
    return true;
  json_object *records = cs_json_array (self->content, "disks");
  for (gsize i = 0; i < json_object_array_length (records); i++)
    cs_disk_undo_note_new (json_object_array_get_idx (records, i));
  return write_entry (self, 0, error);
}

bool
cs_restore_journal_launched (CsRestoreJournal *self, pid_t pid, GError **error)
{
  return self == NULL || write_entry (self, pid, error);
}

/* ---- after a crash ---- */

/* Whether @arguments are those of @source's bare QEMU as a restore starts it. */
static bool
is_launch_of (json_object *source, GStrv arguments)
{
  static const char *const more[] = { "-incoming", "defer", "-S" };
  json_object *argv = cs_json_array (source, "argv");
  gsize n = argv != NULL ? json_object_array_length (argv) : 0;
  if (g_strv_length (arguments) != n + G_N_ELEMENTS (more))
    return false;
  for (gsize i = 0; i < n; i++)
    if (g_strcmp0 (json_object_get_string (json_object_array_get_idx (argv, i)), arguments[i]) != 0)
      return false;
  for (gsize i = 0; i < G_N_ELEMENTS (more); i++)
    if (strcmp (more[i], arguments[n + i]) != 0)
      return false;
  return true;
}

static bool
is_waiting (GStrv arguments)
{
  for (guint i = 0; arguments[i] != NULL && arguments[i + 1] != NULL; i++)
    if (strcmp (arguments[i], "-incoming") == 0 && strcmp (arguments[i + 1], "defer") == 0)
      return true;
  return false;
}

/* Killed between its start and the entry that names it. */
static pid_t
find_bare (json_object *source, guint64 since)
{
  pid_t found = 0;
  g_autoptr (GDir) listing = g_dir_open ("/proc", 0, NULL);
  for (const char *name; found == 0 && listing != NULL && (name = g_dir_read_name (listing));)
    {
      guint64 number;
      if (!g_ascii_string_to_unsigned (name, 10, 1, G_MAXINT, &number, NULL))
        continue;
      pid_t pid = (pid_t)number;
      g_auto (GStrv) arguments = cs_process_arguments (pid, NULL);
      if (arguments != NULL && is_launch_of (source, arguments)
          && cs_process_start_time (pid) >= since)
        found = pid;
    }
  return found;
}

/* Whether process @pid is the QEMU that @entry's restore has started. */
static bool
is_ours (json_object *entry, pid_t pid)
{
  if (cs_json_uint (entry, "pid", 0) != 0)
    return cs_json_uint (entry, "pid", 0) == (guint64)pid && cs_journal_is_current (entry);
  g_auto (GStrv) arguments = cs_process_arguments (pid, NULL);
  return arguments != NULL && is_waiting (arguments)
         && cs_process_start_time (pid) >= cs_json_uint (entry, "since", 0);
}

/* libvirt may still be at creating it: a monitor command waits for that. */
static bool
end_domain (json_object *entry, json_object *source, GError **error)
{
  const char *uri = cs_json_string (source, "uri"), *uuid = cs_json_string (source, "uuid");
  g_autoptr (virConnect) connection = cs_libvirt_connect (uri, error);
  if (connection == NULL)
    return false;
  g_autoptr (virDomain) domain = virDomainLookupByUUIDString (connection, uuid);
  if (domain == NULL || virDomainIsActive (domain) != 1)
    return true;
  pid_t pid = (pid_t)cs_json_uint (entry, "pid", 0);
  g_autoptr (GError) own = NULL;
  if (pid == 0)
    {
      g_autoptr (CsMonitor) monitor =
          cs_monitor_open_libvirt (uri, virDomainGetName (domain), &own);
      if (monitor == NULL && virDomainIsActive (domain) != 1)
        return true;
      if (monitor == NULL)
        {
          g_propagate_error (error, g_steal_pointer (&own));
          return false;
        }
      pid = cs_monitor_pid (monitor);
    }
  return !is_ours (entry, pid) || virDomainDestroy (domain) == 0
         || cs_libvirt_set_error (error, "cannot end domain '%s'", virDomainGetName (domain));
}

static bool
end_qemu (json_object *entry, GError **error)
{
  json_object *source = cs_json_member_object (entry, "source");
  if (cs_json_string (source, "uuid") != NULL)
    return end_domain (entry, source, error);
  pid_t pid = (pid_t)cs_json_uint (entry, "pid", 0);
  if (pid == 0)
    pid = find_bare (source, cs_json_uint (entry, "since", 0));
  if (pid > 0 && is_ours (entry, pid))
    cs_launch_end (pid);
  return true;
}

static bool
each_disk (json_object *entry, bool (*func) (json_object *record, GError **error), GError **error)
{
  json_object *records = cs_json_array (entry, "disks");
  for (gsize i = 0; records != NULL && i < json_object_array_length (records); i++)
    if (!func (json_object_array_get_idx (records, i), error))
      return false;
  return true;
}

bool
cs_restore_journal_back (json_object *entry, GError **error)
{
  return end_qemu (entry, error) && each_disk (entry, cs_disk_undo_back, error);
}

bool
cs_restore_journal_forward (json_object *entry, GError **error)
{
  return each_disk (entry, cs_disk_undo_forward, error);
}
