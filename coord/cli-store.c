/* clusnap store …, clusnap daemon … */
#include "config.h"

#include "coord/cli.h"

const CsColumn cs_store_stats_columns[] = {
  { "path", "Path", CS_COLUMN_TEXT },
  { "uuid", "UUID", CS_COLUMN_TEXT },
  { "snapshots", "Snapshots", CS_COLUMN_COUNT },
  { "roots", "Roots", CS_COLUMN_COUNT },
  { "images", "Images", CS_COLUMN_COUNT },
  { "segments", "Segments", CS_COLUMN_COUNT },
  { "bytes", "Size", CS_COLUMN_SIZE },
  { "segment-bytes", "Size of segments", CS_COLUMN_SIZE },
  { "pages", "Pages stored", CS_COLUMN_COUNT },
  { "referenced", "Pages referenced", CS_COLUMN_COUNT },
  { "raw-bytes", "Before compression", CS_COLUMN_SIZE },
  { "dedup-ratio", "Dedup ratio", CS_COLUMN_RATIO },
  { "compression-ratio", "Compression ratio", CS_COLUMN_RATIO },
  { 0 },
};

const CsColumn cs_store_gc_columns[] = {
  { "images-removed", "Images removed", CS_COLUMN_COUNT },
  { "segments-removed", "Segments removed", CS_COLUMN_COUNT },
  { "segments-rewritten", "Segments rewritten", CS_COLUMN_COUNT },
  { "pages-removed", "Pages removed", CS_COLUMN_COUNT },
  { "bytes-freed", "Freed", CS_COLUMN_SIZE },
  { 0 },
};

const CsColumn cs_daemon_status_columns[] = {
  { "version", "Version", CS_COLUMN_TEXT }, { "protocol", "Protocol", CS_COLUMN_COUNT },
  { "pid", "PID", CS_COLUMN_COUNT },        { "host", "Host", CS_COLUMN_TEXT },
  { "kernel", "Kernel", CS_COLUMN_TEXT },   { "tracking", "Can track memory", CS_COLUMN_BOOL },
  { "reason", "Because", CS_COLUMN_TEXT },  { 0 },
};

bool
cs_cli_store_init (CsCli *cli, GError **error)
{
  g_autofree char *store = cs_cli_store (cli, NULL);
  g_autoptr (CsJson) answer =
      cs_cli_call (cli, "store.init", cs_cli_params (store, NULL, NULL), error);
  if (answer == NULL)
    return false;
  const char *uuid = cs_json_string (answer, "uuid");
  cs_cli_note (cli, "store '%s' is ready, UUID %s", store, uuid != NULL ? uuid : "unknown");
  return true;
}

bool
cs_cli_store_stats (CsCli *cli, GError **error)
{
  g_autofree char *store = cs_cli_store (cli, NULL);
  g_autoptr (CsJson) answer =
      cs_cli_call (cli, "store.stats", cs_cli_params (store, NULL, NULL), error);
  return answer != NULL && cs_cli_print_record (cli, answer, error);
}

bool
cs_cli_store_gc (CsCli *cli, GError **error)
{
  g_autofree char *store = cs_cli_store (cli, NULL);
  json_object *params = cs_cli_params (store, NULL, NULL);
  bool dry_run = cs_arguments_has (cli->arguments, CS_OPTION_DRY_RUN);
  json_object_object_add (params, "dry-run", json_object_new_boolean (dry_run));
  g_autoptr (CsJson) answer = cs_cli_call (cli, "store.gc", params, error);
  if (answer != NULL && dry_run)
    cs_cli_note (cli, "nothing was removed: this is what 'clusnap store gc' would free");
  return answer != NULL && cs_cli_print_record (cli, answer, error);
}

bool
cs_cli_daemon_status (CsCli *cli, GError **error)
{
  g_autoptr (CsJson) answer = cs_cli_call (cli, "hello", NULL, error);
  return answer != NULL && cs_cli_print_record (cli, answer, error);
}
