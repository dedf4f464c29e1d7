/* The cut probe: a guest program that makes an inconsistent snapshot of a cluster visible.
 *
 * Threads: one exchanges messages (exchange.c), two per disk (disk-direct.c, disk-buffered.c), one
 * works on a table in memory (table.c), and main's talks on the serial port (serial.c).  They
 * share nothing but report.c (its own lock) and the figures each part gives out.
 *
 * Every part knows what it must find and says VIOLATION when it finds something else; nothing is
 * repaired and the program goes on, so that one fault does not hide the next. */
#ifndef CS_PROBE_PROBE_H
#define CS_PROBE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_NODES_MAX 8
#define PROBE_DISKS_MAX 6

struct probe_options
{
  unsigned node, nodes;
  char net[32];   /* "A.B.C"; node I is A.B.C.(10+I); empty: no messages */
  unsigned group; /* so many nodes, by number, talk with each other and with no others */
  unsigned rate;  /* messages per second to each peer, on TCP and again on UDP */
  unsigned dirty; /* MB/s of the table's pages that are changed */
  unsigned table; /* MiB */
  unsigned reads; /* O_DIRECT reads in flight on each disk */
  unsigned iops;  /* operations per second on each disk, for each way of writing */
  char
      disks[256]; /* comma-separated paths; those that do not exist or are read-only are left out */
};

/* From "KEY=VALUE" arguments; unknown keys belong to somebody else.  False and a message on
 * stderr when a value is out of its range. */
bool probe_options_parse (struct probe_options *options, int argc, char **argv);

/* A number that identifies this start of the program; never 0. */
extern uint64_t probe_run;

/* Milliseconds and nanoseconds of CLOCK_MONOTONIC; time that goes back is a violation. */
uint64_t probe_now_ms (void);
uint64_t probe_now_ns (void);
void probe_sleep_ms (unsigned ms);

/* A hash of two words (splitmix64's finisher): no cryptography, only unlikely to collide. */
static inline uint64_t
probe_mix (uint64_t a, uint64_t b)
{
  uint64_t x = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* A number that two runs from the same snapshot do not share: the kernel's random numbers would be
 * the same in both, the time at which the program gets there is not.  @state is the caller's. */
uint64_t probe_random (uint64_t *state);

/* Lets @per_second operations a second through and never catches up after a pause. */
struct probe_pace
{
  uint64_t last_ns;
  double tokens;
};
/* How many operations may be done now; at most @burst. */
unsigned probe_pace_take (struct probe_pace *pace, double per_second, unsigned burst);

/* Starts a detached thread; ends the program when that fails. */
void probe_thread (void *(*body) (void *), void *argument);

/* report.c: what has been seen; printed by serial.c.  Any thread. */
void probe_violation (const char *format, ...) __attribute__ ((format (printf, 1, 2)));
void probe_event (const char *format, ...) __attribute__ ((format (printf, 1, 2)));
/* Takes the oldest line not yet printed; false when there is none. */
bool probe_report_take (char *line, size_t size);
uint64_t probe_violations (void);
uint64_t probe_events (void);
void probe_first_violation (char *text, size_t size);

/* exchange.c */
void exchange_start (const struct probe_options *options);
struct exchange_channel_state
{
  uint64_t sent, received, lost;
};
struct exchange_state
{
  struct
  {
    struct exchange_channel_state tcp, udp;
    uint64_t resets;
    bool connected;
  } peers[PROBE_NODES_MAX];
  struct
  {
    uint64_t count, history;
  } clock[PROBE_NODES_MAX];
};
/* All of it at one moment. */
void exchange_get (struct exchange_state *state);

/* A sweep checks everything a part has once; any number of askers.  wanted is raised by the asker;
 * done reaches it when a sweep that began afterwards has ended. */
struct probe_sweep
{
  uint64_t wanted, done;
};
uint64_t probe_sweep_want (struct probe_sweep *sweep);
uint64_t probe_sweep_wanted (struct probe_sweep *sweep);
void probe_sweep_set_done (struct probe_sweep *sweep, uint64_t number);
bool probe_sweep_is_done (struct probe_sweep *sweep, uint64_t number);

/* disk.c, disk-direct.c, disk-buffered.c */
struct disk;
unsigned disks_start (const struct probe_options *options); /* how many there are */
struct disk_state
{
  const char *name;
  uint64_t direct, buffered, durable; /* latest number acknowledged; durable: of buffered, synced */
  uint64_t reads, writes;
};
void disk_get (unsigned index, struct disk_state *state);
struct probe_sweep *disk_sweep_direct (unsigned index);
struct probe_sweep *disk_sweep_buffered (unsigned index);

/* table.c */
void table_start (const struct probe_options *options);
struct table_state
{
  uint64_t pages, updates, sum;
};
void table_get (struct table_state *state);
struct probe_sweep *table_sweep (void);

/* serial.c: prints states and answers requests; does not return. */
void serial_run (const struct probe_options *options, unsigned disks);

#endif
