/* The cut probe; see probe.h.  Arguments are KEY=VALUE (options.c); the guest's init hands over
 * what the kernel command line says. */
#include "config.h"

#include "guest-agent/probe/probe.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>

int
main (int argc, char **argv)
{
  static struct probe_options options;
  if (!probe_options_parse (&options, argc, argv))
    return EXIT_FAILURE;
  signal (SIGPIPE, SIG_IGN);
  if (getrandom (&probe_run, sizeof probe_run, GRND_NONBLOCK) != sizeof probe_run)
    probe_run = 0;
  probe_run = probe_mix (probe_run + options.node, probe_now_ns ()) | 1;
  table_start (&options);
  unsigned disks = disks_start (&options);
  exchange_start (&options);
  serial_run (&options, disks);
}
