/* A recovery's plan as a graph: the VMs with what is done with them, and for each that goes back
 * for another one's sake an arrow from that one. */
#include "config.h"

#include "coord/cli-recover-graph.h"

#include "coord/cli-dot.h"
#include "coord/format.h"

static const char *
style_of (CsRecoverAction action)
{
  switch (action)
    {
    case CS_RECOVER_START:
      return "\"dashed,filled\"";
    case CS_RECOVER_ROLL_BACK:
      return "filled";
    case CS_RECOVER_LOST:
      return "\"dashed,bold\"";
    case CS_RECOVER_KEEP:
    default:
      return "solid";
    }
}

static void
append_vm (GString *dot, json_object *row, CsRecoverAction action)
{
  g_autoptr (GString) label = g_string_new (cs_json_string (row, "name"));
  const char *snapshot = cs_json_string (row, "snapshot");
  json_object *lost = NULL;
  g_string_append_printf (label, "\n%s", cs_json_string (row, "action"));
  if (snapshot != NULL)
    g_string_append_printf (label, " %s %s", action == CS_RECOVER_START ? "from" : "to", snapshot);
  if (json_object_object_get_ex (row, "lost", &lost))
    {
      g_autofree char *time = cs_format_time (json_object_get_uint64 (lost));
      g_string_append_printf (label, "\n%s lost", time);
    }
  if (action != CS_RECOVER_KEEP && cs_json_member_object (row, "because") == NULL)
    g_string_append_printf (label, "\n%s", cs_json_string (row, "reason"));
  g_string_append (dot, "  ");
  cs_dot_append_text (dot, cs_json_string (row, "name"));
  g_string_append (dot, " [label=");
  cs_dot_append_text (dot, label->str);
  g_string_append_printf (dot, ", style=%s];\n", style_of (action));
}

static void
append_cause (GString *dot, json_object *row)
{
  json_object *because = cs_json_member_object (row, "because");
  if (because == NULL)
    return;
  const char *sources = cs_json_string (because, "sources");
  g_autofree char *label =
      g_strdup_printf ("interval %" G_GUINT64_FORMAT "%s%s", cs_json_uint (because, "interval", 0),
                       sources != NULL && *sources != '\0' ? "\n" : "", sources ? sources : "");
  g_string_append (dot, "  ");
  cs_dot_append_text (dot, cs_json_string (because, "vm"));
  g_string_append (dot, " -> ");
  cs_dot_append_text (dot, cs_json_string (row, "name"));
  g_string_append (dot, " [label=");
  cs_dot_append_text (dot, label);
  g_string_append (dot, "];\n");
}

GString *
cs_recover_graph (const char *cluster, const CsRecoverPlan *plan, gint64 now)
{
  g_autoptr (CsJson) rows = cs_recover_plan_rows (plan, now);
  GString *dot = g_string_new ("digraph ");
  cs_dot_append_text (dot, cluster);
  g_string_append (dot, " {\n");
  for (gsize i = 0; i < json_object_array_length (rows); i++)
    append_vm (dot, json_object_array_get_idx (rows, i), cs_recover_plan_action (plan, (guint)i));
  for (gsize i = 0; i < json_object_array_length (rows); i++)
    append_cause (dot, json_object_array_get_idx (rows, i));
  g_string_append (dot, "}\n");
  return dot;
}
