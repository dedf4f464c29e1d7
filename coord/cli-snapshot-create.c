/* clusnap snapshot create
 *
 * The policy of the cluster says which VMs share a barrier; each such set is a snapshot of its own,
 * a job of its own, taken one after the other.  A set that fails does not hide what the others did:
 * they are taken all the same, and all of them are reported. */
#include "config.h"

#include "coord/cli-snapshot-create.h"

#include "common/error.h"
#include "coord/cli-choose.h"
#include "coord/duration.h"
#include "coord/name.h"

#include <string.h>

static const CsColumn set_columns[] = {
  { "snapshot", "Snapshot", CS_COLUMN_TEXT },   { "only", "VMs", CS_COLUMN_LIST },
  { "pause", "Pause", CS_COLUMN_TIME },         { "cluster-pause", "Pause (all)", CS_COLUMN_TIME },
  { "bytes-stored", "Stored", CS_COLUMN_SIZE }, { "total", "Time to durable", CS_COLUMN_TIME },
  { "message", "Problem", CS_COLUMN_TEXT },     { 0 },
};

static const CsColumn domino_columns[] = {
  { "name", "If it failed", CS_COLUMN_TEXT },
  { "others", "VMs back with it", CS_COLUMN_COUNT },
  { "depth", "Snapshots lost (most)", CS_COLUMN_COUNT },
  { 0 },
};

#include <string.h>

static const CsColumn vm_columns[] = {
  { "name", "VM", CS_COLUMN_TEXT },
  { "incremental", "Incremental", CS_COLUMN_BOOL },
  { "quiesce", "Quiesce", CS_COLUMN_TIME },
  { "agent", "Agent", CS_COLUMN_TEXT, true },
  { "pause", "Pause", CS_COLUMN_TIME },
  { "pages", "Pages in pause", CS_COLUMN_COUNT },
  { "pages-captured", "Pages", CS_COLUMN_COUNT },
  { "bytes-captured", "Captured", CS_COLUMN_SIZE },
  { "disk-bytes", "Disk", CS_COLUMN_SIZE },
  { "bytes-stored", "Stored", CS_COLUMN_SIZE },
  { 0 },
};

const CsColumn cs_snapshot_create_columns[] = {
  { "cluster", "Cluster", CS_COLUMN_TEXT },
  { "snapshot", "Snapshot", CS_COLUMN_TEXT },
  { "policy", "Policy", CS_COLUMN_TEXT },
  { "only", "Only", CS_COLUMN_LIST },
  { "pause", "Pause (longest VM)", CS_COLUMN_TIME },
  { "cluster-pause", "Pause (cluster)", CS_COLUMN_TIME },
  { "skew", "Skew", CS_COLUMN_TIME },
  { "pages-captured", "Pages captured", CS_COLUMN_COUNT },
  { "bytes-captured", "Bytes captured", CS_COLUMN_SIZE },
  { "pages-zero", "Pages zero", CS_COLUMN_COUNT, true },
  { "pages-shared", "Pages shared", CS_COLUMN_COUNT, true },
  { "pages-stored", "Pages stored", CS_COLUMN_COUNT, true },
  { "disk-bytes", "Disk bytes", CS_COLUMN_SIZE, true },
  { "bytes-stored", "Bytes stored", CS_COLUMN_SIZE },
  { "dedup-ratio", "Dedup ratio", CS_COLUMN_RATIO },
  { "compression-ratio", "Compression ratio", CS_COLUMN_RATIO },
  { "total", "Time to durable", CS_COLUMN_TIME },
  { "vms", "VMs", CS_COLUMN_ROWS, false, vm_columns },
  { "snapshots", "Snapshots", CS_COLUMN_ROWS, false, set_columns },
  { "domino", "Domino effect", CS_COLUMN_ROWS, false, domino_columns },
  { 0 },
};

static void
clear_creation (CsCreation *creation)
{
  g_clear_pointer (&creation->cluster, cs_cluster_free);
  g_clear_pointer (&creation->history, cs_cli_history_free);
  g_clear_pointer (&creation->plan, cs_policy_plan_free);
  g_clear_pointer (&creation->store, g_free);
  g_clear_pointer (&creation->name, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CsCreation, clear_creation)

/* The number of "s5" and of "s5.2", or 0. */
static guint64
number_of (const char *name)
{
  guint64 number = 0;
  if (name == NULL || name[0] != 's')
    return 0;
  g_autofree char *digits = g_strndup (name + 1, strspn (name + 1, "0123456789"));
  const char *rest = name + 1 + strlen (digits);
  return (*rest == '\0' || *rest == '.')
                 && g_ascii_string_to_unsigned (digits, 10, 1, G_MAXINT64, &number, NULL)
             ? number
             : 0;
}

/* "s" and one more than the highest such number in the store. */
static char *
next_name (CsCli *cli, const char *store, const char *cluster, GError **error)
{
  g_autoptr (CsJson) snapshots = cs_cli_snapshots (cli, store, cluster, error);
  if (snapshots == NULL)
    return NULL;
  guint64 highest = 0;
  for (gsize i = 0; i < json_object_array_length (snapshots); i++)
    {
      const char *name = cs_json_string (json_object_array_get_idx (snapshots, i), "snapshot");
      highest = MAX (highest, number_of (name));
    }
  return g_strdup_printf ("s%" G_GUINT64_FORMAT, highest + 1);
}

/* The VMs of --only, whatever the policy says; else what it says. */
static bool
make_plan (CsCreation *creation, GError **error)
{
  json_object *chosen = NULL;
  if (!cs_cli_choose_vms (creation->cli, CS_OPTION_ONLY, &chosen, error))
    return false;
  if (chosen == NULL)
    return cs_creation_plan (creation, error);
  g_autoptr (CsJson) names = chosen;
  GArray *set = cs_cli_choose_numbers (creation->cluster, names, error);
  if (set == NULL)
    return false;
  creation->plan = cs_policy_plan_new ();
  g_ptr_array_add (creation->plan->sets, set);
  return true;
}

/* Sets *@deadline in us, 0: the default one. */
static bool
parse_quiesce (CsCli *cli, guint64 *deadline, GError **error)
{
  const char *text = cs_arguments_value (cli->arguments, CS_OPTION_QUIESCE_DEADLINE);
  *deadline = 0;
  if (text == NULL)
    return true;
  if (cs_arguments_has (cli->arguments, CS_OPTION_NO_QUIESCE))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "option '--no-quiesce' excludes '--quiesce-deadline': nobody is asked");
      return false;
    }
  return cs_duration_parse (text, deadline, error);
}

/* A guest that was not quiesced is no failure, but the user wants to know. */
static void
note_agents (CsCli *cli, json_object *report)
{
  json_object *vms = cs_json_array (report, "vms");
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    {
      json_object *vm = json_object_array_get_idx (vms, i);
      const char *agent = cs_json_string (vm, "agent");
      if (agent != NULL && strcmp (agent, "quiesced") != 0 && strcmp (agent, "none") != 0
          && strcmp (agent, "off") != 0)
        cs_cli_note (cli, "clusnap: VM '%s' was not quiesced: %s", cs_json_string (vm, "name"),
                     agent);
    }
}

static bool
check_options (CsCreation *creation, GError **error)
{
  const char *given = cs_cli_operand (creation->cli, 1);
  const char *stagger = cs_arguments_value (creation->cli->arguments, CS_OPTION_STAGGER);
  if (given != NULL && !cs_name_check ("snapshot", given, error))
    return false;
  if (!parse_quiesce (creation->cli, &creation->quiesce_deadline, error))
    return false;
  return stagger == NULL || strcmp (stagger, "0s") == 0
         || cs_duration_parse (stagger, &creation->stagger, error);
}

static bool
create (CsCreation *creation, GError **error)
{
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsJson) report = NULL;
  if (creation->plan->sets->len == 1)
    report = cs_creation_take (creation, g_ptr_array_index (creation->plan->sets, 0),
                               creation->name, error);
  else
    {
      report = json_object_new_object ();
      cs_json_add_string (report, "cluster", cs_cluster_name (creation->cluster));
      cs_creation_take_all (creation, report, &failure);
    }
  if (report == NULL)
    return false;
  cs_json_add_string (report, "policy", creation->policy->name);
  bool asks = creation->policy->has_domino && creation->history != NULL && failure == NULL;
  json_object *domino = asks ? cs_creation_domino (creation) : NULL;
  if (domino != NULL)
    json_object_object_add (report, "domino", domino);
  note_agents (creation->cli, report);
  if (!cs_cli_print_record (creation->cli, report, error))
    return false;
  if (failure == NULL)
    return true;
  g_propagate_error (error, g_steal_pointer (&failure));
  return false;
}

bool
cs_cli_snapshot_create (CsCli *cli, GError **error)
{
  g_auto (CsCreation) creation = { .cli = cli };
  const char *given = cs_cli_operand (cli, 1);
  if (!check_options (&creation, error))
    return false;
  creation.cluster = cs_cli_cluster (cli, cs_cli_operand (cli, 0), error);
  if (creation.cluster == NULL
      || !cs_cli_pause_deadline (cli, creation.cluster, &creation.deadline, error)
      || cs_cli_connect (cli, error) == NULL)
    return false;
  creation.policy = cs_policy_find (cs_cluster_policy (creation.cluster));
  creation.store = cs_cli_store (cli, creation.cluster);
  if (!make_plan (&creation, error))
    return false;
  creation.name = given != NULL
                      ? g_strdup (given)
                      : next_name (cli, creation.store, cs_cluster_name (creation.cluster), error);
  return creation.name != NULL && create (&creation, error);
}
