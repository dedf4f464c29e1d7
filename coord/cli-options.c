#include "config.h"

#include "coord/cli-options.h"

#include "common/error.h"

#include <getopt.h>

struct CsArguments
{
  GPtrArray *values[CS_N_OPTIONS]; /* of const char *, NULL-terminated once parsed */
  guint given;                     /* bit set of CsOption */
  GPtrArray *operands;             /* of const char * */
};

static const struct
{
  const char *name;
  char letter;
  const char *argument;
  const char *text;
} table[] = {
#define X(symbol, name, letter, argument, text) { name, letter, argument, text },
  CS_OPTION_TABLE (X)
#undef X
};

/* getopt_long's values for long options: clear of all letters. */
#define FIRST_VALUE 1000

G_STATIC_ASSERT (CS_N_OPTIONS <= 32);

void
cs_arguments_free (CsArguments *arguments)
{
  if (arguments == NULL)
    return;
  for (int i = 0; i < CS_N_OPTIONS; i++)
    g_ptr_array_unref (arguments->values[i]);
  g_ptr_array_unref (arguments->operands);
  g_free (arguments);
}

static char *
fill_tables (struct option *options)
{
  /* ':' first: tell a missing argument from an unknown option. */
  GString *letters = g_string_new (":");
  for (int i = 0; i < CS_N_OPTIONS; i++)
    {
      int has_argument = table[i].argument != NULL ? required_argument : no_argument;
      options[i] = (struct option){ table[i].name, has_argument, NULL, FIRST_VALUE + i };
      if (table[i].letter != 0)
        g_string_append_printf (letters, "%c%s", table[i].letter, has_argument ? ":" : "");
    }
  return g_string_free (letters, FALSE);
}

static int
option_of (int value)
{
  for (int i = 0; i < CS_N_OPTIONS; i++)
    if (value == FIRST_VALUE + i || (table[i].letter != 0 && value == table[i].letter))
      return i;
  return -1;
}

static bool
set_parse_error (int value, char **argv, GError **error)
{
  int option = optopt != 0 ? option_of (optopt) : -1;
  g_autofree char *letter = g_strdup_printf ("-%c", optopt);
  const char *given = optopt > 0 && optopt < FIRST_VALUE ? letter : argv[optind - 1];
  if (value == ':')
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "option '%s' needs an argument: %s", given,
                 table[option].argument);
  else if (option >= 0)
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "option '--%s' takes no argument",
                 table[option].name);
  else
    g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                 "unknown option '%s': see 'clusnap --help', or '--help' after a command", given);
  return false;
}

static bool
parse (CsArguments *arguments, int argc, char **argv, GError **error)
{
  struct option options[CS_N_OPTIONS + 1] = { 0 };
  g_autofree char *letters = fill_tables (options);
  int value;
  optind = 0; /* glibc: start anew */
  opterr = 0;
  while ((value = getopt_long (argc, argv, letters, options, NULL)) != -1)
    {
      if (value == ':' || value == '?')
        return set_parse_error (value, argv, error);
      int option = option_of (value);
      arguments->given |= 1u << option;
      if (optarg != NULL)
        g_ptr_array_add (arguments->values[option], optarg);
    }
  for (int i = optind; i < argc; i++)
    g_ptr_array_add (arguments->operands, argv[i]);
  for (int i = 0; i < CS_N_OPTIONS; i++)
    g_ptr_array_add (arguments->values[i], NULL);
  return true;
}

CsArguments *
cs_arguments_parse (int argc, char **argv, GError **error)
{
  g_autoptr (CsArguments) arguments = g_new0 (CsArguments, 1);
  arguments->operands = g_ptr_array_new ();
  for (int i = 0; i < CS_N_OPTIONS; i++)
    arguments->values[i] = g_ptr_array_new ();
  return parse (arguments, argc, argv, error) ? g_steal_pointer (&arguments) : NULL;
}

bool
cs_arguments_check (const CsArguments *arguments, guint32 allowed, const char *command,
                    GError **error)
{
  for (int i = 0; i < CS_N_OPTIONS; i++)
    if (arguments->given & ~allowed & (1u << i))
      {
        g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                     "'%s' has no option '--%s': see '%s --help'", command, table[i].name, command);
        return false;
      }
  return true;
}

bool
cs_arguments_has (const CsArguments *arguments, CsOption option)
{
  return (arguments->given & (1u << option)) != 0;
}

const char *
cs_arguments_value (const CsArguments *arguments, CsOption option)
{
  const GPtrArray *values = arguments->values[option];
  return values->len > 1 ? g_ptr_array_index (values, values->len - 2) : NULL;
}

const char *const *
cs_arguments_values (const CsArguments *arguments, CsOption option)
{
  return (const char *const *)arguments->values[option]->pdata;
}

guint
cs_arguments_n_operands (const CsArguments *arguments)
{
  return arguments->operands->len;
}

const char *
cs_arguments_operand (const CsArguments *arguments, guint i)
{
  return i < arguments->operands->len ? g_ptr_array_index (arguments->operands, i) : NULL;
}

char *
cs_option_usage (CsOption option)
{
  char letter[] = { '-', table[option].letter, ',', ' ', '\0' };
  return g_strdup_printf ("  %s--%s%s%s", table[option].letter != 0 ? letter : "    ",
                          table[option].name, table[option].argument != NULL ? " " : "",
                          table[option].argument != NULL ? table[option].argument : "");
}

const char *
cs_option_text (CsOption option)
{
  return table[option].text;
}

const char *
cs_option_name (CsOption option)
{
  return table[option].name;
}
