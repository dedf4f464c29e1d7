/* Graphs for Graphviz, in its language DOT. */
#ifndef CS_COORD_CLI_DOT_H
#define CS_COORD_CLI_DOT_H

#include <glib.h>
#include <stdbool.h>

/* Appends @text in quotation marks, as a name or a label; NULL is empty.  A newline breaks the line
 * of a label. */
void cs_dot_append_text (GString *dot, const char *text);

/* To the standard output. */
bool cs_dot_print (const GString *dot, GError **error);

#endif
