#include "config.h"

#include "common/error.h"
#include "coord/cluster-private.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILE (1024 * 1024)
#define MAX_TEXT 4096

#define TEXT_FIELD(key, type, member, flags)                                                       \
  CYAML_FIELD_STRING_PTR (key, CYAML_FLAG_POINTER | (flags), type, member, 1, MAX_TEXT)

static const cyaml_schema_field_t vm_fields[] = {
  TEXT_FIELD ("name", CsClusterVm, name, 0),
  TEXT_FIELD ("uri", CsClusterVm, uri, CYAML_FLAG_OPTIONAL),
  TEXT_FIELD ("domain", CsClusterVm, domain, CYAML_FLAG_OPTIONAL),
  TEXT_FIELD ("qmp", CsClusterVm, qmp, CYAML_FLAG_OPTIONAL),
  CYAML_FIELD_END,
};

static const cyaml_schema_value_t vm_schema = { CYAML_VALUE_MAPPING (CYAML_FLAG_DEFAULT,
                                                                     CsClusterVm, vm_fields) };

static const cyaml_schema_field_t cluster_fields[] = {
  TEXT_FIELD ("name", CsCluster, name, 0),
  TEXT_FIELD ("store", CsCluster, store, CYAML_FLAG_OPTIONAL),
  TEXT_FIELD ("pause-deadline", CsCluster, pause_deadline, CYAML_FLAG_OPTIONAL),
  TEXT_FIELD ("agent", CsCluster, agent, CYAML_FLAG_OPTIONAL),
  TEXT_FIELD ("policy", CsCluster, policy, CYAML_FLAG_OPTIONAL),
  CYAML_FIELD_UINT_PTR ("domino-limit", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, CsCluster,
                        domino_limit),
  TEXT_FIELD ("clone-of", CsCluster, clone_of, CYAML_FLAG_OPTIONAL),
  CYAML_FIELD_SEQUENCE_COUNT ("vms", CYAML_FLAG_POINTER, CsCluster, vms, n_vms, &vm_schema, 1,
                              CS_CLUSTER_MAX_VMS),
  CYAML_FIELD_END,
};

static const cyaml_schema_value_t cluster_schema = { CYAML_VALUE_MAPPING (
    CYAML_FLAG_POINTER, CsCluster, cluster_fields) };

static void *
yaml_memory (void *context, void *pointer, size_t size)
{
  if (size > 0)
    return g_realloc (pointer, size);
  g_free (pointer);
  return NULL;
}

/* libcyaml tells what is wrong, then a backtrace whose first line is the place. */
static void G_GNUC_PRINTF (3, 0)
    yaml_log (cyaml_log_t level, void *context, const char *format, va_list args)
{
  GString *log = context;
  g_autofree char *line = g_strstrip (g_strdup_vprintf (format, args));
  const char *text = g_str_has_prefix (line, "Load: ") ? line + strlen ("Load: ") : line;
  if (level < CYAML_LOG_ERROR || strcmp (text, "Backtrace:") == 0)
    return;
  g_string_append_printf (log, "%s%s", log->len > 0 ? ", " : "", text);
}

static cyaml_config_t
yaml_config (GString *log)
{
  return (cyaml_config_t){
    .log_fn = yaml_log,
    .log_ctx = log,
    .log_level = CYAML_LOG_ERROR,
    .mem_fn = yaml_memory,
    .flags = CYAML_CFG_NO_ALIAS | CYAML_CFG_STYLE_BLOCK,
  };
}

static bool G_GNUC_PRINTF (2, 3) invalid (GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, CS_ERROR, CS_ERROR_INVALID, text);
  return false;
}

static CsCluster *
load (const char *yaml, gsize length, GError **error)
{
  g_autoptr (GString) log = g_string_new (NULL);
  cyaml_config_t config = yaml_config (log);
  cyaml_data_t *data = NULL;
  if (!g_utf8_validate_len (yaml, length, NULL))
    {
      invalid (error, "it is not UTF-8 text");
      return NULL;
    }
  cyaml_err_t code =
      cyaml_load_data ((const uint8_t *)yaml, length, &config, &cluster_schema, &data, NULL);
  if (code != CYAML_OK)
    invalid (error, "%s%s%s", cyaml_strerror (code), log->len > 0 ? ": " : "", log->str);
  else if (data == NULL)
    invalid (error, "it is empty: the keys 'name' and 'vms' are needed");
  return data;
}

CsCluster *
cs_cluster_parse (const char *yaml, gsize length, const char *file, GError **error)
{
  g_autoptr (CsCluster) cluster = NULL;
  if (length > MAX_FILE)
    invalid (error, "it is larger than %d bytes", MAX_FILE);
  else
    cluster = load (yaml, length, error);
  if (cluster != NULL && cs_cluster_check (cluster, error))
    return g_steal_pointer (&cluster);
  g_prefix_error (error, "cluster file '%s': ", file);
  return NULL;
}

CsCluster *
cs_cluster_read (const char *path, GError **error)
{
  struct stat status;
  g_autofree char *yaml = NULL;
  gsize length = 0;
  g_autoptr (GError) failure = NULL;
  if (stat (path, &status) < 0)
    {
      cs_error_set_errno (error, errno, "cannot read cluster file '%s'", path);
      return NULL;
    }
  if (!S_ISREG (status.st_mode) || status.st_size > MAX_FILE)
    {
      invalid (error, "cluster file '%s': it is no file of at most %d bytes", path, MAX_FILE);
      return NULL;
    }
  if (!g_file_get_contents (path, &yaml, &length, &failure))
    {
      g_set_error (error, CS_ERROR, CS_ERROR_IO, "cannot read cluster file '%s': %s", path,
                   failure->message);
      return NULL;
    }
  return cs_cluster_parse (yaml, length, path, error);
}

char *
cs_cluster_to_yaml (const CsCluster *cluster, gsize *length, GError **error)
{
  g_autoptr (GString) log = g_string_new (NULL);
  cyaml_config_t config = yaml_config (log);
  char *yaml = NULL;
  cyaml_err_t code = cyaml_save_data (&yaml, length, &config, &cluster_schema, cluster, 0);
  if (code == CYAML_OK)
    {
      /* libcyaml does not end it with a NUL. */
      char *text = g_strndup (yaml, *length);
      g_free (yaml);
      return text;
    }
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "cannot write cluster '%s' as YAML: %s %s",
               cluster->name, cyaml_strerror (code), log->str);
  return NULL;
}
