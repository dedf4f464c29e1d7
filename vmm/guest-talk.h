/* Lines to and from a program in the guest, over a stream socket: bounded in length, number and
 * time.
 *
 * The guest is hostile.  One thread. */
#ifndef CS_VMM_GUEST_TALK_H
#define CS_VMM_GUEST_TALK_H

#include <glib.h>
#include <stdbool.h>

typedef struct
{
  /* the caller's */
  int fd;           /* non-blocking or not */
  int cancel_fd;    /* becomes readable to end all waiting (CANCELLED); -1: none */
  const char *name; /* of the VM, for errors */
  const char *who;  /* "the guest agent", for errors */
  gint64 deadline;  /* g_get_monotonic_time */
  gsize line_max;   /* bytes of a line that are kept; longer ones are cut */
  gsize total_max;  /* bytes that may come at all */
  GString *line;    /* the last one read, without its end */
  int delimiter;    /* drops what came before it in a line; -1: none */

  /* cs_guest_talk's */
  bool delimited; /* the last line had a delimiter */
  gsize received;
  char data[1024];
  gsize at, length; /* of data, not yet looked at */
} CsGuestTalk;

/* Errors: DEADLINE, GONE, IO, CANCELLED. */
bool cs_guest_talk_send (CsGuestTalk *talk, const char *data, gsize length, GError **error);
/* Reads the next line.  Errors: as above, and INVALID when more than total_max came. */
bool cs_guest_talk_read (CsGuestTalk *talk, GError **error);

/* The guest's own words, fit to be printed: UTF-8 without control characters, cut. */
char *cs_guest_talk_printable (const char *text);

#endif
