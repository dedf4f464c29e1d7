#include "config.h"

#include "vmm/journal.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "vmm/disk.h"
#include "vmm/vm.h"

#include <errno.h>
#include <string.h>

struct CsJournal
{
  char *directory;
};

CsJournal *
cs_journal_open (const char *directory, GError **error)
{
  if (g_mkdir_with_parents (directory, 0700) < 0)
    {
      cs_error_set_errno (error, errno, "cannot make journal directory '%s'", directory);
      return NULL;
    }
  CsJournal *journal = g_new0 (CsJournal, 1);
  journal->directory = g_strdup (directory);
  return journal;
}

void
cs_journal_free (CsJournal *journal)
{
  if (journal == NULL)
    return;
  g_free (journal->directory);
  g_free (journal);
}

static char *
entry_path (CsJournal *journal, const char *kind, const CsVmRef *ref)
{
  g_autofree char *key = cs_vm_ref_key (ref);
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, key, -1);
  g_autofree char *name = g_strdup_printf ("%s.%s", hash, kind);
  return g_build_filename (journal->directory, name, NULL);
}

static json_object *
ref_to_json (const CsVmRef *ref)
{
  json_object *object = json_object_new_object ();
  cs_json_add_string (object, "name", ref->name);
  cs_json_add_string (object, "uri", ref->uri);
  cs_json_add_string (object, "domain", ref->domain);
  cs_json_add_string (object, "qmp", ref->qmp);
  return object;
}

bool
cs_journal_add (CsJournal *journal, const char *kind, const CsVmRef *ref, pid_t pid,
                json_object *extra, GError **error)
{
  json_object *entry = extra != NULL ? extra : json_object_new_object ();
  json_object_object_add (entry, "vm", ref_to_json (ref));
  json_object_object_add (entry, "pid", json_object_new_int (pid));
  json_object_object_add (entry, "start-time",
                          json_object_new_uint64 (cs_process_start_time (pid)));
  const char *text = json_object_to_json_string_ext (entry, JSON_C_TO_STRING_PLAIN);
  g_autofree char *path = entry_path (journal, kind, ref);
  bool written = cs_file_commit (path, text, strlen (text), true, error);
  json_object_put (entry);
  return written;
}

void
cs_journal_remove (CsJournal *journal, const char *kind, const CsVmRef *ref)
{
  g_autofree char *path = entry_path (journal, kind, ref);
  if (unlink (path) < 0 && errno != ENOENT)
    g_warning ("cannot remove journal entry '%s': %s", path, g_strerror (errno));
}

static void
entry_free (gpointer entry)
{
  json_object_put (entry);
}

GPtrArray *
cs_journal_read (CsJournal *journal)
{
  static const char *const kinds[] = { "pause", "fill", "rollback", NULL };
  GPtrArray *entries = g_ptr_array_new_with_free_func (entry_free);
  g_autoptr (GDir) listing = g_dir_open (journal->directory, 0, NULL);
  for (const char *name; listing != NULL && (name = g_dir_read_name (listing)) != NULL;)
    {
      const char *kind = strrchr (name, '.');
      if (kind == NULL || !g_strv_contains (kinds, kind + 1))
        continue;
      g_autofree char *path = g_build_filename (journal->directory, name, NULL);
      json_object *entry = json_object_from_file (path);
      if (entry == NULL || !json_object_is_type (entry, json_type_object))
        {
          g_warning ("journal entry '%s' is damaged: left alone", path);
          json_object_put (entry);
          continue;
        }
      json_object_object_add (entry, "kind", json_object_new_string (kind + 1));
      g_ptr_array_add (entries, entry);
    }
  return entries;
}

/* Whether the process that @entry names still is the same one. */
static bool
entry_is_current (json_object *entry)
{
  pid_t pid = (pid_t)cs_json_uint (entry, "pid", 0);
  guint64 start = cs_json_uint (entry, "start-time", 0);
  return start != 0 && cs_process_start_time (pid) == start;
}

/* True when the VM had to be resumed. */
static bool
recover_pause (const CsVmRef *ref, bool *recovered)
{
  g_autoptr (GError) error = NULL;
  bool running = true;
  *recovered = false;
  g_autoptr (CsMonitor) monitor = cs_vm_ref_connect (ref, &error);
  if (monitor == NULL || !cs_monitor_status (monitor, &running, NULL, &error)
      || (!running && !cs_monitor_cont (monitor, &error)))
    {
      g_warning ("VM '%s' may be left paused: %s", ref->name, error->message);
      return false;
    }
  *recovered = true;
  if (!cs_disks_cleanup (monitor, NULL, &error))
    g_warning ("VM '%s': %s", ref->name, error->message);
  return !running;
}

bool
cs_journal_resume (CsJournal *journal, const char *kind, json_object *entry)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsVmRef) ref = cs_vm_ref_from_json (cs_json_member_object (entry, "vm"), &error);
  if (ref == NULL)
    {
      g_warning ("damaged journal entry: %s", error->message);
      return false;
    }
  bool recovered = true;
  bool resumed = entry_is_current (entry) && recover_pause (ref, &recovered);
  if (recovered)
    cs_journal_remove (journal, kind, ref);
  return resumed;
}

guint
cs_journal_recover_pauses (CsJournal *journal)
{
  guint resumed = 0;
  g_autoptr (GPtrArray) entries = cs_journal_read (journal);
  for (guint i = 0; i < entries->len; i++)
    {
      json_object *entry = g_ptr_array_index (entries, i);
      if (g_strcmp0 (cs_json_string (entry, "kind"), "pause") == 0
          && cs_journal_resume (journal, "pause", entry))
        resumed++;
    }
  return resumed;
}
