#include "config.h"

#include "tests/unit/agent-double.h"

#include <glib.h>
#include <string.h>
#include <sys/socket.h>

void
agent_double_say (int fd, const char *format, const char *id)
{
  g_auto (GStrv) parts = g_strsplit (format ? format : "", "%s", -1);
  g_autofree char *text = g_strjoinv (id, parts);
  for (gsize at = 0, length = strlen (text); at < length;)
    {
      ssize_t n = send (fd, text + at, length - at, MSG_NOSIGNAL);
      if (n <= 0)
        return;
      at += (gsize)n;
    }
}
