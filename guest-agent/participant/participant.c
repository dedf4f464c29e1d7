/* libclusnap-participant.  What it waits for: connecting, and sending (a second at most: an agent
 * that takes nothing for so long counts as gone). */
#include "config.h"

#include "guest-agent/participant/participant.h"

#include "guest-agent/participant/protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct CsParticipant
{
  int fd;
  const CsParticipantHandlers *handlers;
  void *data;
  CsParticipantIdentity identity;
  uint64_t preparing; /* id of the question that is not answered yet; 0: none */
  CsLineBuffer buffer;
  char lines[2 * CS_PARTICIPANT_LINE];
  CsParticipantDependency dependencies[CS_PARTICIPANT_VMS];
};

/* ---- sending ---- */

static int
send_all (CsParticipant *participant, const char *data, size_t length)
{
  while (length > 0)
    {
      ssize_t n = send (participant->fd, data, length, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return -1;
      data += n;
      length -= (size_t)n;
    }
  return 0;
}

static int
send_message (CsParticipant *participant, const CsParticipantMessage *message)
{
  char line[CS_PARTICIPANT_LINE + 1];
  return send_all (participant, line, cs_participant_message_format (message, line));
}

static void
copy_string (char *to, size_t size, const char *from)
{
  size_t length = strnlen (from, size - 1);
  memcpy (to, from, length);
  to[length] = '\0';
}

int
cs_participant_ready (CsParticipant *participant, const char *reason)
{
  CsParticipantMessage message = { .verb =
                                       reason != NULL ? CS_PARTICIPANT_VETO : CS_PARTICIPANT_READY,
                                   .id = participant->preparing };
  if (participant->preparing == 0)
    return 0; /* resumed meanwhile */
  participant->preparing = 0;
  copy_string (message.text, sizeof message.text, reason != NULL ? reason : "");
  return send_message (participant, &message);
}

/* ---- the agent's questions ---- */

static int
prepare (CsParticipant *participant, const CsParticipantMessage *question)
{
  char reason[CS_PARTICIPANT_REASON] = "";
  unsigned deadline = question->number < 0x7fffffff ? (unsigned)question->number : 0x7fffffff;
  participant->preparing = question->id;
  if (participant->handlers->prepare (participant->data, deadline, reason))
    return cs_participant_ready (participant, NULL);
  reason[sizeof reason - 1] = '\0';
  return reason[0] != '\0' ? cs_participant_ready (participant, reason) : 0;
}

static int
answer_dependencies (CsParticipant *participant, uint64_t id)
{
  CsParticipantMessage message = { .verb = CS_PARTICIPANT_DEPENDS, .id = id };
  size_t n = 0;
  if (participant->handlers->dependencies != NULL)
    n = participant->handlers->dependencies (participant->data, participant->dependencies,
                                             CS_PARTICIPANT_VMS);
  for (size_t i = 0; i < n && i < CS_PARTICIPANT_VMS; i++)
    {
      const CsParticipantDependency *one = &participant->dependencies[i];
      if (!cs_participant_name_is_good (one->vm))
        continue;
      message.identity.interval = one->interval;
      memcpy (message.identity.vm, one->vm, sizeof message.identity.vm);
      if (send_message (participant, &message) < 0)
        return -1;
    }
  message.verb = CS_PARTICIPANT_END;
  return send_message (participant, &message);
}

static int
handle (CsParticipant *participant, const CsParticipantMessage *message)
{
  switch (message->verb)
    {
    case CS_PARTICIPANT_WELCOME:
      participant->identity = message->identity;
      return 0;
    case CS_PARTICIPANT_PREPARE:
      return prepare (participant, message);
    case CS_PARTICIPANT_RESUME:
      participant->preparing = 0;
      participant->identity = message->identity;
      participant->handlers->resume (participant->data, &participant->identity,
                                     message->number != 0);
      return 0;
    case CS_PARTICIPANT_DEPENDENCIES:
      return answer_dependencies (participant, message->id);
    default:
      errno = EPROTO;
      return -1;
    }
}

static int
handle_lines (CsParticipant *participant)
{
  const char *line;
  size_t length;
  CsParticipantMessage message;
  while (cs_line_buffer_next (&participant->buffer, &line, &length))
    {
      if (!cs_participant_message_parse (line, length, &message))
        {
          errno = EPROTO;
          return -1;
        }
      if (handle (participant, &message) < 0)
        return -1;
    }
  return 0;
}

int
cs_participant_dispatch (CsParticipant *participant)
{
  for (;;)
    {
      size_t room;
      char *space = cs_line_buffer_space (&participant->buffer, &room);
      if (room == 0)
        {
          errno = EPROTO;
          return -1;
        }
      ssize_t n = recv (participant->fd, space, room, MSG_DONTWAIT);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
      if (n == 0)
        {
          errno = ECONNRESET;
          return -1;
        }
      cs_line_buffer_add (&participant->buffer, (size_t)n);
      if (handle_lines (participant) < 0)
        return -1;
    }
}

/* ---- opening ---- */

static int
connect_to (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  const struct timeval limit = { .tv_sec = 1 };
  if (strlen (path) >= sizeof address.sun_path)
    {
      errno = ENAMETOOLONG;
      return -1;
    }
  memcpy (address.sun_path, path, strlen (path));
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  if (setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0
      && connect (fd, (struct sockaddr *)&address, sizeof address) == 0)
    return fd;
  int saved = errno;
  close (fd);
  errno = saved;
  return -1;
}

CsParticipant *
cs_participant_open (const char *path, const char *name, const CsParticipantHandlers *handlers,
                     void *data)
{
  CsParticipantMessage hello = { .verb = CS_PARTICIPANT_HELLO, .number = CS_PARTICIPANT_VERSION };
  if (!cs_participant_name_is_good (name))
    {
      errno = EINVAL;
      return NULL;
    }
  CsParticipant *participant = calloc (1, sizeof *participant);
  if (participant == NULL)
    return NULL;
  participant->handlers = handlers;
  participant->data = data;
  participant->buffer.data = participant->lines;
  participant->buffer.size = sizeof participant->lines;
  copy_string (hello.text, sizeof hello.text, name);
  participant->fd = connect_to (path != NULL ? path : CS_PARTICIPANT_SOCKET);
  if (participant->fd >= 0 && send_message (participant, &hello) == 0)
    return participant;
  int saved = errno;
  cs_participant_close (participant);
  errno = saved;
  return NULL;
}

void
cs_participant_close (CsParticipant *participant)
{
  if (participant == NULL)
    return;
  if (participant->fd >= 0)
    close (participant->fd);
  free (participant);
}

int
cs_participant_fd (const CsParticipant *participant)
{
  return participant->fd;
}

const CsParticipantIdentity *
cs_participant_identity (const CsParticipant *participant)
{
  return &participant->identity;
}
