/* clusnap snapshot verify: reads on after a damaged snapshot, so that one run names all of them. */
#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "coord/name.h"

const CsColumn cs_snapshot_verify_columns[] = {
  { "cluster", "Cluster", CS_COLUMN_TEXT },
  { "snapshot", "Snapshot", CS_COLUMN_TEXT },
  { "vm", "VM", CS_COLUMN_TEXT },
  { "pages", "Pages", CS_COLUMN_COUNT },
  { "ok", "OK", CS_COLUMN_BOOL },
  { "message", "Problem", CS_COLUMN_TEXT },
  { 0 },
};

typedef struct
{
  CsCli *cli;
  const char *store;
  json_object *rows;
  GString *damaged; /* names, for the error */
  guint n_damaged;
  guint n_snapshots;
} Verification;

static void
add_row (Verification *verification, const char *cluster, const char *snapshot, const char *vm,
         bool ok, json_object *answer, const char *message)
{
  json_object *row = json_object_new_object ();
  cs_json_merge (row, answer);
  cs_json_add_string (row, "cluster", cluster);
  cs_json_add_string (row, "snapshot", snapshot);
  cs_json_add_string (row, "vm", vm);
  cs_json_add_string (row, "message", message);
  json_object_object_add (row, "ok", json_object_new_boolean (ok));
  json_object_array_add (verification->rows, row);
}

static void
note_damage (Verification *verification, const char *cluster, const char *snapshot, const char *vm,
             const char *message)
{
  g_string_append_printf (verification->damaged, "%s'%s' of cluster '%s'%s%s: %s",
                          verification->damaged->len > 0 ? "; " : "", snapshot, cluster,
                          vm != NULL ? ", VM " : "", vm != NULL ? vm : "",
                          message != NULL ? message : "its content fails its checksum");
}

static void
add_answer (Verification *verification, const char *cluster, const char *snapshot,
            json_object *answer)
{
  bool sound = true;
  json_object *vms = cs_json_array (answer, "vms");
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    {
      json_object *vm = json_object_array_get_idx (vms, i);
      json_object *ok = NULL;
      bool intact = json_object_object_get_ex (vm, "ok", &ok) && json_object_get_boolean (ok);
      const char *name = cs_json_string (vm, "name");
      const char *message = cs_json_string (vm, "message");
      add_row (verification, cluster, snapshot, name, intact, vm, message);
      if (!intact)
        note_damage (verification, cluster, snapshot, name, message);
      sound = sound && intact;
    }
  if (!sound)
    verification->n_damaged++;
}

/* False only when the work cannot go on. */
static bool
verify_one (Verification *verification, const char *cluster, const char *snapshot, GError **error)
{
  g_autoptr (GError) failure = NULL;
  verification->n_snapshots++;
  g_autoptr (CsJson) answer =
      cs_cli_call (verification->cli, "snapshot.verify",
                   cs_cli_params (verification->store, cluster, snapshot), &failure);
  if (answer != NULL)
    add_answer (verification, cluster, snapshot, answer);
  else if (g_error_matches (failure, CS_ERROR, CS_ERROR_CORRUPT))
    {
      add_row (verification, cluster, snapshot, NULL, false, NULL, failure->message);
      note_damage (verification, cluster, snapshot, NULL, failure->message);
      verification->n_damaged++;
    }
  else
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&failure),
                                  "cannot verify snapshot '%s' of cluster '%s': ", snapshot,
                                  cluster);
      return false;
    }
  return true;
}

static bool
verify_all (Verification *verification, const char *cluster, GError **error)
{
  g_autoptr (CsJson) answer =
      cs_cli_call (verification->cli, "snapshot.list",
                   cs_cli_params (verification->store, cluster, NULL), error);
  if (answer == NULL)
    return false;
  json_object *snapshots = cs_json_array (answer, "snapshots");
  for (gsize i = 0; snapshots != NULL && i < json_object_array_length (snapshots); i++)
    {
      json_object *snapshot = json_object_array_get_idx (snapshots, i);
      const char *of = cs_json_string (snapshot, "cluster");
      const char *name = cs_json_string (snapshot, "snapshot");
      if (of != NULL && name != NULL && !verify_one (verification, of, name, error))
        return false;
    }
  return true;
}

static bool
report (Verification *verification, GError **error)
{
  if (!cs_cli_print_rows (verification->cli, verification->rows, error))
    return false;
  if (verification->n_damaged == 0)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_CORRUPT,
               "%u of %u snapshots %s damaged: %s; the others can be used", verification->n_damaged,
               verification->n_snapshots, verification->n_damaged == 1 ? "is" : "are",
               verification->damaged->str);
  return false;
}

bool
cs_cli_snapshot_verify (CsCli *cli, GError **error)
{
  const char *cluster = cs_cli_operand (cli, 0), *snapshot = cs_cli_operand (cli, 1);
  if ((cluster != NULL && !cs_name_check ("cluster", cluster, error))
      || (snapshot != NULL && !cs_name_check ("snapshot", snapshot, error)))
    return false;
  g_autofree char *store =
      cluster != NULL ? cs_cli_store_of (cli, cluster, error) : cs_cli_store (cli, NULL);
  if (store == NULL)
    return false;
  g_autoptr (CsJson) rows = json_object_new_array ();
  g_autoptr (GString) damaged = g_string_new (NULL);
  Verification verification = { .cli = cli, .store = store, .rows = rows, .damaged = damaged };
  bool done = snapshot != NULL ? verify_one (&verification, cluster, snapshot, error)
                               : verify_all (&verification, cluster, error);
  return done && report (&verification, error);
}
