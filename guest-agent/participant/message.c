#include "config.h"

#include "guest-agent/participant/protocol.h"

#include <stdio.h>
#include <string.h>

/* What a verb's line holds, in this order; each part but the verb is optional. */
static const struct
{
  const char *verb;
  bool id, number, identity, text;
} verbs[] = {
  [CS_PARTICIPANT_HELLO] = { "hello", .number = true, .text = true },
  [CS_PARTICIPANT_WELCOME] = { "welcome", .number = true, .identity = true },
  [CS_PARTICIPANT_PREPARE] = { "prepare", .id = true, .number = true },
  [CS_PARTICIPANT_READY] = { "ready", .id = true },
  [CS_PARTICIPANT_VETO] = { "veto", .id = true, .text = true },
  [CS_PARTICIPANT_RESUME] = { "resume", .number = true, .identity = true },
  [CS_PARTICIPANT_DEPENDENCIES] = { "dependencies", .id = true },
  [CS_PARTICIPANT_DEPENDS] = { "depends", .id = true, .identity = true },
  [CS_PARTICIPANT_END] = { "end", .id = true },
};
#define N_VERBS (sizeof verbs / sizeof *verbs)

static bool
is_alphanumeric (char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool
cs_participant_name_is_good (const char *name)
{
  size_t length = strnlen (name, CS_PARTICIPANT_NAME);
  if (length == 0 || length >= CS_PARTICIPANT_NAME || !is_alphanumeric (name[0]))
    return false;
  for (size_t i = 0; i < length; i++)
    if (!is_alphanumeric (name[i]) && strchr ("._-", name[i]) == NULL)
      return false;
  return true;
}

/* What is left of a line. */
typedef struct
{
  const char *at;
  size_t left;
} Rest;

/* The next word; it does not end with a NUL. */
static bool
take_word (Rest *rest, const char **word, size_t *length)
{
  const char *blank = rest->left > 0 ? memchr (rest->at, ' ', rest->left) : NULL;
  *word = rest->at;
  *length = blank != NULL ? (size_t)(blank - rest->at) : rest->left;
  size_t used = *length + (blank != NULL);
  rest->at += used;
  rest->left -= used;
  return *length > 0;
}

static bool
take_number (Rest *rest, uint64_t *number)
{
  const char *word;
  size_t length;
  *number = 0;
  if (!take_word (rest, &word, &length))
    return false;
  for (size_t i = 0; i < length; i++)
    if (word[i] < '0' || word[i] > '9' || __builtin_mul_overflow (*number, 10, number)
        || __builtin_add_overflow (*number, (uint64_t)(word[i] - '0'), number))
      return false;
  return true;
}

static bool
take_identity (Rest *rest, CsParticipantIdentity *identity)
{
  const char *word;
  size_t length;
  if (!take_number (rest, &identity->interval) || !take_word (rest, &word, &length)
      || length >= sizeof identity->vm)
    return false;
  memcpy (identity->vm, word, length);
  identity->vm[length] = '\0';
  if (strlen (identity->vm) != length)
    return false;
  if (strcmp (identity->vm, "-") == 0)
    identity->vm[0] = '\0';
  else if (!cs_participant_name_is_good (identity->vm))
    return false;
  return true;
}

/* Printable ASCII; what does not fit is cut off. */
static void
copy_text (char *to, size_t size, const char *from, size_t length)
{
  size_t n = length < size - 1 ? length : size - 1;
  for (size_t i = 0; i < n; i++)
    to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
  to[n] = '\0';
}

bool
cs_participant_message_parse (const char *line, size_t length, CsParticipantMessage *message)
{
  Rest rest = { line, length };
  const char *word;
  size_t n, verb = 0;
  memset (message, 0, sizeof *message);
  if (length >= CS_PARTICIPANT_LINE || !take_word (&rest, &word, &n))
    return false;
  while (verb < N_VERBS && (strlen (verbs[verb].verb) != n || memcmp (verbs[verb].verb, word, n)))
    verb++;
  if (verb == N_VERBS || (verbs[verb].id && !take_number (&rest, &message->id))
      || (verbs[verb].number && !take_number (&rest, &message->number))
      || (verbs[verb].identity && !take_identity (&rest, &message->identity)))
    return false;
  message->verb = (CsParticipantVerb)verb;
  if (verbs[verb].text)
    copy_text (message->text, sizeof message->text, rest.at, rest.left);
  else if (rest.left > 0)
    return false;
  return message->verb != CS_PARTICIPANT_HELLO || cs_participant_name_is_good (message->text);
}

size_t
cs_participant_message_format (const CsParticipantMessage *message,
                               char line[CS_PARTICIPANT_LINE + 1])
{
  char text[CS_PARTICIPANT_REASON] = "";
  char id[24] = "", number[24] = "", interval[24] = "";
  const char *vm = "";
  const unsigned verb = message->verb;
  if (verbs[verb].id)
    snprintf (id, sizeof id, " %llu", (unsigned long long)message->id);
  if (verbs[verb].number)
    snprintf (number, sizeof number, " %llu", (unsigned long long)message->number);
  if (verbs[verb].identity)
    {
      snprintf (interval, sizeof interval, " %llu ",
                (unsigned long long)message->identity.interval);
      vm = message->identity.vm[0] != '\0' ? message->identity.vm : "-";
    }
  if (verbs[verb].text)
    copy_text (text, sizeof text, message->text, strnlen (message->text, sizeof message->text - 1));
  int n =
      snprintf (line, CS_PARTICIPANT_LINE + 1, "%s%s%s%s%.*s%s%s\n", verbs[verb].verb, id, number,
                interval, CS_PARTICIPANT_NAME - 1, vm, verbs[verb].text ? " " : "", text);
  return (size_t)n;
}
