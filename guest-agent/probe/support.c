/* What every part of the probe uses: time, random numbers, pace, threads, sweeps. */
#include "config.h"

#include "guest-agent/probe/probe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t probe_run;

uint64_t
probe_now_ns (void)
{
  static _Thread_local uint64_t last;
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
  if (ns < last)
    probe_violation ("time went back from %llu to %llu ns", (unsigned long long)last,
                     (unsigned long long)ns);
  last = ns;
  return ns;
}

uint64_t
probe_now_ms (void)
{
  return probe_now_ns () / 1000000u;
}

void
probe_sleep_ms (unsigned ms)
{
  struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
  nanosleep (&time, NULL);
}

uint64_t
probe_random (uint64_t *state)
{
  *state = probe_mix (*state, probe_now_ns ());
  return *state;
}

unsigned
probe_pace_take (struct probe_pace *pace, double per_second, unsigned burst)
{
  uint64_t now = probe_now_ns ();
  if (pace->last_ns)
    pace->tokens += (double)(now - pace->last_ns) * per_second / 1e9;
  pace->last_ns = now;
  if (pace->tokens > burst)
    pace->tokens = burst;
  unsigned whole = (unsigned)pace->tokens;
  pace->tokens -= whole;
  return whole;
}

void
probe_thread (void *(*body) (void *), void *argument)
{
  pthread_t thread;
  if (pthread_create (&thread, NULL, body, argument))
    {
      fprintf (stderr, "cut-probe: cannot start a thread\n");
      exit (EXIT_FAILURE);
    }
  pthread_detach (thread);
}

uint64_t
probe_sweep_want (struct probe_sweep *sweep)
{
  return __atomic_add_fetch (&sweep->wanted, 1, __ATOMIC_SEQ_CST);
}

uint64_t
probe_sweep_wanted (struct probe_sweep *sweep)
{
  return __atomic_load_n (&sweep->wanted, __ATOMIC_SEQ_CST);
}

void
probe_sweep_set_done (struct probe_sweep *sweep, uint64_t number)
{
  __atomic_store_n (&sweep->done, number, __ATOMIC_SEQ_CST);
}

bool
probe_sweep_is_done (struct probe_sweep *sweep, uint64_t number)
{
  return __atomic_load_n (&sweep->done, __ATOMIC_SEQ_CST) >= number;
}
