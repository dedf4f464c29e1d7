/* The probe's conversation on the serial port.
 *
 *   probe: STATE {json}     every 100 ms
 *   probe: VIOLATION text   EVENT text
 *   host:  state ID         probe: STATE with "reply":"ID", at once
 *   host:  verify ID        probe: STATE with "reply":"ID" after all of the disks and of the table
 *                           has been read and checked once
 *   host:  poweroff
 */
#include "config.h"

#include "guest-agent/probe/probe.h"
#include "guest-agent/probe/serial.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#define PERIOD_MS 100
#define ID_SIZE 40

static const struct probe_options *options;
static unsigned disk_count;
static uint64_t sequence;

/* The verify request under way; id empty: none. */
static struct
{
  char id[ID_SIZE];
  uint64_t table, direct[PROBE_DISKS_MAX], buffered[PROBE_DISKS_MAX];
} verify;

struct text
{
  char data[3500];
  size_t length;
};

static void __attribute__ ((format (printf, 2, 3))) add (struct text *text, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  int length =
      vsnprintf (text->data + text->length, sizeof text->data - text->length, format, arguments);
  va_end (arguments);
  text->length += (size_t)length;
  if (text->length >= sizeof text->data)
    text->length = sizeof text->data - 1;
}

static void
add_peers (struct text *text)
{
  struct exchange_state state;
  exchange_get (&state);
  add (text, ",\"clock\":[");
  for (unsigned i = 0; i < options->nodes; i++)
    add (text, "%s%" PRIu64, i ? "," : "", state.clock[i].count);
  add (text, "],\"history\":\"%016" PRIx64 "\",\"peers\":[", state.clock[options->node].history);
  const char *comma = "";
  for (unsigned i = 0; *options->net && i < options->nodes; i++)
    {
      if (i == options->node)
        continue;
      add (text,
           "%s{\"node\":%u,\"tcp\":[%" PRIu64 ",%" PRIu64 "],\"udp\":[%" PRIu64 ",%" PRIu64
           "],\"lost\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"resets\":%" PRIu64
           ",\"connected\":%s}",
           comma, i, state.peers[i].tcp.sent, state.peers[i].tcp.received, state.peers[i].udp.sent,
           state.peers[i].udp.received, state.peers[i].udp.lost, state.peers[i].tcp.lost,
           state.peers[i].resets, state.peers[i].connected ? "true" : "false");
      comma = ",";
    }
  add (text, "]");
}

static void
add_disks (struct text *text)
{
  add (text, ",\"disks\":[");
  for (unsigned i = 0; i < disk_count; i++)
    {
      struct disk_state state;
      disk_get (i, &state);
      add (text,
           "%s{\"name\":\"%s\",\"direct\":%" PRIu64 ",\"buffered\":%" PRIu64 ",\"durable\":%" PRIu64
           ",\"reads\":%" PRIu64 ",\"writes\":%" PRIu64 "}",
           i ? "," : "", state.name, state.direct, state.buffered, state.durable, state.reads,
           state.writes);
    }
  add (text, "]");
}

/* The first violation's text is ours but for names of files: only quotes need care. */
static void
add_violations (struct text *text)
{
  char first[240];
  uint64_t violations = probe_violations ();
  add (text, ",\"violations\":%" PRIu64 ",\"events\":%" PRIu64, violations, probe_events ());
  if (violations == 0)
    return;
  probe_first_violation (first, sizeof first);
  for (char *c = first; *c; c++)
    if (*c == '"' || *c == '\\' || *c < ' ')
      *c = '\'';
  add (text, ",\"first\":\"%s\"", first);
}

static void
print_state (const char *reply)
{
  struct text text = { .length = 0 };
  struct table_state table;
  table_get (&table);
  add (&text,
       "STATE {\"node\":%u,\"nodes\":%u,\"run\":\"%016" PRIx64 "\",\"seq\":%" PRIu64
       ",\"uptime\":%" PRIu64,
       options->node, options->nodes, probe_run, ++sequence, probe_now_ms ());
  add_violations (&text);
  add_peers (&text);
  add_disks (&text);
  add (&text,
       ",\"table\":{\"pages\":%" PRIu64 ",\"updates\":%" PRIu64 ",\"sum\":\"%016" PRIx64 "\"}",
       table.pages, table.updates, table.sum);
  if (reply)
    add (&text, ",\"reply\":\"%s\"", reply);
  add (&text, "}");
  serial_print (text.data);
}

static void
begin_verify (const char *id)
{
  /* Asked again because the answer takes long: it must not begin anew. */
  if (strcmp (verify.id, id) == 0)
    return;
  snprintf (verify.id, sizeof verify.id, "%s", id);
  verify.table = probe_sweep_want (table_sweep ());
  for (unsigned i = 0; i < disk_count; i++)
    {
      verify.direct[i] = probe_sweep_want (disk_sweep_direct (i));
      verify.buffered[i] = probe_sweep_want (disk_sweep_buffered (i));
    }
}

static void
answer_verify (void)
{
  bool done = *verify.id && probe_sweep_is_done (table_sweep (), verify.table);
  for (unsigned i = 0; done && i < disk_count; i++)
    done = probe_sweep_is_done (disk_sweep_direct (i), verify.direct[i])
           && probe_sweep_is_done (disk_sweep_buffered (i), verify.buffered[i]);
  if (!done)
    return;
  print_state (verify.id);
  *verify.id = 0;
}

/* An ID goes back into JSON: letters, digits, '-', '_' and '.' only. */
static bool
id_is_good (const char *id)
{
  size_t length = strspn (id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
  return length > 0 && length < ID_SIZE && id[length] == 0;
}

static void
handle (const char *request)
{
  if (strncmp (request, "state ", 6) == 0 && id_is_good (request + 6))
    print_state (request + 6);
  else if (strncmp (request, "verify ", 7) == 0 && id_is_good (request + 7))
    begin_verify (request + 7);
  else if (strcmp (request, "poweroff") == 0)
    {
      sync ();
      reboot (RB_POWER_OFF);
    }
}

void
serial_run (const struct probe_options *given, unsigned disks)
{
  uint64_t next = 0;
  options = given;
  disk_count = disks;
  serial_prepare ();
  for (;;)
    {
      char line[256];
      while (probe_report_take (line, sizeof line))
        serial_print (line);
      answer_verify ();
      uint64_t now = probe_now_ms ();
      if (now >= next)
        {
          print_state (NULL);
          next = now + PERIOD_MS;
        }
      const char *request = serial_read (*verify.id ? 5 : 50);
      if (request)
        handle (request);
    }
}
