/* What tests/system/tracker.sh does with a QEMU that runs tests/guest/pages.S:
 *
 *   tracker-tool QMP SERIAL rounds N   N rounds of pages written by the guest must be found exactly
 *   tracker-tool QMP SERIAL inject N   N injected calls, the guest at work meanwhile
 *   tracker-tool QMP SERIAL running    protects with a DMA read in flight, the guest running
 *   tracker-tool QMP SERIAL stopped    protects as the rule says
 *
 * The last two print the number of pages that the DMA changed and of those that the tracker found.
 */
#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "vmm/inject.h"
#include "vmm/tracker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define PAGE 4096
#define FIRST_PAGE 0x10
#define END_PAGE 0x90
#define DMA_FIRST 0x20
#define DMA_PAGES 16
#define READ_DISK 0x01
#define WAIT_DISK 0x02
#define SECONDS 20
#define TOO_LATE 3 /* exit status: try again */

typedef struct
{
  CsMonitor *monitor;
  int serial;
  CsTracker *tracker;
  guint ram; /* index of pc.ram, or of the memory backend */
} Tool;

static bool fail (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static bool
fail (GError **error, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  if (error != NULL)
    *error = g_error_new_valist (CS_ERROR, CS_ERROR_FAILED, format, arguments);
  va_end (arguments);
  return false;
}

static int
connect_serial (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  cs_autofd int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  if (connect (fd, (struct sockaddr *)&address, sizeof address) != 0)
    return -1;
  return cs_fd_steal (&fd);
}

static bool
command (Tool *tool, guint8 byte, guint8 *answer, GError **error)
{
  struct pollfd descriptor = { tool->serial, POLLIN, 0 };
  if (write (tool->serial, &byte, 1) != 1)
    return cs_error_set_errno (error, errno, "serial port");
  if (poll (&descriptor, 1, SECONDS * 1000) != 1 || read (tool->serial, answer, 1) != 1)
    return fail (error, "the guest does not answer command %#x", byte);
  return true;
}

static bool
write_page (Tool *tool, guint8 page, GError **error)
{
  guint8 answer = 0;
  if (!command (tool, page, &answer, error))
    return false;
  return answer == page || fail (error, "command %#x answered by %#x", page, answer);
}

static bool
set_blocks (Tool *tool, GError **error)
{
  g_autoptr (GPtrArray) blocks = cs_ram_blocks_query (tool->monitor, error);
  if (blocks == NULL || !cs_tracker_set_blocks (tool->tracker, blocks, NULL, error))
    return false;
  if (cs_tracker_find_block (tool->tracker, "pc.ram", &tool->ram)
      || cs_tracker_find_block (tool->tracker, "mem0", &tool->ram))
    return true;
  return fail (error, "no block 'pc.ram' or 'mem0'");
}

static bool
track (Tool *tool, GError **error)
{
  if (!cs_monitor_stop (tool->monitor, error))
    return false;
  tool->tracker = cs_tracker_new (tool->monitor, error);
  return tool->tracker != NULL && set_blocks (tool, error)
         && cs_monitor_cont (tool->monitor, error);
}

static CsBitmap *
bitmap_of (Tool *tool, guint i)
{
  return cs_bitmap_new (cs_tracker_block (tool->tracker, i)->used_length / PAGE);
}

/* Scans all blocks of the stopped VM.  *@ram gets the pages of guest RAM; in no other block may
 * there be any. */
static bool
scan (Tool *tool, CsBitmap **ram, GError **error)
{
  *ram = bitmap_of (tool, tool->ram);
  for (guint i = 0; i < cs_tracker_n_blocks (tool->tracker); i++)
    {
      g_autoptr (CsBitmap) other = bitmap_of (tool, i);
      CsBitmap *dirty = i == tool->ram ? *ram : other;
      if (!cs_tracker_scan (tool->tracker, i, dirty, error))
        return false;
      if (cs_bitmap_count (other) != 0)
        return fail (error, "block '%s' was written", cs_tracker_block (tool->tracker, i)->name);
    }
  return true;
}

static bool
compare (const CsBitmap *found, const CsBitmap *expected, GError **error)
{
  for (guint64 page = 0; page < cs_bitmap_size (expected); page++)
    if (cs_bitmap_test (found, page) != cs_bitmap_test (expected, page))
      return fail (error, "page %#x was%s written and is%s reported", (guint)page,
                   cs_bitmap_test (expected, page) ? "" : " not",
                   cs_bitmap_test (found, page) ? "" : " not");
  return true;
}

/* Copies the pages of @dirty into @mirror. */
static bool
update (Tool *tool, const CsBitmap *dirty, char *mirror, GError **error)
{
  CsPageRun run;
  for (guint64 at = 0; cs_bitmap_next_run (dirty, at, &run.first, &run.count);
       at = run.first + run.count)
    if (!cs_tracker_read (tool->tracker, tool->ram, &run, 1, mirror + run.first * PAGE, error))
      return false;
  return true;
}

static bool
one_round (Tool *tool, char *mirror, char *memory, GError **error)
{
  g_autoptr (CsBitmap) expected = bitmap_of (tool, tool->ram);
  g_autoptr (CsBitmap) found = NULL;
  const CsPageRun all = { 0, cs_bitmap_size (expected) };
  gint32 writes = g_random_int_range (0, 100);
  for (gint32 i = 0; i < writes; i++)
    {
      guint8 page = (guint8)g_random_int_range (FIRST_PAGE, END_PAGE);
      if (!write_page (tool, page, error))
        return false;
      cs_bitmap_set_range (expected, page, 1);
    }
  if (!cs_monitor_stop (tool->monitor, error) || !scan (tool, &found, error)
      || !compare (found, expected, error) || !update (tool, found, mirror, error)
      || !cs_tracker_read (tool->tracker, tool->ram, &all, 1, memory, error))
    return false;
  if (memcmp (mirror, memory, all.count * PAGE) != 0)
    return fail (error, "the pages that were reported do not make up the memory");
  return cs_monitor_cont (tool->monitor, error);
}

static bool
verb_rounds (Tool *tool, guint n, GError **error)
{
  if (!write_page (tool, FIRST_PAGE, error) || !track (tool, error))
    return false;
  guint64 length = cs_tracker_block (tool->tracker, tool->ram)->used_length;
  const CsPageRun all = { 0, length / PAGE };
  g_autofree char *mirror = g_malloc (length);
  g_autofree char *memory = g_malloc (length);
  if (!cs_tracker_read (tool->tracker, tool->ram, &all, 1, mirror, error))
    return false;
  for (guint i = 0; i < n; i++)
    if (!one_round (tool, mirror, memory, error))
      {
        g_prefix_error (error, "round %u: ", i);
        return false;
      }
  /* The device state load of a rollback writes ROM: those blocks must be tracked, too. */
  printf ("%u rounds over %u blocks\n", n, cs_tracker_n_blocks (tool->tracker));
  return true;
}

static bool
verb_inject (Tool *tool, guint n, GError **error)
{
  static const unsigned long arguments[6];
  pid_t pid = cs_monitor_pid (tool->monitor);
  gint64 begin = g_get_monotonic_time ();
  for (guint i = 0; i < n; i++)
    {
      long result = 0;
      if (i % 16 == 0 && !write_page (tool, FIRST_PAGE, error))
        return false;
      if (!cs_inject_syscall (pid, SYS_getpid, arguments, &result, error))
        return false;
      if (result != pid)
        return fail (error, "getpid in process %d returned %ld", pid, result);
    }
  printf ("%u calls, %.3f ms each\n", n,
          (double)(g_get_monotonic_time () - begin) / 1000 / MAX (n, 1));
  return cs_monitor_stop (tool->monitor, error) && cs_monitor_cont (tool->monitor, error);
}

/* Pages of the DMA's target whose first word is @word. */
static bool
count_words (Tool *tool, guint16 word, guint *count, GError **error)
{
  g_autofree char *content = g_malloc (DMA_PAGES * PAGE);
  const CsPageRun run = { DMA_FIRST, DMA_PAGES };
  if (!cs_tracker_read (tool->tracker, tool->ram, &run, 1, content, error))
    return false;
  *count = 0;
  for (guint i = 0; i < DMA_PAGES; i++)
    *count += memcmp (content + i * PAGE, &word, sizeof word) == 0;
  return true;
}

/* The disk is all zero; what is not zero before the read shows that it came. */
static bool
fill_target (Tool *tool, GError **error)
{
  for (guint8 i = 0; i < DMA_PAGES; i++)
    if (!write_page (tool, DMA_FIRST + i, error))
      return false;
  return true;
}

static bool
begin_read (Tool *tool, GError **error)
{
  guint8 answer;
  return command (tool, READ_DISK, &answer, error);
}

static bool
await_read (Tool *tool, GError **error)
{
  guint8 status;
  if (!command (tool, WAIT_DISK, &status, error))
    return false;
  return (status & 0x21) == 0 || fail (error, "IDE status %#x", status);
}

/* Whether the read has or has not come.  On a busy host it may have come before we look. */
static bool
check_read (Tool *tool, bool done, GError **error)
{
  guint zero;
  if (!count_words (tool, 0, &zero, error))
    return false;
  if (zero == (done ? DMA_PAGES : 0))
    return true;
  if (done)
    return fail (error, "stop has not waited for the read");
  exit (TOO_LATE);
}

/* Prints what the read has changed and what is found of it. */
static bool
report_read (Tool *tool, GError **error)
{
  g_autoptr (CsBitmap) found = NULL;
  guint changed, tracked = 0;
  if (!cs_monitor_stop (tool->monitor, error) || !scan (tool, &found, error)
      || !count_words (tool, 0, &changed, error))
    return false;
  for (guint i = 0; i < DMA_PAGES; i++)
    tracked += cs_bitmap_test (found, DMA_FIRST + i);
  printf ("changed %u found %u\n", changed, tracked);
  return cs_monitor_cont (tool->monitor, error);
}

/* A scan protects, as the first protection does. */
static bool
protect (Tool *tool, GError **error)
{
  g_autoptr (CsBitmap) ignored = NULL;
  return scan (tool, &ignored, error);
}

static bool
verb_running (Tool *tool, guint n, GError **error)
{
  if (!track (tool, error) || !fill_target (tool, error) || !begin_read (tool, error))
    return false;
  g_usleep (G_USEC_PER_SEC / 5);
  return protect (tool, error) && check_read (tool, false, error) && await_read (tool, error)
         && report_read (tool, error);
}

/* First with a read in flight, which the stop waits for, then with one after it. */
static bool
verb_stopped (Tool *tool, guint n, GError **error)
{
  if (!track (tool, error) || !fill_target (tool, error) || !begin_read (tool, error))
    return false;
  g_usleep (G_USEC_PER_SEC / 5);
  if (!check_read (tool, false, error) || !cs_monitor_stop (tool->monitor, error)
      || !check_read (tool, true, error) || !protect (tool, error)
      || !cs_monitor_cont (tool->monitor, error) || !await_read (tool, error)
      || !fill_target (tool, error))
    return false;
  return cs_monitor_stop (tool->monitor, error) && protect (tool, error)
         && cs_monitor_cont (tool->monitor, error) && begin_read (tool, error)
         && await_read (tool, error) && report_read (tool, error);
}

static const struct
{
  const char *name;
  bool (*func) (Tool *tool, guint n, GError **error);
} verbs[] = {
  { "rounds", verb_rounds },
  { "inject", verb_inject },
  { "running", verb_running },
  { "stopped", verb_stopped },
};

int
main (int argc, char **argv)
{
  Tool tool = { 0 };
  g_autoptr (GError) error = NULL;
  guint64 n = 0;
  bool good = false;

  if (argc < 4 || (argc > 4 && !g_ascii_string_to_unsigned (argv[4], 10, 0, 1000000, &n, &error)))
    {
      fprintf (stderr, "usage: tracker-tool QMP SERIAL VERB [N]\n");
      return 2;
    }
  tool.serial = connect_serial (argv[2]);
  tool.monitor = cs_monitor_open_qmp (argv[1], &error);
  for (guint i = 0; tool.monitor != NULL && i < G_N_ELEMENTS (verbs); i++)
    if (strcmp (argv[3], verbs[i].name) == 0)
      good = verbs[i].func (&tool, (guint)n, &error);
  if (!good)
    fprintf (stderr, "tracker-tool: %s\n", error ? error->message : "no such verb");
  cs_tracker_free (tool.tracker);
  if (tool.monitor != NULL)
    cs_monitor_close (tool.monitor);
  return good ? 0 : 1;
}
