/* What is written down of a cluster's lines: one document for all of its VMs on this host, since
 * one reading of the counters changes several of them. */
#include "config.h"

#include "vmm/cluster-lines-private.h"

#include "common/error.h"
#include "common/fd.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define FORMAT "clusnap-lines"
#define FORMAT_VERSION 1

enum
{
  MAX_FILE = 256 * 1024 * 1024,
};

/* ---- to JSON ---- */

static json_object *
seen_to_json (const CsWatch *watch)
{
  json_object *array = json_object_new_array ();
  for (guint i = 0; i < watch->seen->len; i++)
    {
      const CsFlow *flow = &g_array_index (watch->seen, CsFlow, i);
      const guint64 numbers[] = { flow->source, flow->destination, flow->frames };
      for (gsize k = 0; k < G_N_ELEMENTS (numbers); k++)
        json_object_array_add (array, json_object_new_uint64 (numbers[k]));
    }
  return array;
}

static json_object *
watches_to_json (const CsLineMember *member)
{
  json_object *array = json_object_new_array ();
  for (guint i = 0; i < member->watches->len; i++)
    {
      const CsWatch *watch = g_ptr_array_index (member->watches, i);
      json_object *object = json_object_new_object ();
      cs_json_add_uint (object, "index", watch->index);
      cs_json_add_uint (object, "netns", watch->netns);
      cs_json_add_uint (object, "handle", watch->handle);
      json_object_object_add (object, "seen", seen_to_json (watch));
      json_object_array_add (array, object);
    }
  return array;
}

static json_object *
member_to_json (const CsLineMember *member)
{
  json_object *object = cs_line_to_json (member->line);
  json_object *macs = json_object_new_array ();
  for (guint i = 0; i < member->macs->len; i++)
    json_object_array_add (macs, json_object_new_uint64 (g_array_index (member->macs, guint64, i)));
  cs_json_add_string (object, "name", member->name);
  cs_json_add_uint (object, "pid", (guint64)member->pid);
  cs_json_add_uint (object, "start-time", member->start_time);
  json_object_object_add (object, "countable", json_object_new_boolean (member->countable));
  json_object_object_add (object, "missed", json_object_new_boolean (member->missed));
  cs_json_add_string (object, "problem", member->problem);
  json_object_object_add (object, "macs", macs);
  json_object_object_add (object, "taps", watches_to_json (member));
  return object;
}

bool
cs_cluster_lines_save (CsClusterLines *lines, GError **error)
{
  g_autoptr (CsJson) document = json_object_new_object ();
  json_object *vms = json_object_new_array ();
  cs_json_add_string (document, "format", FORMAT);
  cs_json_add_uint (document, "version", FORMAT_VERSION);
  json_object_object_add (document, "vms", vms);
  g_mutex_lock (&lines->file_lock);
  g_mutex_lock (&lines->lock);
  cs_json_add_uint (document, "floor", lines->floor);
  for (guint i = 0; i < lines->members->len; i++)
    json_object_array_add (vms, member_to_json (g_ptr_array_index (lines->members, i)));
  g_mutex_unlock (&lines->lock);
  const char *text = json_object_to_json_string_ext (document, JSON_C_TO_STRING_PLAIN);
  bool saved = cs_file_commit (lines->path, text, strlen (text), true, error);
  g_mutex_unlock (&lines->file_lock);
  return saved;
}

/* ---- from JSON ---- */

static CsWatch *
watch_from_json (json_object *object)
{
  json_object *seen = cs_json_array (object, "seen");
  gsize n = seen != NULL ? json_object_array_length (seen) : 0;
  CsWatch *watch =
      cs_watch_new ((guint)cs_json_uint (object, "index", 0), cs_json_uint (object, "netns", 0),
                    cs_json_uint (object, "handle", 0));
  for (gsize i = 0; i + 2 < n; i += 3)
    {
      CsFlow flow = { json_object_get_uint64 (json_object_array_get_idx (seen, i)),
                      json_object_get_uint64 (json_object_array_get_idx (seen, i + 1)),
                      json_object_get_uint64 (json_object_array_get_idx (seen, i + 2)) };
      g_array_append_val (watch->seen, flow);
    }
  return watch;
}

static CsLineMember *
member_from_json (json_object *object, GError **error)
{
  const char *name = cs_json_string (object, "name");
  json_object *macs = cs_json_array (object, "macs"), *taps = cs_json_array (object, "taps");
  CsLine *line = cs_line_from_json (object, error);
  if (line == NULL)
    return NULL;
  CsLineMember *member = cs_line_member_new (name ? name : "");
  cs_line_free (member->line);
  member->line = line;
  member->pid = (pid_t)cs_json_uint (object, "pid", 0);
  member->start_time = cs_json_uint (object, "start-time", 0);
  member->countable = json_object_get_boolean (json_object_object_get (object, "countable"));
  member->missed = json_object_get_boolean (json_object_object_get (object, "missed"));
  member->problem = g_strdup (cs_json_string (object, "problem"));
  for (gsize i = 0; macs != NULL && i < json_object_array_length (macs); i++)
    {
      guint64 mac = json_object_get_uint64 (json_object_array_get_idx (macs, i));
      g_array_append_val (member->macs, mac);
    }
  for (gsize i = 0; taps != NULL && i < json_object_array_length (taps); i++)
    g_ptr_array_add (member->watches, watch_from_json (json_object_array_get_idx (taps, i)));
  /* A number that was reserved: the cut may have been, its snapshot is none. */
  cs_line_advance (member->line);
  return member;
}

static bool
parse (CsClusterLines *lines, json_object *document, GError **error)
{
  json_object *vms = cs_json_array (document, "vms");
  if (g_strcmp0 (cs_json_string (document, "format"), FORMAT) != 0
      || cs_json_uint (document, "version", 0) != FORMAT_VERSION || vms == NULL)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "it is no '%s' of version %d", FORMAT,
                   FORMAT_VERSION);
      return false;
    }
  lines->floor = cs_json_uint (document, "floor", 0);
  for (gsize i = 0; i < json_object_array_length (vms); i++)
    {
      CsLineMember *member = member_from_json (json_object_array_get_idx (vms, i), error);
      if (member == NULL)
        return false;
      g_ptr_array_add (lines->members, member);
    }
  return true;
}

bool
cs_cluster_lines_load (CsClusterLines *lines, GError **error)
{
  g_autofree char *text = NULL;
  gsize length = 0;
  g_autoptr (GError) own = NULL;
  if (!g_file_get_contents (lines->path, &text, &length, &own))
    {
      bool absent = g_error_matches (own, G_FILE_ERROR, G_FILE_ERROR_NOENT);
      g_set_error (error, CS_ERROR, absent ? CS_ERROR_NOT_FOUND : CS_ERROR_IO, "%s", own->message);
      return false;
    }
  g_autoptr (CsJson) document =
      length <= MAX_FILE ? cs_json_parse_object (text, length, &own) : NULL;
  if (document != NULL && parse (lines, document, error))
    return true;
  if (document == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT, "%s", own ? own->message : "it is too large");
  g_prefix_error (error, "'%s': ", lines->path);
  return false;
}
