#include "config.h"

#include "vmm/journal.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "vmm/vm.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

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

static bool
write_entry (const char *path, json_object *entry, GError **error)
{
  const char *text = json_object_to_json_string_ext (entry, JSON_C_TO_STRING_PLAIN);
  return cs_file_replace (path, text, strlen (text), error);
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
  g_autofree char *path = entry_path (journal, kind, ref);
  bool written = write_entry (path, entry, error);
  json_object_put (entry);
  return written;
}

bool
cs_journal_change (CsJournal *journal, const char *kind, const CsVmRef *ref, const char *key,
                   json_object *value, GError **error)
{
  g_autofree char *path = entry_path (journal, kind, ref);
  g_autoptr (CsJson) entry = json_object_from_file (path);
  if (!json_object_is_type (entry, json_type_object))
    {
      json_object_put (value);
      return false;
    }
  json_object_object_add (entry, key, value);
  return write_entry (path, entry, error);
}

void
cs_journal_remove (CsJournal *journal, const char *kind, const CsVmRef *ref)
{
  g_autofree char *path = entry_path (journal, kind, ref);
  if (unlink (path) < 0 && errno != ENOENT)
    g_warning ("cannot remove journal entry '%s': %s", path, g_strerror (errno));
}

bool
cs_journal_has (CsJournal *journal, const char *kind, const CsVmRef *ref)
{
  g_autofree char *path = entry_path (journal, kind, ref);
  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static char *
mark_path (CsJournal *journal, const char *job)
{
  g_autofree char *name = g_strconcat (job, ".release", NULL);
  return g_build_filename (journal->directory, name, NULL);
}

bool
cs_journal_mark (CsJournal *journal, const char *job, GError **error)
{
  g_autofree char *path = mark_path (journal, job);
  return cs_file_replace (path, "{}", 2, error);
}

void
cs_journal_unmark (CsJournal *journal, const char *job)
{
  g_autofree char *path = mark_path (journal, job);
  if (unlink (path) < 0 && errno != ENOENT)
    g_warning ("cannot remove journal entry '%s': %s", path, g_strerror (errno));
}

bool
cs_journal_is_marked (CsJournal *journal, const char *job)
{
  g_autofree char *path = mark_path (journal, job);
  return access (path, F_OK) == 0;
}

void
cs_journal_sweep_unfinished (CsJournal *journal)
{
  g_autoptr (GDir) listing = g_dir_open (journal->directory, 0, NULL);
  for (const char *name; listing != NULL && (name = g_dir_read_name (listing)) != NULL;)
    {
      g_autofree char *path = g_build_filename (journal->directory, name, NULL);
      /* cs_file_replace's; an entry's own name never ends so. */
      if (g_str_has_suffix (name, ".tmp") && unlink (path) < 0 && errno != ENOENT)
        g_warning ("cannot remove '%s': %s", path, g_strerror (errno));
    }
}

void
cs_journal_sweep_marks (CsJournal *journal)
{
  g_autoptr (GHashTable) jobs = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GPtrArray) entries = cs_journal_read (journal);
  for (guint i = 0; i < entries->len; i++)
    {
      const char *job = cs_json_string (g_ptr_array_index (entries, i), "job");
      if (job != NULL)
        g_hash_table_add (jobs, (gpointer)job);
    }
  g_autoptr (GDir) listing = g_dir_open (journal->directory, 0, NULL);
  for (const char *name; listing != NULL && (name = g_dir_read_name (listing)) != NULL;)
    {
      g_autofree char *job = g_strdup (name);
      if (!g_str_has_suffix (name, ".release"))
        continue;
      *strrchr (job, '.') = '\0';
      if (!g_hash_table_contains (jobs, job))
        cs_journal_unmark (journal, job);
    }
}

static void
entry_free (gpointer entry)
{
  json_object_put (entry);
}

GPtrArray *
cs_journal_read (CsJournal *journal)
{
  static const char *const kinds[] = { "pause", "fill", "load", "rollback", NULL };
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

bool
cs_journal_is_current (json_object *entry)
{
  pid_t pid = (pid_t)cs_json_uint (entry, "pid", 0);
  guint64 start = cs_json_uint (entry, "start-time", 0);
  return start != 0 && cs_process_start_time (pid) == start;
}
