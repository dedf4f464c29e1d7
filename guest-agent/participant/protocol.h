/* ASCII lines of text, each ended by \n; numbers are decimal, without sign, below 2^64.
 *
 * Between a participant (libclusnap-participant) and the agent of the same guest, over a unix
 * stream socket that root alone can reach (mode 0600).  Words are apart by one blank; VM is a name
 * as cs_participant_name_is_good has it, or - when the host has not said it; RESTORED is 0 or 1;
 * TEXT goes to the end of the line.
 *
 *   participant                                agent
 *     hello VERSION NAME             ------>
 *                                    <------   welcome VERSION INTERVAL VM
 *
 *                                    <------   prepare ID MILLISECONDS
 *     ready ID                       ------>       or, until the milliseconds are over, once:
 *     veto ID TEXT                   ------>
 *                                    <------   resume RESTORED INTERVAL VM
 *
 *                                    <------   dependencies ID
 *     depends ID INTERVAL VM         ------>       any number, at most CS_PARTICIPANT_VMS
 *     end ID                         ------>
 *
 * A resume may come without a prepare (the guest was restored from a snapshot that did not ask this
 * participant), and more than once.  An answer whose ID is not that of the question in force is
 * late and ignored.  Who sends a line that is too long, or no line of these, is disconnected.  A
 * participant that disconnects takes no part any more; the agent's end of the connection: it ended,
 * open again. */
#ifndef CS_PARTICIPANT_PROTOCOL_H
#define CS_PARTICIPANT_PROTOCOL_H

#include "guest-agent/participant/participant.h"

#include <stdbool.h>

#define CS_PARTICIPANT_VERSION 1
#define CS_PARTICIPANT_LINE 512 /* bytes of a line at most, its \n included */

typedef enum
{
  CS_PARTICIPANT_HELLO,        /* number: version; text: name */
  CS_PARTICIPANT_WELCOME,      /* number: version; identity */
  CS_PARTICIPANT_PREPARE,      /* id; number: milliseconds */
  CS_PARTICIPANT_READY,        /* id */
  CS_PARTICIPANT_VETO,         /* id; text: reason */
  CS_PARTICIPANT_RESUME,       /* number: restored; identity */
  CS_PARTICIPANT_DEPENDENCIES, /* id */
  CS_PARTICIPANT_DEPENDS,      /* id; identity: the interval depended on */
  CS_PARTICIPANT_END,          /* id */
} CsParticipantVerb;

typedef struct
{
  CsParticipantVerb verb;
  uint64_t id;
  uint64_t number;
  CsParticipantIdentity identity;
  char text[CS_PARTICIPANT_REASON];
} CsParticipantMessage;

/* 1 to CS_PARTICIPANT_NAME - 1 letters, digits, '.', '_' or '-', the first one a letter or digit.
 */
bool cs_participant_name_is_good (const char *name);

/* Takes @line (@length bytes, without its \n, of any content) apart; false when it is none. */
bool cs_participant_message_parse (const char *line, size_t length, CsParticipantMessage *message);

/* Writes @message with its \n, and a NUL; returns the length without that.  What is printed of a
 * text are its printable ASCII characters, others become '?'. */
size_t cs_participant_message_format (const CsParticipantMessage *message,
                                      char line[CS_PARTICIPANT_LINE + 1]);

/* ---- lines out of a stream ---- */

/* What has come and is no whole line yet.  Zeroed: empty. */
typedef struct
{
  char *data; /* of @size bytes; the owner's */
  size_t size;
  size_t length;
  size_t taken; /* of it, by cs_line_buffer_next */
} CsLineBuffer;

/* The next whole line: sets *@line (in the buffer, until the next call of any of these) and
 * *@length, without \n. */
bool cs_line_buffer_next (CsLineBuffer *buffer, const char **line, size_t *length);
/* Where @*room bytes may be put; 0: the line under way is too long. */
char *cs_line_buffer_space (CsLineBuffer *buffer, size_t *room);
/* @length bytes were put there. */
void cs_line_buffer_add (CsLineBuffer *buffer, size_t length);

#endif
