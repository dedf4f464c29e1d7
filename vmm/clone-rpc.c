/* clone.show and clone.remove, and what a daemon that starts does about clones. */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/clone-private.h"
#include "vmm/daemon.h"
#include "vmm/fan-out.h"

json_object *
cs_rpc_clone_show (CsRpcPeer *peer, json_object *params, GError **error)
{
  const CsDaemon *daemon = cs_rpc_peer_user_data (peer);
  const char *name = cs_rpc_string (params, "clone", error);
  g_autoptr (CsJson) record =
      name != NULL ? cs_clone_record_read (daemon->clones_directory, name, error) : NULL;
  return record != NULL ? cs_clone_show (record) : NULL;
}

/* The store that @record names; NULL where it is gone, which is no error. */
static bool
store_of (CsDaemon *daemon, json_object *record, CsStore **store, GError **error)
{
  g_autoptr (GError) local = NULL;
  const char *path = cs_json_string (record, "store");
  *store = cs_daemon_store (daemon, path != NULL ? path : "", &local);
  if (*store != NULL || g_error_matches (local, CS_ERROR, CS_ERROR_NOT_FOUND))
    return true;
  g_propagate_error (error, g_steal_pointer (&local));
  return false;
}

/* ---- remove ---- */

typedef struct
{
  CsDaemon *daemon;
  json_object *record;
  GPtrArray *members; /* of CsMember */
} Removal;

static bool
forget_one (gpointer data, GError **error)
{
  cs_vm_reset (((CsMember *)data)->vm);
  return true;
}

static bool
remove_claimed (const Removal *removal, GError **error)
{
  CsStore *store = NULL;
  CsJournal *journal = removal->daemon->journal;
  bool removed =
      store_of (removal->daemon, removal->record, &store, error)
      && cs_clone_remove (removal->daemon->clones_directory, removal->record, store, error);
  /* Whatever we knew of QEMUs that are gone. */
  cs_fan_out (removal->members, forget_one, NULL);
  for (guint i = 0; removed && i < removal->members->len; i++)
    {
      CsMember *member = g_ptr_array_index (removal->members, i);
      cs_journal_remove (journal, "fill", member->vm->ref);
      cs_journal_remove (journal, "pause", member->vm->ref);
    }
  return removed;
}

static bool
remove_clone (CsDaemon *daemon, json_object *record, GError **error)
{
  g_autoptr (GPtrArray) members = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (CsJson) refs = cs_clone_refs (record);
  for (gsize i = 0; i < json_object_array_length (refs); i++)
    {
      g_autoptr (CsVmRef) ref = cs_vm_ref_from_json (json_object_array_get_idx (refs, i), error);
      if (ref == NULL)
        return false;
      CsMember *member = g_new0 (CsMember, 1);
      member->vm = cs_vm_table_get (daemon->vms, ref);
      g_ptr_array_add (members, member);
    }
  g_autofree char *holder =
      g_strdup_printf ("the removal of clone '%s'", cs_json_string (record, "name"));
  if (!cs_fan_out_claim (members, holder, error))
    return false;
  Removal removal = { daemon, record, members };
  bool removed = remove_claimed (&removal, error);
  for (guint i = 0; i < members->len; i++)
    cs_vm_release (((CsMember *)g_ptr_array_index (members, i))->vm);
  return removed;
}

json_object *
cs_rpc_clone_remove (CsRpcPeer *peer, json_object *params, GError **error)
{
  CsDaemon *daemon = cs_rpc_peer_user_data (peer);
  const char *name = cs_rpc_string (params, "clone", error);
  if (name == NULL || !cs_daemon_claim_clone (daemon, name, error))
    return NULL;
  g_autoptr (GError) local = NULL;
  g_autoptr (CsJson) record = cs_clone_record_read (daemon->clones_directory, name, &local);
  bool absent = g_error_matches (local, CS_ERROR, CS_ERROR_NOT_FOUND);
  bool done = absent || (record != NULL && remove_clone (daemon, record, &local));
  cs_daemon_release_clone (daemon, name);
  if (!done)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  json_object *result = json_object_new_object ();
  json_object_object_add (result, "removed", json_object_new_boolean (!absent));
  return result;
}

/* ---- at start ---- */

static void
recover_clone (CsDaemon *daemon, const char *name)
{
  g_autoptr (GError) error = NULL;
  CsStore *store = NULL;
  g_autoptr (CsJson) record = cs_clone_record_read (daemon->clones_directory, name, &error);
  bool ready = record != NULL && store_of (daemon, record, &store, &error);
  if (ready && g_strcmp0 (cs_json_string (record, "state"), "running") == 0)
    {
      if (store != NULL)
        cs_clone_revive (daemon->clones_directory, record, store);
    }
  else if (ready && cs_clone_remove (daemon->clones_directory, record, store, &error))
    g_message ("clone '%s' was not finished by a clusnapd before us: removed", name);
  if (error != NULL)
    g_warning ("clone '%s': %s", name, error->message);
}

void
cs_daemon_recover_clones (CsDaemon *daemon)
{
  g_auto (GStrv) names = cs_clone_record_list (daemon->clones_directory);
  for (char **name = names; *name != NULL; name++)
    recover_clone (daemon, *name);
}
