/* What the CLI is made of: messages, options, formats, output. */
#include "config.h"

#include "common/error.h"
#include "coord/cli-options.h"
#include "coord/cli-output.h"
#include "coord/cli.h"
#include "coord/format.h"
#include "coord/rpc-message.h"
#include "tests/unit/unit.h"

#include <string.h>

START_TEST (good_messages)
{
  static const char result[] = "{\"id\": 7, \"result\": {\"job\": \"j1\"}, \"future\": 1}";
  static const char failure[] =
      "{\"id\":8,\"error\":{\"code\":\"not-found\",\"message\":\"no 'x'\"}}\r";
  static const char event[] = "{\"event\":\"progress\",\"done\":1}";
  g_autoptr (CsRpcMessage) first = cs_rpc_message_parse (result, strlen (result), NULL);
  ck_assert (first->kind == CS_RPC_RESULT && first->id == 7);
  ck_assert_str_eq (cs_json_string (first->body, "job"), "j1");
  g_autoptr (CsRpcMessage) second = cs_rpc_message_parse (failure, strlen (failure) - 1, NULL);
  ck_assert (second->kind == CS_RPC_ERROR && second->id == 8);
  unit_assert_error (second->error, CS_ERROR_NOT_FOUND);
  ck_assert_str_eq (second->error->message, "no 'x'");
  g_autoptr (CsRpcMessage) third = cs_rpc_message_parse (event, strlen (event), NULL);
  ck_assert (third->kind == CS_RPC_EVENT);
}
END_TEST

static const char *const bad_messages[] = {
  "",
  " ",
  "null",
  "7",
  "[]",
  "\"text\"",
  "{",
  "{}",
  "{}{}",
  "{\"id\":1}",
  "{\"id\":1,\"result\":{}} trailing",
  "{\"id\":1,\"result\":{},\"error\":{\"code\":\"io\",\"message\":\"\"}}",
  "{\"id\":1,\"result\":null}",
  "{\"id\":1,\"result\":[]}",
  "{\"id\":-1,\"result\":{}}",
  "{\"id\":\"1\",\"result\":{}}",
  "{\"id\":1.5,\"result\":{}}",
  "{\"result\":{}}",
  "{\"id\":1,\"error\":{}}",
  "{\"id\":1,\"error\":\"text\"}",
  "{\"id\":1,\"error\":{\"code\":5,\"message\":\"m\"}}",
  "{\"event\":7}",
  "{\"id\":1,\"result\":{\"a\":\"\xff\"}}",
};

START_TEST (bad_messages_are_refused)
{
  g_autoptr (GError) error = NULL;
  const char *line = bad_messages[_i];
  ck_assert_msg (cs_rpc_message_parse (line, strlen (line), &error) == NULL, "accepted: %s", line);
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

START_TEST (deep_message_is_refused)
{
  g_autofree char *open = g_strnfill (100000, '[');
  g_autofree char *line = g_strconcat ("{\"id\":1,\"result\":{\"a\":", open, NULL);
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_rpc_message_parse (line, strlen (line), &error));
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

START_TEST (nul_in_message_is_refused)
{
  static const char line[] = "{\"id\":1,\"result\":{}}\0{}";
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_rpc_message_parse (line, sizeof line - 1, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

static CsArguments *
parse (const char *line, GError **error)
{
  static GStrv words; /* the arguments point into it */
  g_strfreev (words);
  words = g_strsplit (line, " ", -1);
  return cs_arguments_parse ((int)g_strv_length (words), words, error);
}

START_TEST (options_stand_anywhere)
{
  g_autoptr (CsArguments) arguments =
      parse ("clusnap -f json snapshot --vm=a list -qc x demo --vm b --column y -- --eager", NULL);
  ck_assert_str_eq (cs_arguments_value (arguments, CS_OPTION_FORMAT), "json");
  ck_assert (cs_arguments_has (arguments, CS_OPTION_QUIET));
  ck_assert (!cs_arguments_has (arguments, CS_OPTION_EAGER));
  ck_assert_str_eq (cs_arguments_values (arguments, CS_OPTION_VM)[1], "b");
  ck_assert_str_eq (cs_arguments_values (arguments, CS_OPTION_COLUMN)[0], "x");
  ck_assert_str_eq (cs_arguments_value (arguments, CS_OPTION_COLUMN), "y");
  ck_assert_ptr_null (cs_arguments_value (arguments, CS_OPTION_STORE));
  ck_assert_uint_eq (cs_arguments_n_operands (arguments), 4);
  ck_assert_str_eq (cs_arguments_operand (arguments, 3), "--eager");
  ck_assert_ptr_null (cs_arguments_operand (arguments, 4));
}
END_TEST

static const struct
{
  const char *line;
  const char *named;
} bad_options[] = {
  { "clusnap --bogus", "'--bogus'" },
  { "clusnap -x", "'-x'" },
  { "clusnap --bogus=1", "'--bogus=1'" },
  { "clusnap list --format", "'--format'" },
  { "clusnap -f", "'-f'" },
  { "clusnap --eager=yes", "'--eager'" },
  { "clusnap -qx", "'-x'" },
};

START_TEST (bad_options_are_named)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (parse (bad_options[_i].line, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  ck_assert_msg (strstr (error->message, bad_options[_i].named) != NULL, "%s", error->message);
}
END_TEST

START_TEST (commands_are_found)
{
  for (const CsCommand *command = cs_commands; command->noun != NULL; command++)
    {
      guint first = 0;
      g_autofree char *name = cs_command_name (command);
      g_autoptr (CsArguments) arguments = parse (name, NULL);
      ck_assert_ptr_eq (cs_command_find (arguments, &first, NULL), command);
      g_autofree char *help = cs_help_text (arguments, NULL);
      ck_assert_ptr_nonnull (strstr (help, name));
      ck_assert_uint_le (command->min_operands, command->max_operands);
    }
}
END_TEST

START_TEST (formats)
{
  static const struct
  {
    guint64 value;
    const char *size;
    const char *time;
  } cases[] = {
    { 0, "0 B", "0.0 ms" },
    { 1023, "1023 B", "1.0 ms" },
    { 1024, "1.0 KiB", "1.0 ms" },
    { 1048575, "1.0 MiB", "1.05 s" },
    { 12345678, "11.8 MiB", "12.35 s" },
    { 999949, "976.5 KiB", "999.9 ms" },
    { 999951, "976.5 KiB", "1.00 s" },
    { G_MAXUINT64, "16.0 EiB", "18446744073709.55 s" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *size = cs_format_size (cases[i].value);
      g_autofree char *time = cs_format_time (cases[i].value);
      ck_assert_str_eq (size, cases[i].size);
      ck_assert_str_eq (time, cases[i].time);
    }
  g_autofree char *text = cs_format_text ("a\033[31mb\n\xff\xc3\xa4");
  ck_assert_str_eq (text, "a?[31mb?\xef\xbf\xbd\xc3\xa4");
}
END_TEST

static const CsColumn inner[] = {
  { "name", "VM", CS_COLUMN_TEXT },
  { "pause", "Pause", CS_COLUMN_TIME },
  { 0 },
};

static const CsColumn columns[] = {
  { "name", "Name", CS_COLUMN_TEXT },
  { "size", "Size", CS_COLUMN_SIZE },
  { "ratio", "Ratio", CS_COLUMN_RATIO },
  { "ok", "OK", CS_COLUMN_BOOL },
  { "more", "More", CS_COLUMN_TEXT, true },
  { "list", "List", CS_COLUMN_LIST },
  { "vms", "VMs", CS_COLUMN_ROWS, false, inner },
  { 0 },
};

#define ROW                                                                                        \
  "{\"name\":\"a\\nb\",\"size\":2048,\"ratio\":2.5,\"ok\":true,\"more\":\"m\",\"list\":[\"x\","    \
  "{\"name\":\"y\"}],\"vms\":[{\"name\":\"vm1\",\"pause\":9100}],\"hidden\":1}"

static const char *const all[] = { NULL };

START_TEST (rows_as_table_and_values)
{
  static const char *const two[] = { "size", "name", NULL };
  g_autoptr (CsJson) rows = json_tokener_parse ("[" ROW ",{\"name\":\"longer name\"}]");
  g_autofree char *table = cs_output_rows (CS_FORMAT_TABLE, columns, all, rows);
  ck_assert_str_eq (table, "Name            Size  Ratio  OK   List  VMs\n"
                           "a?b          2.0 KiB   2.5x  yes  x, y  vm1\n"
                           "longer name        -      -  -    -     -\n");
  g_autofree char *values = cs_output_rows (CS_FORMAT_VALUE, columns, two, rows);
  ck_assert_str_eq (values, "2048 a?b\n- longer name\n");
}
END_TEST

START_TEST (rows_as_json)
{
  static const char *const two[] = { "size", "more", NULL };
  g_autoptr (CsJson) rows = json_tokener_parse ("[" ROW "]");
  g_autofree char *text = cs_output_rows (CS_FORMAT_JSON, columns, two, rows);
  g_autoptr (CsJson) again = json_tokener_parse (text);
  ck_assert_str_eq (json_object_to_json_string_ext (again, JSON_C_TO_STRING_PLAIN),
                    "[{\"size\":2048,\"more\":\"m\"}]");
}
END_TEST

START_TEST (record_in_each_format)
{
  static const char *const vms[] = { "vms", NULL };
  g_autoptr (CsJson) record = json_tokener_parse (ROW);
  g_autofree char *table = cs_output_record (CS_FORMAT_TABLE, columns, all, record);
  ck_assert_str_eq (table, "Name   a?b\nSize   2.0 KiB\nRatio  2.5x\nOK     yes\nList   x, y\n"
                           "\nVM    Pause\nvm1  9.1 ms\n");
  g_autofree char *values = cs_output_record (CS_FORMAT_VALUE, columns, vms, record);
  ck_assert_str_eq (values, "vm1 9100\n");
  g_autofree char *json = cs_output_record (CS_FORMAT_JSON, columns, vms, record);
  g_autoptr (CsJson) again = json_tokener_parse (json);
  ck_assert_str_eq (json_object_to_json_string_ext (again, JSON_C_TO_STRING_PLAIN),
                    "{\"vms\":[{\"name\":\"vm1\",\"pause\":9100}]}");
}
END_TEST

START_TEST (unknown_columns_are_refused)
{
  static const char *const wanted[] = { "size", "hidden", NULL };
  g_autoptr (GError) error = NULL;
  ck_assert (cs_columns_check (columns, all, NULL) && cs_columns_check (NULL, all, NULL));
  ck_assert (!cs_columns_check (NULL, wanted, NULL));
  ck_assert (!cs_columns_check (columns, wanted, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  ck_assert_ptr_nonnull (strstr (error->message, "'hidden'"));
  ck_assert_ptr_nonnull (strstr (error->message, "ratio"));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cli");
  TCase *tests = tcase_create ("cli");
  tcase_add_test (tests, good_messages);
  tcase_add_loop_test (tests, bad_messages_are_refused, 0, G_N_ELEMENTS (bad_messages));
  tcase_add_test (tests, deep_message_is_refused);
  tcase_add_test (tests, nul_in_message_is_refused);
  tcase_add_test (tests, options_stand_anywhere);
  tcase_add_loop_test (tests, bad_options_are_named, 0, G_N_ELEMENTS (bad_options));
  tcase_add_test (tests, commands_are_found);
  tcase_add_test (tests, formats);
  tcase_add_test (tests, rows_as_table_and_values);
  tcase_add_test (tests, rows_as_json);
  tcase_add_test (tests, record_in_each_format);
  tcase_add_test (tests, unknown_columns_are_refused);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
