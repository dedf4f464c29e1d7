/* The CLI: a table of commands (cli-commands.c), noun and verb, and what they share. */
#ifndef CS_COORD_CLI_H
#define CS_COORD_CLI_H

#include "coord/cli-options.h"
#include "coord/cli-output.h"
#include "coord/cluster.h"
#include "coord/rpc-client.h"

typedef struct CsCli CsCli;

typedef struct
{
  const char *noun;
  const char *verb;     /* NULL: the noun is the command */
  const char *operands; /* as in the usage line */
  guint min_operands;
  guint max_operands;
  guint32 options; /* set of CS_OPTION_BIT, beside the global ones */
  const char *summary;
  const CsColumn *columns; /* NULL: prints no result */
  bool (*run) (CsCli *cli, GError **error);
  bool has_graph; /* prints one (CS_FORMAT_DOT) */
} CsCommand;

/* One run of the program. */
struct CsCli
{
  const CsCommand *command;
  const CsArguments *arguments;
  guint first_operand; /* behind noun and verb */
  CsFormat format;
  const char *state_directory;
  bool progress;    /* to stderr */
  int interrupt_fd; /* readable once SIGINT or SIGTERM came */
  CsRpc *rpc;
};

/* cli-commands.c: the table, ended by a NULL noun. */
extern const CsCommand cs_commands[];

/* Finds the command that the operands name and sets @first_operand behind its words.  Errors:
 * INVALID, with what there is instead. */
const CsCommand *cs_command_find (const CsArguments *arguments, guint *first_operand,
                                  GError **error);
/* "clusnap snapshot create" */
char *cs_command_name (const CsCommand *command);

/* cli-help.c.  The text for `--help` with the operands so far: all, a noun, or a command. */
char *cs_help_text (const CsArguments *arguments, GError **error);

/* cli.c: what the commands use. */
guint cs_cli_n_operands (const CsCli *cli);
const char *cs_cli_operand (const CsCli *cli, guint i); /* NULL when there are fewer */

/* Connects once and checks that the daemon speaks our protocol.  Borrowed. */
CsRpc *cs_cli_connect (CsCli *cli, GError **error);
/* Another connection, as checked. */
CsRpc *cs_cli_connect_new (CsCli *cli, GError **error);
/* One request (@params taken) and its answer; progress events are shown. */
json_object *cs_cli_call (CsCli *cli, const char *method, json_object *params, GError **error);

CsCluster *cs_cli_cluster (const CsCli *cli, const char *name, GError **error);
/* The store's absolute path: --store, $CLUSNAP_STORE, the cluster's (@cluster may be NULL), the
 * default. */
char *cs_cli_store (const CsCli *cli, const CsCluster *cluster);
/* The same for a cluster known by name only, which need not be defined any more.  NULL: its file is
 * there but cannot be used. */
char *cs_cli_store_of (const CsCli *cli, const char *cluster, GError **error);
/* {"store": …, "cluster": …, "snapshot": …}; the latter two may be NULL. */
json_object *cs_cli_params (const char *store, const char *cluster, const char *snapshot);

/* The store's snapshots of @cluster (NULL: of all), as snapshot.list answers them. */
json_object *cs_cli_snapshots (CsCli *cli, const char *store, const char *cluster, GError **error);
/* --pause-deadline, or @cluster's (which may be NULL): us, 0 for the daemon's default. */
bool cs_cli_pause_deadline (const CsCli *cli, const CsCluster *cluster, guint64 *us,
                            GError **error);

/* Print through the command's columns. */
bool cs_cli_print_rows (const CsCli *cli, json_object *rows, GError **error);
bool cs_cli_print_record (const CsCli *cli, json_object *record, GError **error);
/* A line for people on stderr, unless --quiet or another format than a table. */
void cs_cli_note (const CsCli *cli, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* After --set-time: an agent that is absent or does not answer is no failure, but the user wants to
 * know.  @report: with "vms": [{"name", "time"?}]. */
void cs_cli_note_times (const CsCli *cli, json_object *report);

/* The commands. */
bool cs_cli_cluster_create (CsCli *cli, GError **error);
bool cs_cli_cluster_list (CsCli *cli, GError **error);
bool cs_cli_cluster_set (CsCli *cli, GError **error);
bool cs_cli_cluster_show (CsCli *cli, GError **error);
bool cs_cli_cluster_delete (CsCli *cli, GError **error);
bool cs_cli_snapshot_create (CsCli *cli, GError **error);
bool cs_cli_snapshot_list (CsCli *cli, GError **error);
bool cs_cli_snapshot_show (CsCli *cli, GError **error);
bool cs_cli_snapshot_verify (CsCli *cli, GError **error);
bool cs_cli_snapshot_delete (CsCli *cli, GError **error);
bool cs_cli_restore (CsCli *cli, GError **error);
bool cs_cli_rollback (CsCli *cli, GError **error);
bool cs_cli_recover (CsCli *cli, GError **error);
bool cs_cli_deps (CsCli *cli, GError **error);
bool cs_cli_store_init (CsCli *cli, GError **error);
bool cs_cli_store_stats (CsCli *cli, GError **error);
bool cs_cli_store_gc (CsCli *cli, GError **error);
bool cs_cli_daemon_status (CsCli *cli, GError **error);

/* Their columns. */
extern const CsColumn cs_cluster_list_columns[];
extern const CsColumn cs_cluster_show_columns[];
extern const CsColumn cs_snapshot_create_columns[];
extern const CsColumn cs_snapshot_list_columns[];
extern const CsColumn cs_snapshot_show_columns[];
extern const CsColumn cs_snapshot_verify_columns[];
extern const CsColumn cs_restore_columns[];
extern const CsColumn cs_rollback_columns[];
extern const CsColumn cs_recover_columns[];
extern const CsColumn cs_deps_columns[];
extern const CsColumn cs_store_stats_columns[];
extern const CsColumn cs_store_gc_columns[];
extern const CsColumn cs_daemon_status_columns[];

#endif
