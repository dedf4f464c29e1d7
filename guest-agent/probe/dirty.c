/* A guest program that dirties memory at a given rate, for figures.
 *
 * Arguments, KEY=VALUE: node=I, dirty=MB/s (20), set=MiB of the working set (128),
 * content=random|half (half: half of each page can be compressed).  Pages are chosen at random in
 * the working set, which is filled before the first line is printed.  On the serial port:
 *
 *   guest: DIRTY {json}     every second
 *   host:  report ID        DIRTY with "reply":"ID": "distinct" pages were written since the reset
 *   host:  reset ID         the same, and begins to count anew
 *   host:  stop ID, go ID   stops and continues writing; answers like report
 *   host:  poweroff
 * Lines end with a checksum as the cut probe's do (serial.h). */
#include "config.h"

#include "guest-agent/probe/probe.h"
#include "guest-agent/probe/serial.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <unistd.h>

#define PAGE_SIZE 4096u
#define WORDS (PAGE_SIZE / sizeof (uint64_t))
#define STEP_MS 10

static unsigned node, rate = 20, set_mib = 128;
static bool half, stopped;
static uint64_t *set, pages, random_state;
static unsigned char *seen; /* a byte per page; written since the reset */
static uint64_t written, distinct, reset_ms;

static void
write_page (uint64_t index)
{
  uint64_t *page = set + index * WORDS;
  uint64_t value = probe_random (&random_state) | 1;
  size_t words = half ? WORDS / 2 : WORDS;
  /* xorshift: not to be compressed, and cheap enough for tens of MB/s in an emulated CPU. */
  for (size_t i = 0; i < words; i++)
    {
      value ^= value << 13;
      value ^= value >> 7;
      value ^= value << 17;
      page[i] = value;
    }
  written++;
  distinct += !seen[index];
  seen[index] = 1;
}

static void
print (const char *reply)
{
  char text[300];
  int length = snprintf (text, sizeof text,
                         "DIRTY {\"node\":%u,\"pages\":%" PRIu64 ",\"written\":%" PRIu64
                         ",\"distinct\":%" PRIu64 ",\"since\":%" PRIu64 ",\"rate\":%u"
                         ",\"stopped\":%s",
                         node, pages, written, distinct, probe_now_ms () - reset_ms, rate,
                         stopped ? "true" : "false");
  if (reply)
    length += snprintf (text + length, sizeof text - (size_t)length, ",\"reply\":\"%.40s\"", reply);
  snprintf (text + length, sizeof text - (size_t)length, "}");
  serial_print (text);
}

static void
reset (void)
{
  memset (seen, 0, pages);
  written = distinct = 0;
  reset_ms = probe_now_ms ();
}

static void
handle (const char *request)
{
  const char *id = strchr (request, ' ');
  if (strcmp (request, "poweroff") == 0)
    reboot (RB_POWER_OFF);
  if (!id || strpbrk (id, "\"\\"))
    return;
  size_t verb = (size_t)(id - request);
  if (strncmp (request, "stop ", verb + 1) == 0)
    stopped = true;
  else if (strncmp (request, "go ", verb + 1) == 0)
    stopped = false;
  else if (strncmp (request, "report ", verb + 1) != 0
           && strncmp (request, "reset ", verb + 1) != 0)
    return;
  print (id + 1);
  if (strncmp (request, "reset ", verb + 1) == 0)
    reset ();
}

static unsigned
number (const char *word, const char *text, unsigned high)
{
  char *end;
  unsigned long value = strtoul (text, &end, 10);
  if (*text < '0' || *text > '9' || *end || value > high)
    {
      fprintf (stderr, "dirty: '%s' is no number up to %u\n", word, high);
      exit (EXIT_FAILURE);
    }
  return (unsigned)value;
}

static void
parse (const char *word)
{
  if (strncmp (word, "node=", 5) == 0)
    node = number (word, word + 5, 1000);
  else if (strncmp (word, "dirty=", 6) == 0)
    rate = number (word, word + 6, 100000);
  else if (strncmp (word, "set=", 4) == 0)
    set_mib = number (word, word + 4, 65536);
  else if (strncmp (word, "content=", 8) == 0)
    half = strcmp (word + 8, "half") == 0;
}

int
main (int argc, char **argv)
{
  struct probe_pace pace = { 0 };
  uint64_t next = 0;
  for (int i = 1; i < argc; i++)
    parse (argv[i]);
  pages = (uint64_t)(set_mib ? set_mib : 1) * (1u << 20) / PAGE_SIZE;
  set = mmap (NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  seen = calloc (pages, 1);
  if (set == MAP_FAILED || !seen)
    {
      fprintf (stderr, "dirty: no memory for a working set of %u MiB\n", set_mib);
      return EXIT_FAILURE;
    }
  random_state = probe_mix (node, probe_now_ns ());
  for (uint64_t i = 0; i < pages; i++)
    write_page (i);
  reset ();
  serial_prepare ();
  for (;;)
    {
      unsigned count = probe_pace_take (&pace, rate * 1e6 / PAGE_SIZE, rate * 25 + 1);
      for (unsigned i = 0; i < count && !stopped; i++)
        write_page (probe_random (&random_state) % pages);
      if (probe_now_ms () >= next)
        {
          print (NULL);
          next = probe_now_ms () + 1000;
        }
      const char *request = serial_read (STEP_MS);
      if (request)
        handle (request);
    }
}
