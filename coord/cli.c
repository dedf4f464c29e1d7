#include "config.h"

#include "coord/cli.h"

#include "common/error.h"
#include "coord/cli-progress.h"
#include "coord/cluster-directory.h"
#include "coord/duration.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_SOCKET "/run/clusnap/clusnapd.sock"
#define DEFAULT_STORE "/var/lib/clusnap/store"

guint
cs_cli_n_operands (const CsCli *cli)
{
  return cs_arguments_n_operands (cli->arguments) - cli->first_operand;
}

const char *
cs_cli_operand (const CsCli *cli, guint i)
{
  return cs_arguments_operand (cli->arguments, cli->first_operand + i);
}

static const char *
setting (const CsCli *cli, CsOption option, const char *variable)
{
  const char *value = cs_arguments_value (cli->arguments, option);
  if (value == NULL)
    value = g_getenv (variable);
  return value != NULL && *value != '\0' ? value : NULL;
}

static bool
check_protocol (CsCli *cli, GError **error)
{
  g_autoptr (CsJson) hello = cs_cli_call (cli, "hello", NULL, error);
  if (hello == NULL)
    return false;
  guint64 protocol = cs_json_uint (hello, "protocol", 0);
  if (protocol == CS_RPC_PROTOCOL)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
               "clusnapd at '%s' speaks protocol %" G_GUINT64_FORMAT ", this clusnap %d: restart "
               "clusnapd after an update",
               cs_rpc_path (cli->rpc), protocol, CS_RPC_PROTOCOL);
  return false;
}

static const char *
socket_path (const CsCli *cli)
{
  const char *path = setting (cli, CS_OPTION_SOCKET, "CLUSNAP_SOCKET");
  return path != NULL ? path : DEFAULT_SOCKET;
}

CsRpc *
cs_cli_connect_new (CsCli *cli, GError **error)
{
  /* The daemon is the one that the first connection has checked. */
  return cs_cli_connect (cli, error) != NULL ? cs_rpc_connect (socket_path (cli), error) : NULL;
}

CsRpc *
cs_cli_connect (CsCli *cli, GError **error)
{
  if (cli->rpc != NULL)
    return cli->rpc;
  cli->rpc = cs_rpc_connect (socket_path (cli), error);
  if (cli->rpc == NULL || check_protocol (cli, error))
    return cli->rpc;
  g_clear_pointer (&cli->rpc, cs_rpc_close);
  return NULL;
}

json_object *
cs_cli_call (CsCli *cli, const char *method, json_object *params, GError **error)
{
  g_autoptr (CsJson) owned = params;
  CsRpc *rpc = cs_cli_connect (cli, error);
  if (rpc == NULL)
    return NULL;
  g_autoptr (CsProgress) progress = cs_progress_new (cli->progress);
  CsRpcWait wait = { .interrupt_fd = cli->interrupt_fd };
  wait.event = cs_progress_event;
  wait.data = progress;
  return cs_rpc_call (rpc, method, g_steal_pointer (&owned), &wait, error);
}

CsCluster *
cs_cli_cluster (const CsCli *cli, const char *name, GError **error)
{
  return cs_cluster_directory_get (cli->state_directory, name, error);
}

char *
cs_cli_store (const CsCli *cli, const CsCluster *cluster)
{
  const char *store = setting (cli, CS_OPTION_STORE, "CLUSNAP_STORE");
  if (store == NULL && cluster != NULL)
    store = cs_cluster_store (cluster);
  /* The daemon's working directory is another one. */
  return g_canonicalize_filename (store != NULL ? store : DEFAULT_STORE, NULL);
}

char *
cs_cli_store_of (const CsCli *cli, const char *name, GError **error)
{
  g_autoptr (GError) failure = NULL;
  g_autoptr (CsCluster) cluster = cs_cli_cluster (cli, name, &failure);
  if (cluster != NULL || g_error_matches (failure, CS_ERROR, CS_ERROR_NOT_FOUND))
    return cs_cli_store (cli, cluster);
  g_propagate_error (error, g_steal_pointer (&failure));
  return NULL;
}

json_object *
cs_cli_params (const char *store, const char *cluster, const char *snapshot)
{
  json_object *params = json_object_new_object ();
  cs_json_add_string (params, "store", store);
  cs_json_add_string (params, "cluster", cluster);
  cs_json_add_string (params, "snapshot", snapshot);
  return params;
}

json_object *
cs_cli_snapshots (CsCli *cli, const char *store, const char *cluster, GError **error)
{
  g_autoptr (CsJson) answer =
      cs_cli_call (cli, "snapshot.list", cs_cli_params (store, cluster, NULL), error);
  if (answer == NULL)
    return NULL;
  json_object *snapshots = cs_json_array (answer, "snapshots");
  return snapshots != NULL ? json_object_get (snapshots) : json_object_new_array ();
}

bool
cs_cli_pause_deadline (const CsCli *cli, const CsCluster *cluster, guint64 *us, GError **error)
{
  const char *text = cs_arguments_value (cli->arguments, CS_OPTION_PAUSE_DEADLINE);
  *us = cluster != NULL ? cs_cluster_pause_deadline (cluster) : 0;
  return text == NULL || cs_duration_parse (text, us, error);
}

static const char *const *
wanted_columns (const CsCli *cli)
{
  return cs_arguments_values (cli->arguments, CS_OPTION_COLUMN);
}

static bool
print (const char *text, GError **error)
{
  if (fputs (text, stdout) >= 0 && fflush (stdout) == 0)
    return true;
  return cs_error_set_errno (error, errno, "cannot write to the standard output");
}

bool
cs_cli_print_rows (const CsCli *cli, json_object *rows, GError **error)
{
  g_autofree char *text =
      cs_output_rows (cli->format, cli->command->columns, wanted_columns (cli), rows);
  return print (text, error);
}

bool
cs_cli_print_record (const CsCli *cli, json_object *record, GError **error)
{
  g_autofree char *text =
      cs_output_record (cli->format, cli->command->columns, wanted_columns (cli), record);
  return print (text, error);
}

void
cs_cli_note (const CsCli *cli, const char *format, ...)
{
  if (cs_arguments_has (cli->arguments, CS_OPTION_QUIET) || cli->format != CS_FORMAT_TABLE)
    return;
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_printerr ("%s\n", text);
}

void
cs_cli_note_times (const CsCli *cli, json_object *report)
{
  json_object *vms = cs_json_array (report, "vms");
  for (gsize i = 0; vms != NULL && i < json_object_array_length (vms); i++)
    {
      json_object *vm = json_object_array_get_idx (vms, i);
      const char *time = cs_json_string (vm, "time");
      if (time != NULL && strcmp (time, "set") != 0)
        cs_cli_note (cli, "clusnap: VM '%s': its clock was not set: %s",
                     cs_json_string (vm, "name"), time);
    }
}
