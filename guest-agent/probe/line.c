#include "config.h"

#include "guest-agent/probe/probe.h"
#include "guest-agent/probe/serial.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

void
serial_print (const char *line)
{
  char text[4096];
  uint32_t crc = serial_crc32 (line, strlen (line));
  int length = snprintf (text, sizeof text, "%s #%08x\n", line, crc);
  size_t done = 0;
  while (length > 0 && done < (size_t)length)
    {
      ssize_t written = write (STDOUT_FILENO, text + done, (size_t)length - done);
      if (written > 0)
        done += (size_t)written;
      else
        probe_sleep_ms (10);
    }
}

const char *
serial_read (unsigned ms)
{
  static char line[256], rest[256];
  static size_t length;
  static bool ended;
  char *end = memchr (rest, '\n', length);
  if (!end && !ended && length < sizeof rest)
    {
      struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
      if (poll (&input, 1, (int)ms) <= 0)
        return NULL;
      ssize_t got = read (STDIN_FILENO, rest + length, sizeof rest - length);
      ended = got <= 0;
      length += got > 0 ? (size_t)got : 0;
      end = memchr (rest, '\n', length);
    }
  else if (!end && length == sizeof rest)
    length = 0; /* too long to be a request */
  else if (!end)
    probe_sleep_ms (ms);
  if (!end)
    return NULL;
  size_t taken = (size_t)(end - rest);
  memcpy (line, rest, taken);
  line[taken && line[taken - 1] == '\r' ? taken - 1 : taken] = 0;
  length -= taken + 1;
  memmove (rest, end + 1, length);
  return line;
}

void
serial_prepare (void)
{
  struct termios mode;
  if (tcgetattr (STDIN_FILENO, &mode))
    return;
  mode.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
  tcsetattr (STDIN_FILENO, TCSANOW, &mode);
}
