/* The QMP parser on any bytes: cut into pieces (of the first byte's size) they must give the same
 * messages as whole, and what comes out must be objects. */
#include "config.h"

#include "vmm/qmp-parser.h"

#define LINE_MAX_BYTES 4096

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/* All messages, one per line; "!" at the end when the stream was refused. */
static char *
parse (const char *data, gsize size, gsize piece)
{
  g_autoptr (CsQmpParser) parser = cs_qmp_parser_new (LINE_MAX_BYTES);
  GString *out = g_string_new (NULL);
  bool good = true;
  for (gsize at = 0; good && at < size; at += piece)
    good = cs_qmp_parser_feed (parser, data + at, MIN (piece, size - at), NULL);
  json_object *message;
  while ((message = cs_qmp_parser_next (parser)) != NULL)
    {
      g_assert (json_object_is_type (message, json_type_object));
      g_string_append_printf (out, "%s\n", json_object_to_json_string (message));
      json_object_put (message);
    }
  if (!good)
    {
      g_assert (!cs_qmp_parser_feed (parser, "{}\n", 3, NULL));
      g_string_append_c (out, '!');
    }
  return g_string_free (out, FALSE);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  if (size < 1)
    return 0;
  g_autofree char *whole = parse ((const char *)data + 1, size - 1, size);
  g_autofree char *pieces = parse ((const char *)data + 1, size - 1, data[0] + 1u);
  g_assert_cmpstr (whole, ==, pieces);
  return 0;
}
