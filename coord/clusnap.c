/* The program: options, command, signals, errors. */
#include "config.h"

#include "common/error.h"
#include "common/json.h"
#include "coord/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEFAULT_STATE_DIRECTORY "/var/lib/clusnap"
#define SECOND_INTERRUPT_STATUS 130

static int interrupt_fd = -1;
static volatile sig_atomic_t interrupted;

/* The first signal asks for an orderly end; the second ends the program at once: the daemon
 * undoes the job when the connection closes. */
static void
on_signal (int number)
{
  const guint64 one = 1;
  int saved = errno;
  if (interrupted || write (interrupt_fd, &one, sizeof one) < 0)
    _exit (SECOND_INTERRUPT_STATUS);
  interrupted = 1;
  errno = saved;
}

static bool
catch_signals (GError **error)
{
  static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
  interrupt_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (interrupt_fd < 0)
    return cs_error_set_errno (error, errno, "cannot make an eventfd");
  struct sigaction action = { .sa_handler = on_signal };
  sigemptyset (&action.sa_mask);
  for (gsize i = 0; i < G_N_ELEMENTS (caught); i++)
    sigaction (caught[i], &action, NULL);
  return true;
}

static const char *
state_directory (const CsArguments *arguments)
{
  const char *given = cs_arguments_value (arguments, CS_OPTION_STATE_DIR);
  if (given == NULL)
    given = g_getenv ("CLUSNAP_STATE_DIR");
  return given != NULL && *given != '\0' ? given : DEFAULT_STATE_DIRECTORY;
}

static bool
check_operands (const CsCli *cli, const char *name, GError **error)
{
  guint n = cs_cli_n_operands (cli);
  if (n >= cli->command->min_operands && n <= cli->command->max_operands)
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "%s: '%s' takes %s%s; see '%s --help'",
               n < cli->command->min_operands ? "an operand is missing" : "too many operands", name,
               *cli->command->operands != '\0' ? "the operands " : "none", cli->command->operands,
               name);
  return false;
}

/* Everything that can be known to be wrong without doing anything. */
static bool
check (CsCli *cli, GError **error)
{
  g_autofree char *name = cs_command_name (cli->command);
  return cs_arguments_check (cli->arguments, CS_GLOBAL_OPTIONS | cli->command->options, name, error)
         && check_operands (cli, name, error)
         && cs_columns_check (cli->command->columns,
                              cs_arguments_values (cli->arguments, CS_OPTION_COLUMN), error);
}

static bool
print_help (const CsArguments *arguments, GError **error)
{
  g_autofree char *text = cs_help_text (arguments, error);
  if (text == NULL)
    return false;
  if (fputs (text, stdout) >= 0 && fflush (stdout) == 0)
    return true;
  return cs_error_set_errno (error, errno, "cannot write to the standard output");
}

static bool
run_command (const CsArguments *arguments, CsFormat format, GError **error)
{
  CsCli cli = { .arguments = arguments, .format = format };
  cli.command = cs_command_find (arguments, &cli.first_operand, error);
  if (cli.command == NULL || !check (&cli, error) || !catch_signals (error))
    return false;
  if (format == CS_FORMAT_DOT && !cli.command->has_graph)
    {
      g_set_error (
          error, CS_ERROR, CS_ERROR_INVALID,
          "only 'clusnap deps' and 'clusnap recover --dry-run' print a graph: use --format "
          "table, json or value");
      return false;
    }
  bool quiet = cs_arguments_has (arguments, CS_OPTION_QUIET);
  cli.progress = !quiet && (format == CS_FORMAT_TABLE || isatty (STDERR_FILENO) == 1);
  cli.state_directory = state_directory (arguments);
  cli.interrupt_fd = interrupt_fd;
  bool done = cli.command->run (&cli, error);
  cs_rpc_close (cli.rpc);
  return done;
}

static bool
run (const CsArguments *arguments, CsFormat *format, GError **error)
{
  const char *name = cs_arguments_value (arguments, CS_OPTION_FORMAT);
  if (name != NULL && !cs_format_from_name (name, format, error))
    return false;
  if (cs_arguments_has (arguments, CS_OPTION_VERSION))
    return printf ("clusnap %s\n", PACKAGE_VERSION) > 0 && fflush (stdout) == 0;
  if (cs_arguments_has (arguments, CS_OPTION_HELP))
    return print_help (arguments, error);
  return run_command (arguments, *format, error);
}

static void
print_error (const GError *error, CsFormat format)
{
  if (format != CS_FORMAT_JSON)
    {
      g_printerr ("clusnap: %s\n", error->message);
      return;
    }
  g_autoptr (CsJson) object = json_object_new_object ();
  json_object *body = json_object_new_object ();
  int code = error->domain == CS_ERROR ? error->code : CS_ERROR_FAILED;
  cs_json_add_string (body, "code", cs_error_name (code));
  cs_json_add_string (body, "message", error->message);
  json_object_object_add (object, "error", body);
  g_printerr ("%s\n", json_object_to_json_string_ext (
                          object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  CsFormat format = CS_FORMAT_TABLE;
  g_log_writer_default_set_use_stderr (TRUE);
  g_autoptr (CsArguments) arguments = cs_arguments_parse (argc, argv, &error);
  if (arguments != NULL && run (arguments, &format, &error))
    return 0;
  if (error == NULL)
    return 1;
  print_error (error, format);
  return cs_error_exit_status (error);
}
