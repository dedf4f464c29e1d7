/* A guest program that watches the guest's clocks.
 *
 * Arguments, KEY=VALUE: node=I.  It reads CLOCK_MONOTONIC, CLOCK_REALTIME and the TSC some hundred
 * times a second, keeps the last readings in memory, and counts
 *   back   a CLOCK_MONOTONIC smaller than the one before
 *   tsc-back   the same of the TSC (which no Linux clock need follow)
 *   steps  CLOCK_REALTIME moved against CLOCK_MONOTONIC by more than STEP_MAX_NS
 *   gap    the longest time between two readings, by CLOCK_MONOTONIC
 * On the serial port:
 *   guest: CLOCK {json}     every 200 ms, times in ns; rtc: what the RTC shows, s
 *   host:  report ID        at once, with "reply":"ID"
 *   host:  poweroff
 * Lines end with a checksum as the cut probe's do (serial.h). */
#include "config.h"

#include "guest-agent/probe/probe.h"
#include "guest-agent/probe/serial.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/rtc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define STEP_MAX_NS 20000000
#define PERIOD_NS 200000000

struct readings
{
  int64_t monotonic, realtime;
  uint64_t tsc;
  uint64_t count, back, tsc_back, steps;
  int64_t last_step, gap;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct readings now; /* under lock */
static unsigned node;
static uint64_t sequence;

static int64_t
read_clock (clockid_t clock)
{
  struct timespec time;
  clock_gettime (clock, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* With lock held. */
static void
look (void)
{
  struct readings next = now;
  next.monotonic = read_clock (CLOCK_MONOTONIC);
  next.realtime = read_clock (CLOCK_REALTIME);
  next.tsc = __rdtsc ();
  if (next.count++ > 0)
    {
      int64_t passed = next.monotonic - now.monotonic;
      int64_t step = next.realtime - now.realtime - passed;
      next.back += passed < 0;
      next.tsc_back += next.tsc < now.tsc;
      next.gap = passed > now.gap ? passed : now.gap;
      if (step > STEP_MAX_NS || step < -STEP_MAX_NS)
        {
          next.steps++;
          next.last_step = step;
        }
    }
  now = next;
}

static void *
watch (void *argument)
{
  (void)argument;
  for (;;)
    {
      pthread_mutex_lock (&lock);
      look ();
      pthread_mutex_unlock (&lock);
      probe_sleep_ms (3);
    }
  return NULL;
}

/* Seconds since 1970 that the RTC shows as UTC; -1 without one. */
static int64_t
read_rtc (void)
{
  struct rtc_time time = { 0 };
  int fd = open ("/dev/rtc0", O_RDONLY | O_CLOEXEC);
  bool read = fd >= 0 && ioctl (fd, RTC_RD_TIME, &time) == 0;
  if (fd >= 0)
    close (fd);
  struct tm broken = { .tm_sec = time.tm_sec,
                       .tm_min = time.tm_min,
                       .tm_hour = time.tm_hour,
                       .tm_mday = time.tm_mday,
                       .tm_mon = time.tm_mon,
                       .tm_year = time.tm_year };
  return read ? (int64_t)timegm (&broken) : -1;
}

static void
read_source (char *name, size_t size)
{
  FILE *file = fopen ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
  snprintf (name, size, "%s", "?");
  if (file && fgets (name, (int)size, file))
    name[strcspn (name, "\n\"\\")] = 0;
  if (file)
    fclose (file);
}

static void
print (const char *reply)
{
  char text[700], source[40];
  int64_t rtc = read_rtc ();
  read_source (source, sizeof source);
  pthread_mutex_lock (&lock);
  look ();
  struct readings seen = now;
  pthread_mutex_unlock (&lock);
  int length = snprintf (
      text, sizeof text,
      "CLOCK {\"node\":%u,\"seq\":%" PRIu64 ",\"monotonic\":%" PRId64 ",\"realtime\":%" PRId64
      ",\"rtc\":%" PRId64 ",\"tsc\":%" PRIu64 ",\"source\":\"%s\",\"readings\":%" PRIu64
      ",\"back\":%" PRIu64 ",\"tsc-back\":%" PRIu64 ",\"steps\":%" PRIu64 ",\"last-step\":%" PRId64
      ",\"gap\":%" PRId64,
      node, ++sequence, seen.monotonic, seen.realtime, rtc, seen.tsc, source, seen.count, seen.back,
      seen.tsc_back, seen.steps, seen.last_step, seen.gap);
  if (reply)
    length += snprintf (text + length, sizeof text - (size_t)length, ",\"reply\":\"%.40s\"", reply);
  snprintf (text + length, sizeof text - (size_t)length, "}");
  serial_print (text);
}

int
main (int argc, char **argv)
{
  int64_t next = 0;
  for (int i = 1; i < argc; i++)
    if (strncmp (argv[i], "node=", 5) == 0)
      node = (unsigned)strtoul (argv[i] + 5, NULL, 10);
  probe_thread (watch, NULL);
  serial_prepare ();
  for (;;)
    {
      const char *request = serial_read (50);
      if (request && strncmp (request, "report ", 7) == 0 && !strpbrk (request, "\"\\"))
        print (request + 7);
      else if (request && strcmp (request, "poweroff") == 0)
        reboot (RB_POWER_OFF);
      int64_t time = read_clock (CLOCK_MONOTONIC);
      if (time < next)
        continue;
      print (NULL);
      next = time + PERIOD_NS;
    }
}
