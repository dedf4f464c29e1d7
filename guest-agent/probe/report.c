/* Violations and events wait here for the serial port, which may be slow or not read at all.  When
 * too many wait, the newest are dropped and only counted: the first ones tell most. */
#include "config.h"

#include "guest-agent/probe/probe.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINES 64
#define LINE_SIZE 240

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under lock. */
static char lines[LINES][LINE_SIZE];
static unsigned head, count;
static uint64_t violations, events;
static char first[LINE_SIZE];

/* With lock held. */
static void
push (const char *kind, const char *text)
{
  if (count == LINES)
    return;
  snprintf (lines[(head + count++) % LINES], LINE_SIZE, "%s %s", kind, text);
}

void
probe_violation (const char *format, ...)
{
  char text[LINE_SIZE - 16];
  va_list arguments;
  va_start (arguments, format);
  vsnprintf (text, sizeof text, format, arguments);
  va_end (arguments);
  pthread_mutex_lock (&lock);
  if (violations++ == 0)
    snprintf (first, sizeof first, "%s", text);
  push ("VIOLATION", text);
  pthread_mutex_unlock (&lock);
}

void
probe_event (const char *format, ...)
{
  char text[LINE_SIZE - 16];
  va_list arguments;
  va_start (arguments, format);
  vsnprintf (text, sizeof text, format, arguments);
  va_end (arguments);
  pthread_mutex_lock (&lock);
  events++;
  push ("EVENT", text);
  pthread_mutex_unlock (&lock);
}

bool
probe_report_take (char *line, size_t size)
{
  pthread_mutex_lock (&lock);
  bool found = count > 0;
  if (found)
    {
      snprintf (line, size, "%s", lines[head]);
      head = (head + 1) % LINES;
      count--;
    }
  pthread_mutex_unlock (&lock);
  return found;
}

uint64_t
probe_violations (void)
{
  pthread_mutex_lock (&lock);
  uint64_t value = violations;
  pthread_mutex_unlock (&lock);
  return value;
}

uint64_t
probe_events (void)
{
  pthread_mutex_lock (&lock);
  uint64_t value = events;
  pthread_mutex_unlock (&lock);
  return value;
}

void
probe_first_violation (char *text, size_t size)
{
  pthread_mutex_lock (&lock);
  snprintf (text, size, "%s", first);
  pthread_mutex_unlock (&lock);
}
