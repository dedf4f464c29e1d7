#include "config.h"

#include "coord/cli.h"

#include "common/error.h"

#include <string.h>

#define ANY G_MAXUINT
#define OPT(symbol) CS_OPTION_BIT (symbol)

// clang-format off
const CsCommand cs_commands[] = {
  { "cluster", "create", "NAME [DOMAIN...]", 1, ANY,
    OPT (FILE) | OPT (URI) | OPT (QMP) | OPT (PAUSE_DEADLINE) | OPT (POLICY),
    "define a cluster of libvirt domains or QEMU sockets",
    NULL, cs_cli_cluster_create },
  { "cluster", "list", "", 0, 0, 0,
    "list the clusters that are defined here",
    cs_cluster_list_columns, cs_cli_cluster_list },
  { "cluster", "show", "NAME", 1, 1, 0,
    "show a cluster and how its VMs are right now",
    cs_cluster_show_columns, cs_cli_cluster_show },
  { "cluster", "set", "NAME KEY=VALUE...", 2, ANY, 0,
    "change the policy, domino-limit, agent or pause-deadline of a cluster",
    NULL, cs_cli_cluster_set },
  { "cluster", "delete", "NAME...", 1, ANY, OPT (PURGE),
    "forget clusters; their snapshots stay in the store",
    NULL, cs_cli_cluster_delete },
  { "snapshot", "create", "CLUSTER [NAME]", 1, 2,
    OPT (ONLY) | OPT (STAGGER) | OPT (PAUSE_DEADLINE) | OPT (QUIESCE_DEADLINE) | OPT (NO_QUIESCE),
    "take a consistent snapshot of a running cluster",
    cs_snapshot_create_columns, cs_cli_snapshot_create },
  { "snapshot", "list", "[CLUSTER]", 0, 1, 0,
    "list the snapshots in the store",
    cs_snapshot_list_columns, cs_cli_snapshot_list },
  { "snapshot", "show", "CLUSTER SNAPSHOT", 2, 2, 0,
    "show what a snapshot holds, per VM and disk",
    cs_snapshot_show_columns, cs_cli_snapshot_show },
  { "snapshot", "verify", "[CLUSTER [SNAPSHOT]]", 0, 2, 0,
    "read snapshots back and check every page of them",
    cs_snapshot_verify_columns, cs_cli_snapshot_verify },
  { "snapshot", "delete", "CLUSTER SNAPSHOT...", 2, ANY, 0,
    "delete snapshots; 'store gc' then frees their space",
    NULL, cs_cli_snapshot_delete },
  { "restore", NULL, "CLUSTER [SNAPSHOT]", 1, 2,
    OPT (EAGER) | OPT (FILL_RATE) | OPT (VM) | OPT (NO_WAIT) | OPT (SET_TIME)
    | OPT (CLONE) | OPT (COUNT) | OPT (DIRECTORY),
    "start the VMs of a cluster again as they were in a snapshot",
    cs_restore_columns, cs_cli_restore },
  { "rollback", NULL, "CLUSTER [SNAPSHOT]", 1, 2, OPT (ONLY) | OPT (PAUSE_DEADLINE)
    | OPT (SET_TIME),
    "take the running VMs of a cluster back to a snapshot, in place",
    cs_rollback_columns, cs_cli_rollback },
  { "recover", NULL, "CLUSTER", 1, 1,
    OPT (FAILED) | OPT (DRY_RUN) | OPT (ALLOW_LOST) | OPT (PAUSE_DEADLINE),
    "bring failed VMs back, and take back only the VMs that must go with them",
    cs_recover_columns, cs_cli_recover, true },
  { "deps", NULL, "CLUSTER", 1, 1, 0,
    "show who depends on whom in a cluster since its last snapshot",
    cs_deps_columns, cs_cli_deps, true },
  { "store", "init", "", 0, 0, 0,
    "make an empty store",
    NULL, cs_cli_store_init },
  { "store", "stats", "", 0, 0, 0,
    "show how large the store is and what it saves",
    cs_store_stats_columns, cs_cli_store_stats },
  { "store", "gc", "", 0, 0, OPT (DRY_RUN),
    "free the space of what no snapshot needs",
    cs_store_gc_columns, cs_cli_store_gc },
  { "daemon", "status", "", 0, 0, 0,
    "show whether clusnapd runs and what this host can do",
    cs_daemon_status_columns, cs_cli_daemon_status },
  { 0 },
};
// clang-format on

char *
cs_command_name (const CsCommand *command)
{
  return g_strconcat ("clusnap ", command->noun, command->verb != NULL ? " " : "", command->verb,
                      NULL);
}

/* The verbs of @noun, or the nouns when it is NULL, for an error's text. */
static char *
known_words (const char *noun)
{
  GString *words = g_string_new (NULL);
  for (const CsCommand *command = cs_commands; command->noun != NULL; command++)
    {
      bool first = command == cs_commands || strcmp (command->noun, command[-1].noun) != 0;
      if (noun != NULL ? strcmp (noun, command->noun) == 0 : first)
        g_string_append_printf (words, "%s%s", words->len > 0 ? ", " : "",
                                noun != NULL ? command->verb : command->noun);
    }
  return g_string_free (words, FALSE);
}

const CsCommand *
cs_command_find (const CsArguments *arguments, guint *first_operand, GError **error)
{
  const char *noun = cs_arguments_operand (arguments, 0);
  const char *verb = cs_arguments_operand (arguments, 1);
  bool known = false;
  for (const CsCommand *command = cs_commands; command->noun != NULL && noun != NULL; command++)
    {
      if (strcmp (command->noun, noun) != 0)
        continue;
      known = true;
      *first_operand = command->verb != NULL ? 2 : 1;
      if (command->verb == NULL || g_strcmp0 (command->verb, verb) == 0)
        return command;
    }
  g_autofree char *words = known_words (known ? noun : NULL);
  if (known)
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                 "%s%s%s for '%s': there are %s; see 'clusnap %s --help'",
                 verb != NULL ? "unknown verb '" : "a verb is missing", verb != NULL ? verb : "",
                 verb != NULL ? "'" : "", noun, words, noun);
  else
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "%s%s%s: there are %s; see 'clusnap --help'",
                 noun != NULL ? "unknown command '" : "a command is missing",
                 noun != NULL ? noun : "", noun != NULL ? "'" : "", words);
  return NULL;
}
