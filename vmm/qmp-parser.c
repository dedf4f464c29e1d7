#include "config.h"

#include "vmm/qmp-parser.h"

#include "common/error.h"

#include <string.h>

/* QEMU's own limit on nesting is 1024; a backing chain nests once per image. */
#define DEPTH_MAX 1024
/* What is kept allocated between lines. */
#define KEEP_MAX (1u << 20)

/* A line is collected whole: json_tokener can be fed in pieces, but then takes a character of
 * several bytes that a piece ends in for bad UTF-8. */
struct CsQmpParser
{
  gsize line_max;
  json_tokener *tokener;
  GByteArray *line;
  GQueue messages; /* of json_object */
  bool failed;
};

static void
put_object (void *object)
{
  json_object_put (object);
}

CsQmpParser *
cs_qmp_parser_new (gsize line_max)
{
  g_assert (line_max < G_MAXINT); /* json_tokener counts in int */
  CsQmpParser *parser = g_new0 (CsQmpParser, 1);
  parser->line_max = line_max;
  parser->tokener = json_tokener_new_ex (DEPTH_MAX);
  json_tokener_set_flags (parser->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
  parser->line = g_byte_array_new ();
  g_queue_init (&parser->messages);
  return parser;
}

void
cs_qmp_parser_free (CsQmpParser *parser)
{
  if (parser == NULL)
    return;
  g_queue_clear_full (&parser->messages, put_object);
  g_byte_array_unref (parser->line);
  json_tokener_free (parser->tokener);
  g_free (parser);
}

static bool
fail (CsQmpParser *parser, const char *reason, GError **error)
{
  parser->failed = true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID, "this is not QMP: %s", reason);
  return false;
}

static bool
is_blank (const GByteArray *line)
{
  for (guint i = 0; i < line->len; i++)
    if (strchr (" \t\r", line->data[i]) == NULL)
      return false;
  return true;
}

static bool
parse_line (CsQmpParser *parser, GError **error)
{
  const GByteArray *line = parser->line;
  if (memchr (line->data, '\0', line->len) != NULL)
    return fail (parser, "there is a NUL byte", error);
  if (is_blank (line))
    return true;
  json_tokener_reset (parser->tokener);
  json_object *object =
      json_tokener_parse_ex (parser->tokener, (const char *)line->data, (int)line->len);
  enum json_tokener_error result = json_tokener_get_error (parser->tokener);
  if (result == json_tokener_continue)
    return fail (parser, "a line ends inside an object", error);
  if (result != json_tokener_success)
    return fail (parser, json_tokener_error_desc (result), error);
  if (!json_object_is_type (object, json_type_object))
    {
      json_object_put (object);
      return fail (parser, "a line is not an object", error);
    }
  g_queue_push_tail (&parser->messages, object);
  return true;
}

static bool
end_line (CsQmpParser *parser, GError **error)
{
  if (parser->line->len > 0 && !parse_line (parser, error))
    return false;
  if (parser->line->len > KEEP_MAX)
    {
      g_byte_array_unref (parser->line);
      parser->line = g_byte_array_new ();
    }
  g_byte_array_set_size (parser->line, 0);
  return true;
}

bool
cs_qmp_parser_feed (CsQmpParser *parser, const char *data, gsize length, GError **error)
{
  if (parser->failed)
    return fail (parser, "an earlier line was broken", error);
  while (length > 0)
    {
      const char *newline = memchr (data, '\n', length);
      gsize piece = newline != NULL ? (gsize)(newline - data) : length;
      if (piece > parser->line_max - parser->line->len)
        return fail (parser, "a line is too long", error);
      g_byte_array_append (parser->line, (const guint8 *)data, (guint)piece);
      if (newline == NULL)
        return true;
      if (!end_line (parser, error))
        return false;
      data += piece + 1;
      length -= piece + 1;
    }
  return true;
}

json_object *
cs_qmp_parser_next (CsQmpParser *parser)
{
  return g_queue_pop_head (&parser->messages);
}
