/* The participants' socket.  Who connects is root in the guest; bounded all the same. */
#include "config.h"

#include "guest-agent/agent/agent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

bool
agent_registry_open (Registry *registry, const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  registry->path = path;
  registry->fd = -1;
  if (strlen (path) >= sizeof address.sun_path)
    {
      errno = ENAMETOOLONG;
      return false;
    }
  memcpy (address.sun_path, path, strlen (path));
  unlink (path);
  registry->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  mode_t old = umask (0177);
  bool bound =
      registry->fd >= 0 && bind (registry->fd, (struct sockaddr *)&address, sizeof address) == 0;
  umask (old);
  return bound && listen (registry->fd, 16) == 0;
}

void
agent_registry_close (Registry *registry)
{
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    if (registry->members[i].state != MEMBER_FREE)
      close (registry->members[i].fd);
  if (registry->fd >= 0)
    close (registry->fd);
  unlink (registry->path);
}

static void
drop (Member *member, const char *why)
{
  agent_log ("participant '%s' %s", member->name[0] ? member->name : "?", why);
  close (member->fd);
  member->state = MEMBER_FREE;
  member->telling = false;
}

/* Never waits: a participant that does not read is none. */
static void
send_message (Member *member, const CsParticipantMessage *message)
{
  char line[CS_PARTICIPANT_LINE + 1];
  size_t length = cs_participant_message_format (message, line);
  if (send (member->fd, line, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length)
    drop (member, "does not read");
}

/* False when nobody waits to be accepted any more. */
static bool
accept_one (Registry *registry)
{
  int fd = accept4 (registry->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0)
    return false;
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    {
      Member *member = &registry->members[i];
      if (member->state != MEMBER_FREE)
        continue;
      memset (member, 0, sizeof *member);
      member->state = MEMBER_NEW;
      member->fd = fd;
      member->in.data = member->lines;
      member->in.size = sizeof member->lines;
      return true;
    }
  agent_log ("there are %d participants already: one more is turned away", AGENT_PARTICIPANTS);
  close (fd);
  return true;
}

static void
ask (const Registry *registry, Member *member)
{
  CsParticipantMessage message = { .verb = CS_PARTICIPANT_PREPARE,
                                   .id = registry->question,
                                   .number = (uint64_t)registry->deadline };
  member->state = MEMBER_ASKED;
  send_message (member, &message);
}

/* ---- what participants say ---- */

static bool
take_hello (Registry *registry, Member *member, const CsParticipantMessage *message)
{
  CsParticipantMessage welcome = { .verb = CS_PARTICIPANT_WELCOME,
                                   .number = CS_PARTICIPANT_VERSION,
                                   .identity = registry->identity };
  if (member->state != MEMBER_NEW || message->number < 1)
    return false;
  snprintf (member->name, sizeof member->name, "%.*s", CS_PARTICIPANT_NAME - 1, message->text);
  member->state = MEMBER_RUNNING;
  send_message (member, &welcome);
  if (registry->asks && member->state == MEMBER_RUNNING)
    ask (registry, member);
  return true;
}

static void
take_answer (Registry *registry, Member *member, const char *veto)
{
  if (member->state != MEMBER_ASKED)
    return;
  member->state = MEMBER_READY;
  if (veto != NULL && registry->veto[0] == '\0')
    snprintf (registry->veto, sizeof registry->veto, "participant '%.63s': %.*s", member->name,
              CS_PARTICIPANT_REASON - 1, veto[0] != '\0' ? veto : "no reason given");
}

/* The latest interval of each VM counts. */
static void
take_dependency (Registry *registry, const CsParticipantIdentity *on)
{
  size_t i = 0;
  while (i < registry->n_dependencies && strcmp (registry->dependencies[i].vm, on->vm) != 0)
    i++;
  if (i == CS_PARTICIPANT_VMS)
    {
      registry->too_many = true;
      return;
    }
  CsParticipantDependency *one = &registry->dependencies[i];
  if (i == registry->n_dependencies)
    {
      memcpy (one->vm, on->vm, sizeof one->vm);
      one->interval = on->interval;
      registry->n_dependencies++;
    }
  else if (on->interval > one->interval)
    one->interval = on->interval;
}

static bool
take_message (Registry *registry, Member *member, const CsParticipantMessage *message)
{
  bool in_force = message->id == registry->question;
  if (member->state == MEMBER_NEW && message->verb != CS_PARTICIPANT_HELLO)
    return false;
  switch (message->verb)
    {
    case CS_PARTICIPANT_HELLO:
      return take_hello (registry, member, message);
    case CS_PARTICIPANT_READY:
    case CS_PARTICIPANT_VETO:
      if (in_force)
        take_answer (registry, member, message->verb == CS_PARTICIPANT_VETO ? message->text : NULL);
      return true;
    case CS_PARTICIPANT_DEPENDS:
      if (in_force && member->telling && message->identity.vm[0] != '\0')
        take_dependency (registry, &message->identity);
      return true;
    case CS_PARTICIPANT_END:
      if (in_force)
        member->telling = false;
      return true;
    default:
      return false;
    }
}

static void
receive (Registry *registry, Member *member)
{
  size_t room, length;
  const char *line;
  CsParticipantMessage message;
  char *space = cs_line_buffer_space (&member->in, &room);
  ssize_t n = room > 0 ? recv (member->fd, space, room, MSG_DONTWAIT) : -1;
  if (n < 0 && room > 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0)
    {
      drop (member, n == 0 ? "left" : room == 0 ? "sends lines that are too long" : "is gone");
      return;
    }
  cs_line_buffer_add (&member->in, (size_t)n);
  while (member->state != MEMBER_FREE && cs_line_buffer_next (&member->in, &line, &length))
    if (!cs_participant_message_parse (line, length, &message)
        || !take_message (registry, member, &message))
      {
        drop (member, "does not speak the protocol");
        return;
      }
}

/* ---- polling ---- */

void
agent_registry_poll (const Registry *registry, struct pollfd *entries)
{
  entries[0] = (struct pollfd){ .fd = registry->fd, .events = POLLIN };
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    {
      const Member *member = &registry->members[i];
      entries[i + 1] =
          (struct pollfd){ .fd = member->state != MEMBER_FREE ? member->fd : -1, .events = POLLIN };
    }
}

/* Who has just come is heard at once: a hello that was sent before a request of the host's counts.
 */
void
agent_registry_work (Registry *registry, const struct pollfd *entries)
{
  for (int n = 0; entries[0].revents != 0 && n < AGENT_PARTICIPANTS && accept_one (registry); n++)
    ;
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    {
      Member *member = &registry->members[i];
      if (member->state == MEMBER_NEW
          || (member->state != MEMBER_FREE && entries[i + 1].revents != 0))
        receive (registry, member);
    }
}

/* ---- what they are told ---- */

static void
tell_all (Registry *registry, const CsParticipantMessage *message)
{
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    if (registry->members[i].state >= MEMBER_RUNNING)
      send_message (&registry->members[i], message);
}

size_t
agent_registry_count (const Registry *registry, MemberState least)
{
  size_t n = 0;
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    n += registry->members[i].state >= least;
  return n;
}

void
agent_registry_prepare (Registry *registry, int64_t deadline)
{
  registry->veto[0] = '\0';
  registry->asks = true;
  registry->deadline = deadline;
  registry->question++;
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    if (registry->members[i].state >= MEMBER_RUNNING)
      ask (registry, &registry->members[i]);
}

const char *
agent_registry_waits_for (const Registry *registry)
{
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    if (registry->members[i].state == MEMBER_ASKED)
      return registry->members[i].name;
  return NULL;
}

void
agent_registry_resume (Registry *registry, bool restored)
{
  CsParticipantMessage message = { .verb = CS_PARTICIPANT_RESUME,
                                   .number = restored,
                                   .identity = registry->identity };
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    {
      Member *member = &registry->members[i];
      bool told = member->state >= MEMBER_ASKED || (restored && member->state == MEMBER_RUNNING);
      if (!told)
        continue;
      member->state = MEMBER_RUNNING;
      send_message (member, &message);
    }
  registry->asks = false;
  registry->question++;
}

void
agent_registry_ask_dependencies (Registry *registry)
{
  CsParticipantMessage message = { .verb = CS_PARTICIPANT_DEPENDENCIES,
                                   .id = ++registry->question };
  registry->n_dependencies = 0;
  registry->too_many = false;
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    registry->members[i].telling = registry->members[i].state >= MEMBER_RUNNING;
  tell_all (registry, &message);
}

const char *
agent_registry_tells (const Registry *registry)
{
  for (int i = 0; i < AGENT_PARTICIPANTS; i++)
    if (registry->members[i].state != MEMBER_FREE && registry->members[i].telling)
      return registry->members[i].name;
  return NULL;
}

void
agent_registry_set_identity (Registry *registry, const CsParticipantIdentity *identity)
{
  CsParticipantMessage message = { .verb = CS_PARTICIPANT_WELCOME,
                                   .number = CS_PARTICIPANT_VERSION,
                                   .identity = *identity };
  bool same = strcmp (registry->identity.vm, identity->vm) == 0
              && registry->identity.interval == identity->interval;
  registry->identity = *identity;
  if (!same)
    tell_all (registry, &message);
}
