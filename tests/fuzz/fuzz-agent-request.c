/* The agent's own parsers on any bytes: the host's requests, and the participants' lines. */
#include "config.h"

#include "guest-agent/agent/agent.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const unsigned char *data, size_t size);

static void
check_request (const char *text, size_t size)
{
  AgentRequest request;
  const char *reason = NULL;
  if (!agent_request_parse (text, size, &request, &reason))
    {
      assert (reason != NULL);
      return;
    }
  assert (request.id != 0 && request.deadline >= 0 && request.deadline <= CS_AGENT_HOLD_MAX);
  assert (request.hold >= 0 && request.hold <= CS_AGENT_HOLD_MAX);
  assert (!request.has_identity || cs_participant_name_is_good (request.identity.vm));
}

/* What is understood can be written, and is understood then as the same. */
static void
check_message (const char *line, size_t length)
{
  CsParticipantMessage message, again;
  char text[CS_PARTICIPANT_LINE + 1];
  if (!cs_participant_message_parse (line, length, &message))
    return;
  size_t n = cs_participant_message_format (&message, text);
  assert (n > 0 && n <= CS_PARTICIPANT_LINE && text[n - 1] == '\n');
  bool understood = cs_participant_message_parse (text, n - 1, &again);
  assert (understood && memcmp (&message, &again, sizeof message) == 0);
}

int
LLVMFuzzerTestOneInput (const unsigned char *data, size_t size)
{
  char lines[2 * CS_PARTICIPANT_LINE];
  CsLineBuffer buffer = { .data = lines, .size = sizeof lines };
  const char *line;
  size_t length;
  check_request ((const char *)data, size);
  check_message ((const char *)data, size);
  for (size_t at = 0; at < size;)
    {
      size_t room;
      char *space = cs_line_buffer_space (&buffer, &room);
      size_t n = size - at < room ? size - at : room;
      if (n == 0)
        break;
      memcpy (space, data + at, n);
      cs_line_buffer_add (&buffer, n);
      at += n;
      while (cs_line_buffer_next (&buffer, &line, &length))
        check_message (line, length);
    }
  return 0;
}
