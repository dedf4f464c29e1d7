/* How results are printed: JSON objects, as the RPC gave them, shown through a table of columns.
 *
 *   table  for people: sizes and times with units; columns marked `detail` only on request
 *   json   for programs: every column, numbers as in docs/rpc.md
 *   value  for shell scripts: a row per line, or a field per line; numbers as in docs/rpc.md,
 *          "-" for what is not there
 *   dot    a graph for Graphviz, of the one command that has one: not printed here
 */
#ifndef CS_COORD_CLI_OUTPUT_H
#define CS_COORD_CLI_OUTPUT_H

#include "common/json.h"

typedef enum
{
  CS_FORMAT_TABLE,
  CS_FORMAT_JSON,
  CS_FORMAT_VALUE,
  CS_FORMAT_DOT,
} CsFormat;

typedef enum
{
  CS_COLUMN_TEXT,
  CS_COLUMN_COUNT,
  CS_COLUMN_SIZE, /* bytes */
  CS_COLUMN_TIME, /* us */
  CS_COLUMN_RATIO,
  CS_COLUMN_BOOL,
  CS_COLUMN_LIST, /* array of texts or of objects with a name */
  CS_COLUMN_ROWS, /* array of objects: a table of its own */
} CsColumnKind;

typedef struct CsColumn CsColumn;
struct CsColumn
{
  const char *name; /* the JSON member and the name for --column; NULL ends a table */
  const char *title;
  CsColumnKind kind;
  bool detail;             /* in tables only when asked for by --column */
  const CsColumn *columns; /* ROWS: its columns */
};

bool cs_format_from_name (const char *name, CsFormat *format, GError **error);

/* Refuses names in @wanted (NULL-terminated) that are not in @columns (NULL: none at all). */
bool cs_columns_check (const CsColumn *columns, const char *const *wanted, GError **error);

/* The array @rows, or the object @record, as text that ends with a newline (or is empty).  @wanted
 * as above; empty: all. */
char *cs_output_rows (CsFormat format, const CsColumn *columns, const char *const *wanted,
                      json_object *rows);
char *cs_output_record (CsFormat format, const CsColumn *columns, const char *const *wanted,
                        json_object *record);

#endif
