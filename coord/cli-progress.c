#include "config.h"

#include "coord/cli-progress.h"

#include "coord/format.h"

#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

struct CsProgress
{
  bool enabled;
  bool terminal;
  char *line; /* the stage's, NULL before the first */
  bool open;  /* the terminal's line is not ended yet */
  gint64 began;
};

CsProgress *
cs_progress_new (bool enabled)
{
  CsProgress *progress = g_new0 (CsProgress, 1);
  progress->enabled = enabled;
  progress->terminal = isatty (STDERR_FILENO) == 1;
  return progress;
}

static void
end_line (CsProgress *progress)
{
  if (!progress->open)
    return;
  progress->open = false;
  if (progress->line == NULL)
    {
      g_printerr (CLEAR_LINE);
      return;
    }
  g_autofree char *took = cs_format_time ((guint64)(g_get_monotonic_time () - progress->began));
  g_printerr (CLEAR_LINE "%s (%s)\n", progress->line, took);
}

void
cs_progress_free (CsProgress *progress)
{
  if (progress == NULL)
    return;
  end_line (progress);
  g_free (progress->line);
  g_free (progress);
}

void
cs_progress_stage (CsProgress *progress, guint stage, guint count, const char *name,
                   const char *sentence)
{
  if (!progress->enabled)
    return;
  end_line (progress);
  g_free (progress->line);
  progress->line = g_strdup_printf ("[%u/%u] %s: %s", stage + 1, count, name, sentence);
  progress->began = g_get_monotonic_time ();
  progress->open = progress->terminal;
  g_printerr ("%s%s", progress->line, progress->terminal ? "" : "\n");
}

void
cs_progress_event (json_object *event, void *data)
{
  CsProgress *progress = data;
  if (!progress->enabled || !progress->terminal)
    return;
  const char *vm = cs_json_string (event, "vm");
  const char *text = cs_json_string (event, "text");
  guint64 done = cs_json_uint (event, "done", 0);
  guint64 total = cs_json_uint (event, "total", 0);
  g_autoptr (GString) detail = g_string_new (vm != NULL ? vm : "");
  if (text != NULL)
    g_string_append_printf (detail, "%s%s", detail->len > 0 ? ": " : "", text);
  if (total > 0)
    g_string_append_printf (detail, " %u%%",
                            (guint)(100.0 * (double)MIN (done, total) / (double)total));
  g_autofree char *clean = cs_format_text (detail->str);
  /* A line that wraps could not be rewritten. */
  g_autofree char *cut = g_utf8_substring (clean, 0, MIN (g_utf8_strlen (clean, -1), 40));
  g_printerr (CLEAR_LINE "%.60s  %s", progress->line != NULL ? progress->line : "", cut);
  progress->open = true;
}
