/* The agent's protocol on a socket: qemu-ga(8), QEMU's docs/interop/qemu-ga-ref. */
#include "config.h"

#include "vmm/guest-agent.h"

#include "common/error.h"
#include "common/json.h"
#include "vmm/guest-talk.h"

#include <string.h>

/* An honest answer has some 40 bytes.  Before the sync's answer may come what an older conversation
 * left: a pipe's worth at most. */
#define LINE_MAX_BYTES 4096
#define TOTAL_MAX_BYTES (256 * 1024)
#define DELIMITER 0xff

/* Reads on until the answer to our own sync comes, whatever stands before it. */
static bool
synchronize (CsGuestTalk *talk, GError **error)
{
  gint64 number = g_random_int_range (1, G_MAXINT32);
  g_autofree char *text = g_strdup_printf (
      "%c{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%" G_GINT64_FORMAT "}}\n",
      DELIMITER, number);
  if (!cs_guest_talk_send (talk, text, strlen (text), error))
    return false;
  for (;;)
    {
      if (!cs_guest_talk_read (talk, error))
        return false;
      if (!talk->delimited || talk->line->len >= LINE_MAX_BYTES)
        continue;
      g_autoptr (CsJson) reply = cs_json_parse_object (talk->line->str, talk->line->len, NULL);
      if (reply != NULL && cs_json_uint (reply, "return", 0) == (guint64)number)
        return true;
    }
}

char *
cs_guest_agent_time_command (void)
{
  return g_strdup_printf (
      "{\"execute\":\"guest-set-time\",\"arguments\":{\"time\":%" G_GINT64_FORMAT "}}",
      g_get_real_time () * 1000);
}

bool
cs_guest_agent_check_reply (const char *name, const char *text, gsize length, GError **error)
{
  g_autoptr (CsJson) reply =
      length < LINE_MAX_BYTES ? cs_json_parse_object (text, length, NULL) : NULL;
  json_object *failure = cs_json_member_object (reply, "error");
  json_object *good = NULL;
  if (failure != NULL)
    {
      const char *desc = cs_json_string (failure, "desc");
      g_autofree char *reason = cs_guest_talk_printable (desc != NULL ? desc : "no reason given");
      g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "%s: the guest agent cannot set the time: %s",
                   name, reason);
      return false;
    }
  if (reply != NULL && json_object_object_get_ex (reply, "return", &good))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "%s: what the guest agent answers is no answer of one", name);
  return false;
}

bool
cs_guest_agent_converse (int fd, const char *name, gint64 deadline, GError **error)
{
  g_autoptr (GString) line = g_string_new (NULL);
  CsGuestTalk talk = { .fd = fd,
                       .cancel_fd = -1,
                       .name = name,
                       .who = "the guest agent",
                       .deadline = deadline,
                       .line_max = LINE_MAX_BYTES,
                       .total_max = TOTAL_MAX_BYTES,
                       .line = line,
                       .delimiter = DELIMITER };
  if (!synchronize (&talk, error))
    return false;
  g_autofree char *command = cs_guest_agent_time_command ();
  g_autofree char *text = g_strconcat (command, "\n", NULL);
  return cs_guest_talk_send (&talk, text, strlen (text), error) && cs_guest_talk_read (&talk, error)
         && cs_guest_agent_check_reply (name, line->str, line->len, error);
}
