/* clusnapd: the host daemon.  One per host, root; clusnapd(8). */
#include "config.h"

#include "common/error.h"
#include "vmm/daemon.h"
#include "vmm/watchdog.h"

#include <glib-unix.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SWEEP_SECONDS 2 /* between two looks for VMs that have ended */
#define BY_HOST G_MININT64
#define MAX_MEMORY (G_MAXINT64 >> 20)
#define MEMORY_SHARE 16 /* of the host's memory is kept for rollbacks */

static const CsRpcMethod methods[] = {
  { "hello", cs_rpc_hello },
  { "vm.info", cs_rpc_vm_info },
  { "job.abort", cs_rpc_job_abort },
  { "store.init", cs_rpc_store_init },
  { "store.stats", cs_rpc_store_stats },
  { "store.gc", cs_rpc_store_gc },
  { "snapshot.list", cs_rpc_snapshot_list },
  { "snapshot.show", cs_rpc_snapshot_show },
  { "snapshot.verify", cs_rpc_snapshot_verify },
  { "snapshot.delete", cs_rpc_snapshot_delete },
  { "snapshot.begin", cs_rpc_snapshot_begin },
  { "snapshot.check", cs_rpc_snapshot_check },
  { "snapshot.quiesce", cs_rpc_snapshot_quiesce },
  { "snapshot.precopy", cs_rpc_snapshot_precopy },
  { "snapshot.pause", cs_rpc_snapshot_pause },
  { "snapshot.release", cs_rpc_snapshot_release },
  { "snapshot.store", cs_rpc_snapshot_store },
  { "snapshot.seal", cs_rpc_snapshot_seal },
  { "restore.begin", cs_rpc_restore_begin },
  { "restore.load", cs_rpc_restore_load },
  { "restore.release", cs_rpc_restore_release },
  { "restore.wait", cs_rpc_restore_wait },
  { "rollback.begin", cs_rpc_rollback_begin },
  { "rollback.prepare", cs_rpc_rollback_prepare },
  { "rollback.pause", cs_rpc_rollback_pause },
  { "rollback.apply", cs_rpc_rollback_apply },
  { "rollback.release", cs_rpc_rollback_release },
  { "deps.show", cs_rpc_deps_show },
  { "deps.forget", cs_rpc_deps_forget },
  { "clone.show", cs_rpc_clone_show },
  { "clone.remove", cs_rpc_clone_remove },
  { NULL, NULL },
};

typedef struct
{
  char *socket;
  char *state_directory;
  char *run_directory;
  char *scratch_directory;
  char *log_directory;
  gint64 rollback_memory; /* MiB; BY_HOST: a share of the host's */
  gboolean version;
} Options;

static bool
parse_options (Options *options, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
    { "socket", 's', 0, G_OPTION_ARG_FILENAME, &options->socket,
      "Listen at PATH (default: /run/clusnap/clusnapd.sock)", "PATH" },
    { "run-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->run_directory,
      "Keep the journal in DIR (default: /run/clusnap)", "DIR" },
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->state_directory,
      "Keep the clones in DIR/clones (default: " CS_LOCALSTATEDIR ")", "DIR" },
    { "scratch-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->scratch_directory,
      "Keep what guests overwrite while their disks are being stored in DIR "
      "(default: " CS_LOCALSTATEDIR "/scratch)",
      "DIR" },
    { "log-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->log_directory,
      "Keep the output of QEMUs that clusnapd starts in DIR (default: /var/log/clusnap)", "DIR" },
    { "rollback-memory", 0, 0, G_OPTION_ARG_INT64, &options->rollback_memory,
      "Keep MIB of what rollbacks have read in memory, all VMs together, for the next rollback "
      "(default: a sixteenth of the host's memory; 0: nothing)",
      "MIB" },
    { "version", 'V', 0, G_OPTION_ARG_NONE, &options->version, "Print the version and exit", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("- the host daemon of clusnap");
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_description (
      context, "It stays in the foreground and logs to standard error.  SIGTERM and SIGINT end it "
               "and leave\n"
               "all guests running: a snapshot under way is undone, memory that is still arriving\n"
               "after a restore is waited for.\n");
  if (!g_option_context_parse (context, &argc, &argv, error))
    return false;
  if (options->rollback_memory == BY_HOST
      || (options->rollback_memory >= 0 && options->rollback_memory <= MAX_MEMORY))
    return true;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
               "--rollback-memory takes a number of MiB, not %" G_GINT64_FORMAT,
               options->rollback_memory);
  return false;
}

static gboolean
quit (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
sweep (gpointer daemon)
{
  cs_daemon_sweep (daemon);
  return G_SOURCE_CONTINUE;
}

static void
attach (GMainContext *context, GSource *source, GSourceFunc func, gpointer data)
{
  g_source_set_callback (source, func, data, NULL);
  g_source_attach (source, context);
  g_source_unref (source);
}

/* In bytes. */
static guint64
rollback_memory (const Options *options)
{
  if (options->rollback_memory != BY_HOST)
    return (guint64)options->rollback_memory << 20;
  return (guint64)sysconf (_SC_PHYS_PAGES) * (guint64)sysconf (_SC_PAGESIZE) / MEMORY_SHARE;
}

static bool
run (const Options *options, GError **error)
{
  const char *run_directory = options->run_directory ? options->run_directory : "/run/clusnap";
  g_autofree char *socket = options->socket
                                ? g_strdup (options->socket)
                                : g_build_filename (run_directory, "clusnapd.sock", NULL);
  if (!cs_libvirt_init (error))
    return false;
  const CsDaemonOptions daemon_options = {
    .state_directory = options->state_directory ? options->state_directory : CS_LOCALSTATEDIR,
    .run_directory = run_directory,
    .scratch_directory =
        options->scratch_directory ? options->scratch_directory : CS_LOCALSTATEDIR "/scratch",
    .log_directory = options->log_directory ? options->log_directory : "/var/log/clusnap",
    .rollback_memory = rollback_memory (options),
  };
  g_autoptr (CsDaemon) daemon = cs_daemon_new (&daemon_options, error);
  if (daemon == NULL)
    return false;
  /* The default context is iterated by libvirt's event thread as well, to the end. */
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (context, FALSE);
  attach (context, g_unix_signal_source_new (SIGTERM), quit, loop);
  attach (context, g_unix_signal_source_new (SIGINT), quit, loop);
  /* First the guests, then everything else. */
  cs_daemon_recover (daemon);
  cs_daemon_recover_lines (daemon);
  attach (context, g_timeout_source_new_seconds (SWEEP_SECONDS), sweep, daemon);
  CsRpcServer *server = cs_rpc_server_new (socket, methods, daemon, error);
  if (server == NULL)
    return false;
  g_message ("clusnapd %s listens at '%s'", PACKAGE_VERSION, socket);
  g_main_loop_run (loop);
  g_message ("ending: no guest is left paused");
  cs_rpc_server_free (server);
  return true;
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  /* What we inherit is not for those whom we start; our own descriptors close on exec anyway. */
  close_range (STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  Options options = { .rollback_memory = BY_HOST };
  g_autoptr (GError) error = NULL;
  bool done = parse_options (&options, argc, argv, &error);
  int status = EXIT_SUCCESS;
  if (done && options.version)
    printf ("clusnapd %s\n", PACKAGE_VERSION);
  else if (done && !cs_watchdog_supervise (&status))
    exit (status);
  else
    done = done && run (&options, &error);
  if (!done)
    fprintf (stderr, "clusnapd: %s\n", error->message);
  g_free (options.socket);
  g_free (options.state_directory);
  g_free (options.run_directory);
  g_free (options.scratch_directory);
  g_free (options.log_directory);
  return done ? EXIT_SUCCESS : error->domain == G_OPTION_ERROR ? 2 : cs_error_exit_status (error);
}
