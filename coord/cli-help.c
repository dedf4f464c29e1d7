#include "config.h"

#include "coord/cli.h"

#include <string.h>

static void
append_options (GString *help, guint32 options)
{
  for (int i = 0; i < CS_N_OPTIONS; i++)
    if (options & (1u << i))
      {
        g_autofree char *usage = cs_option_usage ((CsOption)i);
        g_string_append_printf (help, "%s\n          %s\n", usage, cs_option_text ((CsOption)i));
      }
}

static void
append_commands (GString *help, const char *noun)
{
  for (const CsCommand *command = cs_commands; command->noun != NULL; command++)
    if (noun == NULL || strcmp (noun, command->noun) == 0)
      {
        g_autofree char *words =
            g_strconcat (command->noun, command->verb != NULL ? " " : "", command->verb, NULL);
        g_string_append_printf (help, "  %-16s  %s\n", words, command->summary);
      }
}

static char *
command_help (const CsCommand *command)
{
  GString *help = g_string_new (NULL);
  g_autofree char *name = cs_command_name (command);
  g_string_append_printf (help, "Usage: %s [OPTION...]%s%s\n\n", name,
                          *command->operands != '\0' ? " " : "", command->operands);
  g_string_append_printf (help, "%c%s.\n", g_ascii_toupper (command->summary[0]),
                          command->summary + 1);
  if (command->options != 0)
    {
      g_string_append (help, "\nOptions:\n");
      append_options (help, command->options);
    }
  g_string_append (help, "\nGlobal options:\n");
  append_options (help, CS_GLOBAL_OPTIONS);
  if (command->columns != NULL)
    {
      g_string_append (help, "\nColumns:\n ");
      for (const CsColumn *column = command->columns; column->name != NULL; column++)
        g_string_append_printf (help, " %s", column->name);
      g_string_append_c (help, '\n');
    }
  return g_string_free (help, FALSE);
}

static char *
general_help (const char *noun)
{
  GString *help = g_string_new (NULL);
  g_string_append_printf (help, "Usage: clusnap [OPTION...] %s VERB [OPERAND...]\n\n",
                          noun != NULL ? noun : "NOUN");
  if (noun == NULL)
    g_string_append (help, "Takes consistent snapshots of clusters of running VMs, and brings the "
                           "clusters back.\n\n");
  g_string_append (help, "Commands:\n");
  append_commands (help, noun);
  g_string_append (help, "\nGlobal options:\n");
  append_options (help, CS_GLOBAL_OPTIONS);
  g_string_append (help, "\n'clusnap NOUN VERB --help' tells more of a command; clusnap(1) of "
                         "all.\n");
  return g_string_free (help, FALSE);
}

char *
cs_help_text (const CsArguments *arguments, GError **error)
{
  const char *noun = cs_arguments_operand (arguments, 0);
  guint first_operand;
  if (noun == NULL)
    return general_help (NULL);
  if (cs_arguments_n_operands (arguments) == 1)
    for (const CsCommand *command = cs_commands; command->noun != NULL; command++)
      if (strcmp (command->noun, noun) == 0 && command->verb != NULL)
        return general_help (noun);
  const CsCommand *command = cs_command_find (arguments, &first_operand, error);
  return command != NULL ? command_help (command) : NULL;
}
