#include "config.h"

#include "coord/cli-output.h"

#include "common/error.h"
#include "coord/format.h"

#include <string.h>

#define ABSENT "-"

bool
cs_format_from_name (const char *name, CsFormat *format, GError **error)
{
  static const char *const names[] = { "table", "json", "value", "dot" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (name, names[i]) == 0)
      {
        *format = (CsFormat)i;
        return true;
      }
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "unknown format '%s': use table, json or value, "
               "or dot with deps and recover --dry-run",
               name);
  return false;
}

bool
cs_columns_check (const CsColumn *columns, const char *const *wanted, GError **error)
{
  for (; *wanted != NULL; wanted++)
    {
      g_autoptr (GString) known = g_string_new (NULL);
      const CsColumn *column = columns;
      for (; column != NULL && column->name != NULL && strcmp (column->name, *wanted) != 0;
           column++)
        g_string_append_printf (known, "%s%s", known->len > 0 ? ", " : "", column->name);
      if (column != NULL && column->name != NULL)
        continue;
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "unknown column '%s': there %s%s", *wanted,
                   columns != NULL ? "are " : "is none here", known->str);
      return false;
    }
  return true;
}

static json_object *
member_of (json_object *object, const CsColumn *column)
{
  json_object *value = NULL;
  json_object_object_get_ex (object, column->name, &value);
  return value;
}

/* In the order of @wanted, or of the table. */
static GPtrArray *
choose (CsFormat format, const CsColumn *columns, const char *const *wanted)
{
  GPtrArray *chosen = g_ptr_array_new ();
  if (*wanted == NULL)
    for (const CsColumn *column = columns; column->name != NULL; column++)
      if (format == CS_FORMAT_JSON || !column->detail)
        g_ptr_array_add (chosen, (gpointer)column);
  for (; *wanted != NULL; wanted++)
    for (const CsColumn *column = columns; column->name != NULL; column++)
      if (strcmp (column->name, *wanted) == 0)
        g_ptr_array_add (chosen, (gpointer)column);
  return chosen;
}

static char *
list_text (json_object *array)
{
  g_autoptr (GString) text = g_string_new (NULL);
  for (gsize i = 0; i < json_object_array_length (array); i++)
    {
      json_object *item = json_object_array_get_idx (array, i);
      const char *name = cs_json_string (item, "name");
      g_string_append_printf (text, "%s%s", i > 0 ? ", " : "",
                              name != NULL ? name : json_object_get_string (item));
    }
  return cs_format_text (text->str);
}

static char *
human_text (const CsColumn *column, json_object *value)
{
  if (json_object_is_type (value, json_type_int))
    {
      if (column->kind == CS_COLUMN_SIZE)
        return cs_format_size (json_object_get_uint64 (value));
      if (column->kind == CS_COLUMN_TIME)
        return cs_format_time (json_object_get_uint64 (value));
    }
  if (column->kind == CS_COLUMN_RATIO)
    return cs_format_ratio (json_object_get_double (value));
  if (column->kind == CS_COLUMN_BOOL)
    return g_strdup (json_object_get_boolean (value) ? "yes" : "no");
  return cs_format_text (json_object_get_string (value));
}

static char *
cell_text (CsFormat format, const CsColumn *column, json_object *value)
{
  char *text;
  if (value == NULL)
    return g_strdup (ABSENT);
  if (json_object_is_type (value, json_type_array))
    text = list_text (value);
  else if (format == CS_FORMAT_TABLE)
    text = human_text (column, value);
  else
    text = cs_format_text (json_object_get_string (value));
  if (*text != '\0')
    return text;
  g_free (text);
  return g_strdup (ABSENT);
}

static json_object *
filter_json (const GPtrArray *chosen, json_object *object)
{
  json_object *filtered = json_object_new_object ();
  for (guint i = 0; i < chosen->len; i++)
    {
      const CsColumn *column = g_ptr_array_index (chosen, i);
      json_object_object_add (filtered, column->name, json_object_get (member_of (object, column)));
    }
  return filtered;
}

static char *
json_text (json_object *value)
{
  return g_strconcat (json_object_to_json_string_ext (value, JSON_C_TO_STRING_PRETTY
                                                                 | JSON_C_TO_STRING_SPACED
                                                                 | JSON_C_TO_STRING_NOSLASHESCAPE),
                      "\n", NULL);
}

static bool
is_number (const CsColumn *column)
{
  return column->kind == CS_COLUMN_COUNT || column->kind == CS_COLUMN_SIZE
         || column->kind == CS_COLUMN_TIME || column->kind == CS_COLUMN_RATIO;
}

static void
append_padded (GString *out, const char *text, gsize width, bool right)
{
  gsize length = (gsize)g_utf8_strlen (text, -1);
  g_autofree char *padding = g_strnfill (width > length ? width - length : 0, ' ');
  g_string_append (out, right ? padding : text);
  g_string_append (out, right ? text : padding);
}

/* @cells: rows of columns->len texts, the first row the titles. */
static void
append_grid (GString *out, const GPtrArray *columns, const GPtrArray *cells)
{
  g_autofree gsize *widths = g_new0 (gsize, columns->len + 1);
  for (guint i = 0; i < cells->len; i++)
    widths[i % columns->len] =
        MAX (widths[i % columns->len], (gsize)g_utf8_strlen (g_ptr_array_index (cells, i), -1));
  for (guint i = 0; i < cells->len; i++)
    {
      guint k = i % columns->len;
      append_padded (out, g_ptr_array_index (cells, i), widths[k],
                     is_number (g_ptr_array_index (columns, k)));
      g_string_append (out, k + 1 < columns->len ? "  " : "\n");
    }
}

/* Padding behind a line's last cell is of no use. */
static char *
trim_lines (GString *text)
{
  GString *trimmed = g_string_new (NULL);
  g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    if (line[1] != NULL)
      g_string_append_printf (trimmed, "%s\n", g_strchomp (*line));
  g_string_free (text, TRUE);
  return g_string_free (trimmed, FALSE);
}

static char *
rows_table (const GPtrArray *chosen, json_object *rows)
{
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);
  for (guint k = 0; k < chosen->len; k++)
    g_ptr_array_add (cells, g_strdup (((const CsColumn *)g_ptr_array_index (chosen, k))->title));
  for (gsize i = 0; i < json_object_array_length (rows); i++)
    for (guint k = 0; k < chosen->len; k++)
      {
        const CsColumn *column = g_ptr_array_index (chosen, k);
        json_object *row = json_object_array_get_idx (rows, i);
        g_ptr_array_add (cells, cell_text (CS_FORMAT_TABLE, column, member_of (row, column)));
      }
  GString *out = g_string_new (NULL);
  append_grid (out, chosen, cells);
  return trim_lines (out);
}

static char *
rows_values (const GPtrArray *chosen, json_object *rows)
{
  GString *out = g_string_new (NULL);
  for (gsize i = 0; i < json_object_array_length (rows); i++)
    for (guint k = 0; k < chosen->len; k++)
      {
        const CsColumn *column = g_ptr_array_index (chosen, k);
        json_object *row = json_object_array_get_idx (rows, i);
        g_autofree char *text = cell_text (CS_FORMAT_VALUE, column, member_of (row, column));
        g_string_append_printf (out, "%s%s", text, k + 1 < chosen->len ? " " : "\n");
      }
  return g_string_free (out, FALSE);
}

static char *
rows_json (const GPtrArray *chosen, json_object *rows)
{
  g_autoptr (CsJson) filtered = json_object_new_array ();
  for (gsize i = 0; i < json_object_array_length (rows); i++)
    json_object_array_add (filtered, filter_json (chosen, json_object_array_get_idx (rows, i)));
  return json_text (filtered);
}

char *
cs_output_rows (CsFormat format, const CsColumn *columns, const char *const *wanted,
                json_object *rows)
{
  g_autoptr (GPtrArray) chosen = choose (format, columns, wanted);
  if (format == CS_FORMAT_JSON)
    return rows_json (chosen, rows);
  return format == CS_FORMAT_TABLE ? rows_table (chosen, rows) : rows_values (chosen, rows);
}

static char *
record_values (const GPtrArray *chosen, json_object *record)
{
  static const char *const all[] = { NULL };
  GString *out = g_string_new (NULL);
  for (guint k = 0; k < chosen->len; k++)
    {
      const CsColumn *column = g_ptr_array_index (chosen, k);
      json_object *value = member_of (record, column);
      g_autofree char *text = column->kind == CS_COLUMN_ROWS && value != NULL
                                  ? cs_output_rows (CS_FORMAT_VALUE, column->columns, all, value)
                                  : cell_text (CS_FORMAT_VALUE, column, value);
      g_string_append_printf (out, "%s%s", text,
                              column->kind == CS_COLUMN_ROWS && value != NULL ? "" : "\n");
    }
  return g_string_free (out, FALSE);
}

/* Field and value, then the tables within. */
static char *
record_table (const GPtrArray *chosen, json_object *record)
{
  static const char *const all[] = { NULL };
  static const CsColumn field = { "field", "Field", CS_COLUMN_TEXT };
  g_autoptr (GPtrArray) columns = g_ptr_array_new ();
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GString) tables = g_string_new (NULL);
  g_ptr_array_add (columns, (gpointer)&field);
  g_ptr_array_add (columns, (gpointer)&field);
  for (guint k = 0; k < chosen->len; k++)
    {
      const CsColumn *column = g_ptr_array_index (chosen, k);
      json_object *value = member_of (record, column);
      if (column->kind == CS_COLUMN_ROWS && json_object_is_type (value, json_type_array))
        {
          g_autofree char *rows = cs_output_rows (CS_FORMAT_TABLE, column->columns, all, value);
          g_string_append_printf (tables, "%s%s", tables->len > 0 || cells->len > 0 ? "\n" : "",
                                  rows);
        }
      else if (value != NULL)
        {
          g_ptr_array_add (cells, g_strdup (column->title));
          g_ptr_array_add (cells, cell_text (CS_FORMAT_TABLE, column, value));
        }
    }
  GString *out = g_string_new (NULL);
  append_grid (out, columns, cells);
  g_string_append (out, tables->str);
  return trim_lines (out);
}

char *
cs_output_record (CsFormat format, const CsColumn *columns, const char *const *wanted,
                  json_object *record)
{
  g_autoptr (GPtrArray) chosen = choose (format, columns, wanted);
  if (format == CS_FORMAT_TABLE)
    return record_table (chosen, record);
  if (format == CS_FORMAT_VALUE)
    return record_values (chosen, record);
  g_autoptr (CsJson) filtered = filter_json (chosen, record);
  return json_text (filtered);
}
